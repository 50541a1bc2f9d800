"""The C++ of pooling layers."""

from __future__ import annotations

from hls4ml_ext.layers.convolution.hls import window_members, window_process
from hls4ml_ext.layers.core.kernel import EnumValue, HLSKernel, Process, multiplier
from hls4ml_ext.layers.core.node import positions
from hls4ml_ext.layers.pooling.node import ExactGlobalPooling2D, ExactPooling2D


def _arithmetic(node) -> dict[str, object]:
    """The members of a config that all kinds of pooling have."""
    return {
        'op': EnumValue('nnet::ext::pool_op', 'nnet::ext::pool_' + node.get_attr('op')),
        'scale': int(node.get_attr('scale')),
        'scale_width': int(node.get_attr('scale')).bit_length(),
        'acc_frac': node.input_type().frac + int(node.get_attr('scale_frac')),
        'sum_width': int(node.get_attr('sum_width')),
        'multiplier': multiplier(node),
        'acc_width': int(node.get_attr('acc_width')),
    }


class GlobalPoolingKernel(HLSKernel):
    node = ExactGlobalPooling2D
    name = 'global_pool2d'
    header = 'nnet_pooling_ext.h'

    def members(self, node):
        return {
            'n_pixels': positions(node.input_shape()),
            'n_chan': node.channels,
            'lanes': node.lanes_out,
            **_arithmetic(node),
        }


class Pool2DKernel(HLSKernel):
    node = ExactPooling2D
    name = 'pool2d'
    header = 'nnet_pooling_ext.h'

    def members(self, node):
        # A tap outside of the image never is the largest; averages have none.
        border = node.input_type().lo if node.get_attr('op') == 'max' else 0
        return {
            **window_members(node, border),
            'n_outputs': node.n_beats,
            'n_taps': node.window.n_taps,
            **_arithmetic(node),
        }

    def processes(self, node):
        return [*window_process(node), Process('pool_taps')]
