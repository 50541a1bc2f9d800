"""The SystemVerilog of the residual add."""

from __future__ import annotations

from hls4ml_ext.layers.merge.node import ExactAdd
from hls4ml_ext.rtl.kernel import FIFO_LATENCY, RTLKernel, depth, result_type

PIPELINE = 3
"""Cycles of ``ext_add`` without its FIFO."""


class AddKernel(RTLKernel):
    node = ExactAdd

    def place(self, node, body, inputs, outputs):
        types = [node.input_type(i) for i in range(2)]
        frac = max(t.frac for t in types)
        parameters = {'LANES': node.lanes_out}
        for i, t in enumerate(types):
            parameters |= {f'W_X{i}': t.width, f'X{i}_SIGNED': t.signed, f'X{i}_SHIFT': frac - t.frac}
        parameters |= {'W_A': node.get_attr('acc_width'), **result_type(node.result_type, frac)}
        parameters['DEPTH'] = depth(node, PIPELINE)
        body.engine('ext_add', node.identifier, parameters, inputs, outputs)

    def latency(self, node):
        return PIPELINE + FIFO_LATENCY
