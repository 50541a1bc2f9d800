"""Model builders. A project file names one by its key in :data:`BUILDERS`; its knobs are those of the builder's module."""

from __future__ import annotations

from importlib import import_module

BUILDERS = {
    'ode_mhsa': 'models.ode_mhsa',
}
"""Name -> module with ``Knobs`` (a pydantic model) and ``build(input_shape, n_classes, quantization, **knobs)``."""


def builder(name: str):
    """The module of a builder.

    Raises:
        KeyError: if there is none of that name.
    """
    return import_module(BUILDERS[name])
