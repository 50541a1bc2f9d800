"""The files of a run: each is there as a whole or not at all, and belongs to one process at a time."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from hls4ml_ext.errors import ProjectError

LOCK = '.lock'
"""The file that is locked for its directory. It stays; the lock goes with the process, however that ends."""

UNFINISHED = 'unfinished-'
"""How the names of files begin that are being written."""


def make_directory(directory: Path):
    """Makes an output directory, if it isn't there. Raises ProjectError if that is impossible."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        file = next((p for p in (directory, *directory.parents) if p.exists() and not p.is_dir()), None)
        raise unusable(directory, f"'{file}' is a file" if file else e) from None


def unusable(directory: Path, problem: str | OSError) -> ProjectError:
    """The message that an output directory can't be used."""
    reason = getattr(problem, 'strerror', None) or problem
    return ProjectError(f"output directory '{directory}' can't be used: {reason}. Choose another one with --output")


@contextlib.contextmanager
def locked(directory: Path, patience: float = 0) -> Iterator[None]:
    """Keeps other processes, and other runs of this one, from using an output directory.

    Args:
        directory: It exists.
        patience: Seconds to wait for another process to be done with it.

    Raises:
        ProjectError: if another one uses it, or nothing can be written there.
    """
    lock = FileLock(directory / LOCK)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        raise ProjectError(
            f"output directory '{directory}' is in use by another run of hls4ml-ext. Wait for its end, or choose another "
            'one with --output'
        ) from None
    except OSError as e:
        raise unusable(directory, e) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def replacing(path: Path, what: str = 'file') -> Iterator[Path]:
    """A file to write, which takes the place of `path` when the block ends without an error.

    Args:
        path: The file, which an interrupt leaves as it was. The other one is beside it and has the same suffix.
        what: It is, for the message.

    Raises:
        ProjectError: if it can't be written.
    """
    unfinished = path.with_name(f'{UNFINISHED}{uuid.uuid4().hex}-{path.name}')
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as e:  # of h5py, without strerror
        raise ProjectError(f"{what} '{path}' can't be written: {e.strerror or e}") from e
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def write_new(path: Path, text: str):
    """Writes a file that isn't there yet. Raises ProjectError if it is, or can't be written."""
    if path.exists():
        raise ProjectError(f"'{path}' is there already. Give the name of a new file, or remove it")
    with replacing(path) as unfinished:
        unfinished.write_text(text, encoding='utf-8')


def remove_unfinished(directory: Path):
    """Removes what processes that were killed have left of :func:`replacing`; the directory has to be locked."""
    for path in directory.glob(f'**/{UNFINISHED}{"[0-9a-f]" * 32}-*'):
        with contextlib.suppress(OSError):
            path.unlink()


def write_json(path: Path, content: dict, indent: int | None = 2):
    """Replaces a file at once; without an indent it is one line. Raises ProjectError if it can't be written."""
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=indent) + '\n', encoding='utf-8')


def read_json(path: Path) -> dict:
    """The content of a file; nothing if there is none, or it is damaged."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
