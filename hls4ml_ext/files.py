"""The files of a run: each is there as a whole or not at all."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write, which takes the place of `path` when the block ends without an error.

    Args:
        path: The file, which an interrupt leaves as it was. The other one is beside it and has the same suffix.
    """
    unfinished = path.with_name(f'unfinished-{path.name}')
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_json(path: Path, content: dict):
    """Replaces a file at once."""
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=2) + '\n')


def read_json(path: Path) -> dict:
    """The content of a file; nothing if there is none, or it is damaged."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
