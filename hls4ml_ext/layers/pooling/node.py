"""Graph nodes of pooling layers."""

from __future__ import annotations

import numpy as np
from hls4ml.model.attributes import Attribute

from hls4ml_ext.layers.convolution.hls import WINDOW, WindowMixin
from hls4ml_ext.layers.core.memory import Products
from hls4ml_ext.layers.core.node import ExactLayer

POOLING = [
    Attribute('op', value_type=str),  # 'max' or 'average'
    Attribute('scale', value_type=int),  # stored integer of the factor after the sum; 1 for a power of two
    Attribute('scale_frac', value_type=int),
    Attribute('sum_width', value_type=int),  # bits of the sum
]


class ExactPooling2D(WindowMixin, ExactLayer):
    """Pooling over a window; see ``nnet_pooling_ext.h``."""

    free_lanes = False

    kernel = 'pool2d'
    header = 'nnet_utils/nnet_pooling_ext.h'
    _expected_attributes = POOLING + [Attribute(name, value_type=int) for name in WINDOW]

    @property
    def cycles(self):
        return self.n_positions

    @property
    def interval(self):
        return 1

    @property
    def multipliers(self):
        return 0 if self.get_attr('scale') == 1 else self.get_attr('n_chan')


class ExactGlobalPooling2D(ExactLayer):
    """Pooling over the whole image: an accumulator for each channel, whose results go out behind the last pixel."""

    kind = 'global_pool2d'
    _expected_attributes = POOLING

    @property
    def cycles(self):
        return self.input_beats() + self.n_beats

    @property
    def interval(self):
        return 1

    @property
    def products(self):
        scale = self.get_attr('scale')
        return [] if scale == 1 else [Products(self.lanes_out, (self.get_attr('sum_width'), scale.bit_length()))]

    def last_input_of(self, i: int = 0):
        return np.full(self.n_beats, self.input_beats(i) - 1)
