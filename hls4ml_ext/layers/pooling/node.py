"""Graph nodes of pooling layers."""

from __future__ import annotations

import numpy as np
from hls4ml.model.attributes import Attribute

from hls4ml_ext.layers.convolution.node import WINDOW_ATTRIBUTES, WindowMixin
from hls4ml_ext.layers.core.memory import Memory, Products
from hls4ml_ext.layers.core.node import ExactLayer, pipeline_depth

POOLING = [
    Attribute('op', value_type=str),  # 'max' or 'average'
    Attribute('scale', value_type=int),  # stored integer of the factor after the sum; 1 for a power of two
    Attribute('scale_frac', value_type=int),
    Attribute('sum_width', value_type=int),  # bits of the sum
]


class ExactPooling2D(WindowMixin, ExactLayer):
    """Pooling over a window, a tap a cycle.

    Attributes:
        op: 'max' or 'average'.
        scale, scale_frac: The factor after the sum: a stored integer and its fractional bits.
    """

    kind = 'pool2d'
    _expected_attributes = POOLING + WINDOW_ATTRIBUTES

    @property
    def window_lanes(self) -> int:
        return self.lanes_out

    @property
    def cycles(self):
        return self.window.cycles(self.window.beats)

    @property
    def products(self):
        scale = self.get_attr('scale')
        widths = (self.get_attr('sum_width'), scale.bit_length())
        return [] if scale == 1 else [Products(self.lanes_out, widths)]

    @property
    def memories(self):
        return self.window_memories()

    def last_input_of(self, i: int = 0):
        return self.window.last_input_of(self.channels // self.lanes_out, whole_pixel=False)


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
    def delay(self):
        return 1  # the results have a loop of their own, behind the one of the sums

    @property
    def pipeline_depths(self):
        return (pipeline_depth(memories=True), pipeline_depth(memories=True, terms=len(self.products)))

    @property
    def memories(self):
        return [Memory('sums', self.n_beats, self.lanes_out, self.get_attr('sum_width'))]

    @property
    def products(self):
        scale = self.get_attr('scale')
        return [] if scale == 1 else [Products(self.lanes_out, (self.get_attr('sum_width'), scale.bit_length()))]

    def last_input_of(self, i: int = 0):
        return np.full(self.n_beats, self.input_beats(i) - 1)
