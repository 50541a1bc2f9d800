"""The operations of hls4ml-ext, one folder each. A new one is a folder, and a line in :data:`OPERATIONS`."""

from __future__ import annotations

from importlib import import_module

OPERATIONS = (
    'convolution',
    'pooling',
    'merge',
    'activation',
    'ode',
    'attention',
    'normalization',
    'repack',
    'copy',
)
"""Folders of this package, in the order of their registration; each has an ``operation.py`` with an ``OPERATION``."""


def load_operations():
    """The :class:`~hls4ml_ext.registry.Operation` of each folder."""
    return [import_module(f'{__name__}.{folder}.operation').OPERATION for folder in OPERATIONS]
