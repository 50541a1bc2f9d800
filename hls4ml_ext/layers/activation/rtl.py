"""The SystemVerilog of a rounding."""

from __future__ import annotations

from hls4ml_ext.layers.activation.node import ExactQuantize
from hls4ml_ext.rtl.kernel import FIFO_LATENCY, RTLKernel, depth, result_type

PIPELINE = 2
"""Cycles of ``ext_quantize`` without its FIFO."""


class QuantizeKernel(RTLKernel):
    node = ExactQuantize

    def place(self, node, body, inputs, outputs):
        x = node.input_type()
        parameters = {
            'LANES': node.lanes_out, 'W_X': x.width, 'X_SIGNED': x.signed, **result_type(node.result_type, x.frac),
            'DEPTH': depth(node, PIPELINE),
        }  # fmt: skip
        body.engine('ext_quantize', node.identifier, parameters, inputs, outputs)

    def latency(self, node):
        return PIPELINE + FIFO_LATENCY
