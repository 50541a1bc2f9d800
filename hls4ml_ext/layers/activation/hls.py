"""The C++ of a rounding."""

from __future__ import annotations

from hls4ml_ext.layers.activation.node import ExactQuantize
from hls4ml_ext.layers.core.kernel import HLSKernel


class QuantizeKernel(HLSKernel):
    node = ExactQuantize
    name = 'quantize'
    header = 'nnet_quantize_ext.h'

    def members(self, node):
        return {'n_beats': node.n_beats}
