"""The C++ of a copy."""

from __future__ import annotations

from hls4ml_ext.layers.copy.node import ExactCopy
from hls4ml_ext.layers.core.kernel import INDENT, HLSKernel, tokens_of


class CopyKernel(HLSKernel):
    """A function is written for each copy: its number of streams is a matter of the node.

    ``cycles`` n_beats; no multipliers; no storage.
    """

    node = ExactCopy
    name = 'copy'

    def headers(self, node):
        return ['nnet_utils/nnet_ext.h']

    def struct(self, node):
        return []

    def wrapper(self, node):
        source, result = tokens_of(node)
        streams = [f'res{i + 1}' for i in range(len(node.outputs))]
        parameters = [f'hls::stream<{source}> &data', *(f'hls::stream<{result}> &{stream}' for stream in streams)]
        body = [
            '#pragma HLS INLINE off',
            'copy_beats:',
            f'for (int i = 0; i < {node.n_beats}; i++) {{',
            f'{INDENT}#pragma HLS PIPELINE II=1 style=flp',
            f'{INDENT}const {source} beat = data.read();',
            *(f'{INDENT}{stream}.write(beat);' for stream in streams),
            '}',
        ]
        return [f'inline void copy{node.index}({", ".join(parameters)}) {{', *(INDENT + line for line in body), '}']

    def call(self, node, inputs, output):
        outputs = [node.get_output_variable(name).name for name in node.outputs]
        return f'copy{node.index}({", ".join([*inputs, *outputs])});'
