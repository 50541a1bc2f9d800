"""The C++ of pooling layers."""

from __future__ import annotations

from hls4ml_ext.layers.convolution.hls import WINDOW
from hls4ml_ext.layers.core import ExactConfigTemplate, ExactFunctionTemplate
from hls4ml_ext.layers.core.kernel import EnumValue, HLSKernel
from hls4ml_ext.layers.core.node import positions
from hls4ml_ext.layers.pooling.node import ExactGlobalPooling2D, ExactPooling2D


def _arithmetic(node) -> dict[str, object]:
    """The members of a config that all kinds of pooling have."""
    return {
        'op': EnumValue('nnet::ext::pool_op', 'nnet::ext::pool_' + node.get_attr('op')),
        'scale': int(node.get_attr('scale')),
        'scale_frac': int(node.get_attr('scale_frac')),
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
            'sum_width': int(node.get_attr('sum_width')),
            'scale_width': int(node.get_attr('scale')).bit_length(),
            **_arithmetic(node),
        }


class PoolingConfigTemplate(ExactConfigTemplate):
    def __init__(self):
        super().__init__(ExactPooling2D)

    def members(self, node):
        return {**{name: int(node.get_attr(name)) for name in WINDOW}, **_arithmetic(node)}


class PoolingFunctionTemplate(ExactFunctionTemplate):
    def __init__(self):
        super().__init__(ExactPooling2D)
