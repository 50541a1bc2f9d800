"""Graph node of the residual add."""

from __future__ import annotations

from hls4ml_ext.layers.core.node import ExactLayer


class ExactAdd(ExactLayer):
    """Elementwise sum of two tensors."""

    kind = 'add'
