"""Graph node between two streams of different lanes."""

from __future__ import annotations

import numpy as np
from hls4ml.model.attributes import Attribute

from hls4ml_ext.layers.core.node import ExactLayer


class ExactRepack(ExactLayer):
    """The same numbers in wider or narrower beats; one width divides the other.

    Attributes:
        lanes_from: Lanes of the input; ``lanes`` are those of the output.
    """

    kind = 'repack'
    fuses_quantizer = False
    inserted = True
    free_lanes = False
    _expected_attributes = [Attribute('lanes_from', value_type=int)]

    def lanes_in(self, i: int = 0):
        return self.get_attr('lanes_from')

    @property
    def cycles(self):
        return self.n_pixels * self.channels // min(self.get_attr('lanes_from'), self.lanes_out)

    def last_input_of(self, i: int = 0):
        return ((np.arange(self.n_beats) + 1) * self.lanes_out - 1) // self.get_attr('lanes_from')
