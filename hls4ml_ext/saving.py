"""Loading Keras models that have layers of ours, of QKeras or of a registered operation."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from hls4ml_ext.errors import ProjectError


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
    """
    import keras

    register_keras_classes()
    return keras.models.load_model(path, **kwargs)


def load_keras_file(file: Path):
    """:func:`load_model` for a file that a project names.

    Raises:
        ProjectError: if it can't be loaded.
    """
    try:
        return load_model(file)
    except Exception as e:  # Keras raises nearly anything
        raise ProjectError(f"'{file}' can't be loaded as a Keras model: {str(e).splitlines()[0]}") from e


def running_hls4ml_command() -> bool:
    """Is this process the stock ``hls4ml`` command? It loads models by itself, with no hook for us."""
    return Path(sys.argv[0] if sys.argv else '').stem == 'hls4ml'
