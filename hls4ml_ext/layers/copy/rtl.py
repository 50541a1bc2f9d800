"""The SystemVerilog of a copy."""

from __future__ import annotations

from hls4ml_ext.layers.copy.node import ExactCopy
from hls4ml_ext.rtl.kernel import FIFO_LATENCY, RTLKernel, fifo_depth


class CopyKernel(RTLKernel):
    """A FIFO for each copy; a beat is taken when there is a place in all of them.

    ``cycles`` one a beat; ``latency`` 2; ``storage`` the FIFOs.
    """

    node = ExactCopy

    def place(self, node, body, inputs, outputs):
        (source,), name = inputs, node.identifier
        body.lines += [
            f'logic [{len(outputs) - 1}:0] {name}__room;',
            f'assign {source.ready} = &{name}__room;',
        ]
        for i, (tensor, stream) in enumerate(zip(node.outputs, outputs)):
            signals = [
                f'.s_data({source.data})', f'.s_valid({source.valid} && &{name}__room)', f'.s_ready({name}__room[{i}])',
            ]  # fmt: skip
            parameters = {'WIDTH': stream.width, 'DEPTH': fifo_depth(node, tensor)}
            body.instance('ext_fifo', f'{name}__{i}', parameters, [*signals, *stream.signals('m')])

    def latency(self, node):
        return FIFO_LATENCY
