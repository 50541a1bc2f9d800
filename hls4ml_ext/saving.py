"""Keras models in files: those that have layers of ours, of QKeras or of a registered operation."""

from __future__ import annotations

import json
import re
import sys
import zipfile
from importlib import import_module
from pathlib import Path

from hls4ml_ext.errors import ProjectError

HDF5 = b'\x89HDF\r\n\x1a\n'

UNKNOWN_CLASS = re.compile(
    r"Could not (?:locate|deserialize) (?P<kind>class|function) '(?P<name>\w+)'"
    r"(?:.*?'registered_name': '(?P<registered>[^']*>(?P=name))')?",
    re.DOTALL,
)
"""Keras's message about a class or a function that it doesn't know, within others."""


NEW_ARGUMENTS = ('input_axes', 'output_axes', 'quantization_config')
"""Arguments of layers and initializers that Keras 3.12, the last one for Python 3.10, refuses even if they are None."""


def register_keras_classes():
    """Imports the modules of all Keras layers that have a lowering, so that Keras knows their classes by name."""
    import qkeras  # noqa: F401

    from hls4ml_ext.registry import lowerings

    for name in lowerings():
        import_module(name.rsplit('.', 1)[0])


def load_model(path, **kwargs):
    """``keras.models.load_model``, for which the classes of QKeras and hls4ml-ext need not have been imported.

    Args:
        path: The ``.keras`` file.
        kwargs: Passed on.

    Returns:
        keras.Model

    Raises:
        ProjectError: if the file is there but is none of Keras, is damaged, or has a class that isn't known.
    """
    import keras

    register_keras_classes()
    problem = _damage(path)
    if problem:
        raise ProjectError(f"'{path}' can't be loaded as a Keras model: {problem}")
    try:
        return keras.models.load_model(path, **kwargs)
    except (TypeError, ValueError) as e:
        unknown = UNKNOWN_CLASS.search(str(e))
        if unknown is None:
            raise
        name = unknown['registered'] or unknown['name']
        raise ProjectError(
            f"'{path}' can't be loaded as a Keras model: it has a {unknown['kind']} '{name}', which is not of Keras, QKeras "
            'or hls4ml-ext. Load it in Python, after importing the module that registers it, or with custom_objects='
            f'{{{name!r}: {unknown["name"]}}}'
        ) from e


def save_model(model, path):
    """Writes a model without its optimizer, which takes twice the room of the weights, for any Keras from 3.12 on.

    Args:
        model: A Keras model.
        path: The ``.keras`` file, which is replaced.
    """
    path = Path(path)
    optimizer = model.optimizer if model.compiled else None
    try:
        if optimizer is not None:
            model.compiled, model.optimizer = False, None
        model.save(path)
    finally:
        if optimizer is not None:
            model.compiled, model.optimizer = True, optimizer
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files['config.json'] = json.dumps(_without_new_arguments(json.loads(files['config.json']))).encode()
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)


def _without_new_arguments(config):
    if isinstance(config, dict):
        return {
            key: _without_new_arguments(value)
            for key, value in config.items()
            if value is not None or key not in NEW_ARGUMENTS
        }
    return [_without_new_arguments(value) for value in config] if isinstance(config, list) else config


def load_keras_file(file: Path, remedy: str):
    """:func:`load_model` for a file that a project names, or that is a run's own.

    Args:
        file: The file.
        remedy: What to do if it is damaged.

    Raises:
        ProjectError: if it can't be loaded.
    """
    try:
        return load_model(file)
    except ProjectError as e:
        raise e if e.__cause__ else ProjectError(f'{e}. {remedy}') from None
    except Exception as e:  # Keras raises nearly anything
        text = str(e.args[0]) if isinstance(e, KeyError) and e.args else str(e)  # str() of a KeyError is in quotes
        lines = text.split('Exception encountered: ')[-1].split('. Full object config:')[0].splitlines()
        reason = lines[0].rstrip('.') if lines else type(e).__name__
        raise ProjectError(f"'{file}' can't be loaded as a Keras model: {reason}. {remedy}") from e


def _damage(path) -> str | None:
    """What is wrong with a ``.keras`` file; None if that can't be said, or it is another kind of file."""
    path = Path(path)
    if path.suffix != '.keras' or not path.is_file():
        return None
    if path.stat().st_size == 0:
        return 'the file is empty'
    with open(path, 'rb') as file:
        start = file.read(len(HDF5))
    if start == HDF5:
        return 'it is an HDF5 file. Name it .h5, if it was saved as a whole model'
    if not zipfile.is_zipfile(path):
        return 'the file is not complete' if start.startswith(b'PK') else 'it is not a file of Keras'
    with zipfile.ZipFile(path) as archive:
        missing = [name for name in ('config.json', 'model.weights.h5') if name not in archive.namelist()]
        if missing:
            return f'it is not a file of Keras (there is no {missing[0]} in it)'
        broken = archive.testzip()
    return f'the file is damaged ({broken} in it)' if broken else None


def running_hls4ml_command() -> bool:
    """Is this process the stock ``hls4ml`` command? It loads models by itself, with no hook for us."""
    return Path(sys.argv[0] if sys.argv else '').stem == 'hls4ml'
