"""Formats the C++, or checks their format: ``python tests/format_cpp.py [--check] [files]``.

clang-format would move pragmas to the first column and put spaces around their ``=``. hls4ml hides them from it as comments
(https://github.com/jmduarte/p-clang-format), and so do we.
"""

from __future__ import annotations

import difflib
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def formatted(text: str, name: str) -> str:
    """The text of a header as clang-format leaves it, by the rules of ``.clang-format``."""
    hidden = re.sub(r'^(\s*)#pragma', r'\1//#pragma', text, flags=re.MULTILINE)
    # The package's own binary: another version would format otherwise.
    from clang_format import get_executable

    command = [get_executable('clang-format'), f'--assume-filename={ROOT / name}']
    done = subprocess.run(command, input=hidden, stdout=subprocess.PIPE, text=True, check=True)
    return re.sub(r'^(\s*)// ?#pragma', r'\1#pragma', done.stdout, flags=re.MULTILINE)


def headers() -> list[Path]:
    return sorted((ROOT / 'hls4ml_ext').rglob('*.h'))


def sources() -> list[Path]:
    """All that is to be formatted."""
    return [*headers(), *sorted((ROOT / 'hls4ml_ext').rglob('*.cpp'))]


def difference(path: Path) -> str:
    """What formatting would change, as a diff; '' if nothing."""
    before = path.read_text()
    after = formatted(before, path.name)
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), str(path), 'formatted')
    return ''.join(lines)


def main(arguments: list[str]) -> int:
    paths = [Path(a) for a in arguments if a != '--check'] or sources()
    differences = [difference(p) for p in paths]
    if '--check' in arguments:
        print(''.join(differences), end='')
        return 1 if any(differences) else 0
    for path, changed in zip(paths, differences):
        if changed:
            path.write_text(formatted(path.read_text(), path.name))
            print(f'formatted {path}')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
