"""Graph node of a rounding."""

from __future__ import annotations

from hls4ml_ext.layers.core.node import ExactLayer


class ExactQuantize(ExactLayer):
    """A rounding to a fixed-point type."""

    kind = 'quantize'
