"""The SystemVerilog of a repack."""

from __future__ import annotations

from hls4ml_ext.layers.repack.node import ExactRepack
from hls4ml_ext.rtl.kernel import FIFO_LATENCY, RTLKernel, fifo_depth


class RepackKernel(RTLKernel):
    node = ExactRepack

    def place(self, node, body, inputs, outputs):
        parameters = {'FROM': inputs[0].width, 'TO': outputs[0].width, 'DEPTH': fifo_depth(node)}
        body.engine('ext_repack', node.identifier, parameters, inputs, outputs)

    def latency(self, node):
        return FIFO_LATENCY
