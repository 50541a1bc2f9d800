"""The C++ of pooling layers."""

from __future__ import annotations

import numpy as np
from hls4ml.model.attributes import Attribute

from hls4ml_ext.layers.convolution.hls import window_members, window_process
from hls4ml_ext.layers.core import ExactConfigTemplate, ExactFunctionTemplate, ExactLayer
from hls4ml_ext.layers.core.kernel import EnumValue, HLSKernel, Process
from hls4ml_ext.layers.pooling.node import POOLING, ExactPooling2D


class Pool2DKernel(HLSKernel):
    node = ExactPooling2D
    name = 'pool2d'
    header = 'nnet_pooling_ext.h'

    def members(self, node):
        x = node.input_type()
        return {
            # A tap outside of the image never is the largest; averages have none.
            **window_members(node, border=x.lo if node.get_attr('op') == 'max' else 0),
            'n_outputs': node.n_beats,
            'pool_taps': node.window.n_taps,
            'op': EnumValue('nnet::ext::pool_op', 'nnet::ext::pool_' + node.get_attr('op')),
            'scale': int(node.get_attr('scale')),
            'scale_frac': int(node.get_attr('scale_frac')),
            'acc_width': int(node.get_attr('acc_width')),
        }

    def processes(self, node):
        return [*window_process(node), Process('pool_taps')]


class ExactGlobalPooling2D(ExactLayer):
    """Pooling over the whole image; see ``nnet_pooling_ext.h``."""

    free_lanes = False

    kernel = 'global_pool2d'
    header = 'nnet_utils/nnet_pooling_ext.h'
    _expected_attributes = POOLING + [Attribute('n_chan', value_type=int), Attribute('n_pixels', value_type=int)]

    @property
    def cycles(self):
        return self.get_attr('n_pixels')

    @property
    def multipliers(self):
        return 0 if self.get_attr('scale') == 1 else self.get_attr('n_chan')

    def last_input_of(self, i: int = 0):
        return np.array([self.get_attr('n_pixels') - 1])


class GlobalPoolingConfigTemplate(ExactConfigTemplate):
    geometry: tuple[str, ...] = ('n_chan', 'n_pixels')

    def __init__(self, layer_class=ExactGlobalPooling2D):
        super().__init__(layer_class)

    def members(self, node):
        return {
            **{name: int(node.get_attr(name)) for name in self.geometry},
            'op': EnumValue('nnet::ext::pool_op', 'nnet::ext::pool_' + node.get_attr('op')),
            'scale': int(node.get_attr('scale')),
            'scale_frac': int(node.get_attr('scale_frac')),
            'acc_width': int(node.get_attr('acc_width')),
        }


class GlobalPoolingFunctionTemplate(ExactFunctionTemplate):
    def __init__(self):
        super().__init__(ExactGlobalPooling2D)
