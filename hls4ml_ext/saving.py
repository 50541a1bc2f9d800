"""Loading Keras models that have layers of ours, of QKeras or of a registered operation."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path


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


def running_hls4ml_command() -> bool:
    """Is this process the stock ``hls4ml`` command? It loads models by itself, with no hook for us."""
    return Path(sys.argv[0] if sys.argv else '').stem == 'hls4ml'
