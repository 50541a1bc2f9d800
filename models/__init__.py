"""Model builders. A project file names one by its key in :data:`BUILDERS`; its knobs are those of the builder's module."""

from __future__ import annotations

from importlib import import_module

BUILDERS = {
    'ode_mhsa': 'hls4ml_ext.models.ode_mhsa',
    'odenet': 'hls4ml_ext.models.odenet',
    'resnet': 'hls4ml_ext.models.resnet',
}
"""Name -> module with ``Knobs`` (a pydantic model) and ``build(input_shape, n_classes, quantization, **knobs)``."""

COMPARISONS = {
    'resnet50': 'hls4ml_ext.models.resnet50',
    'botnet50': 'hls4ml_ext.models.botnet50',
    'vit': 'hls4ml_ext.models.vit',
}
"""The same for networks to compare with, in floating point only. They can't be converted: project files don't know them."""


def builder(name: str):
    """The module of a builder, one of :data:`BUILDERS` or :data:`COMPARISONS`.

    Raises:
        KeyError: if there is none of that name.
    """
    return import_module({**BUILDERS, **COMPARISONS}[name])
