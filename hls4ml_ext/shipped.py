"""The project and study files that come with the package, and how a command's argument is understood: a path, or a name."""

from __future__ import annotations

import difflib
from pathlib import Path

from hls4ml_ext.errors import ProjectError

DIRECTORY = Path(__file__).parent / 'projects'
SUFFIXES = ('.yml', '.yaml')


def shipped_projects() -> dict[str, Path]:
    """Name -> file of each project and study that comes with the package."""
    return {path.stem: path for path in sorted(DIRECTORY.glob('*.yml'))}


def project_path(given: Path, base: Path = Path()) -> Path:
    """The file that a command or a study means.

    Args:
        given: The path of a file, or the name of a project that comes with the package. A path comes first.
        base: Where relative paths start from.

    Returns:
        The file, which exists.

    Raises:
        ProjectError: if there is none.

    Example::

        project_path(Path('digits'))  # the package's, if there is no file of that name in the current directory
    """
    path, name = base / given, str(given)
    if path.is_file():
        return path
    known = shipped_projects()
    if name in known:
        return known[name]
    if path.is_dir():
        files = sorted(p.name for p in path.iterdir() if p.suffix in SUFFIXES)
        hint = f'a file in it: {", ".join(files[:5])}' if files else 'the path of a YAML file'
        raise ProjectError(f"'{path}' is a folder, not a project file. Give {hint}")
    raise ProjectError(f"there is no project file '{path}'{_hint(given, known)}")


def project_name(path: Path) -> str:
    """A project file as people give it: by name if it came with the package, else from the current directory if below it."""
    if path.parent == DIRECTORY:
        return path.stem
    if path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _hint(given: Path, known) -> str:
    """What may have been meant; nothing if there is no idea."""
    stem = given.stem if given.suffix in SUFFIXES else given.name
    close = difflib.get_close_matches(stem, known, 1)
    if close:
        return f". Did you mean '{close[0]}', which comes with hls4ml-ext?"
    if len(given.parts) <= 1 and given.suffix not in SUFFIXES:
        return f'. By name there are {", ".join(known)}'
    return ''
