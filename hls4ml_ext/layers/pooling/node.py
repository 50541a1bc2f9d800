"""Graph nodes of pooling layers."""

from __future__ import annotations

from hls4ml.model.attributes import Attribute

from hls4ml_ext.layers.convolution.node import WINDOW_ATTRIBUTES, WindowMixin
from hls4ml_ext.layers.core.memory import Products
from hls4ml_ext.layers.core.node import ExactLayer

POOLING = [
    Attribute('op', value_type=str),  # 'max' or 'average'
    Attribute('scale', value_type=int),  # stored integer of the factor after the sum
    Attribute('scale_frac', value_type=int),
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
        widths = (self.get_attr('acc_width'), scale.bit_length() + 1)
        return [] if scale == 1 else [Products(self.lanes_out, widths)]

    @property
    def memories(self):
        return self.window_memories()

    def last_input_of(self, i: int = 0):
        return self.window.last_input_of(self.channels // self.lanes_out, whole_pixel=False)
