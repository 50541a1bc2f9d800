"""Small files of a run: JSON that is there as a whole or not at all."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path


def write_json(path: Path, content: dict):
    """Replaces a file at once, so that an interrupt leaves the old or the new one."""
    unfinished = path.with_name(path.name + '.unfinished')
    unfinished.write_text(json.dumps(content, indent=2) + '\n')
    unfinished.replace(path)


def read_json(path: Path) -> dict:
    """The content of a file; nothing if there is none, or it is damaged."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def shown(path: Path) -> str:
    """A path as people write it: from the current directory if it is below."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
