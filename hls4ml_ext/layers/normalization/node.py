"""Graph node of layer normalization."""

from __future__ import annotations

import numpy as np
from hls4ml.backends import FPGABackend
from hls4ml.model.attributes import Attribute, TypeAttribute, WeightAttribute

from hls4ml_ext.fixed import FixedType
from hls4ml_ext.layers.core.folding import Folding, divisors, folding_settings
from hls4ml_ext.layers.core.memory import Memory, Products
from hls4ml_ext.layers.core.node import ExactLayer, pipeline_depth
from hls4ml_ext.layers.normalization import tables

WIDTHS = ('x_width', 'sum_width', 'square_width', 'variance_width', 'deviation_width', 'product_width')


class ExactLayerNorm(ExactLayer):
    """Layer normalization over the channels of each pixel, a beat of ``simd`` channels a cycle.

    While the statistics of a pixel are summed up, the pixel before it is read back from a RAM and normalized: each of its
    words makes room for one of the pixel that comes.

    Attributes:
        simd: Channels in a cycle, and lanes of the input and the output.
        normal, normal_width: The type of the normalized values, as C++, and its bits.
        epsilon, offset: Stored integers; see :class:`~hls4ml_ext.layers.normalization.tables.LayerNormArithmetic`.
        scaled: Whether it multiplies by gamma. A layer without gamma or beta has a ROM of one word of ones or zeros.
    """

    kind = 'layer_norm'
    free_lanes = False

    _expected_attributes = [
        WeightAttribute('table'),
        WeightAttribute('gamma'),
        WeightAttribute('beta'),
        TypeAttribute('table'),
        TypeAttribute('gamma'),
        TypeAttribute('beta'),
        Attribute('simd', value_type=int),
        Attribute('normal', value_type=str),
        Attribute('normal_width', value_type=int),
        Attribute('epsilon', value_type=int),
        Attribute('offset', value_type=int),
        Attribute('scaled', value_type=bool),
        *[Attribute(name, value_type=int) for name in WIDTHS],
    ]

    def initialize(self):
        super().initialize()
        table = tables.rsqrt_table() * 2.0**-tables.TABLE_FRAC
        self.add_rom('table', 'r', FixedType(tables.TABLE_FRAC, 0, False), table[:, None])
        for name in ('gamma', 'beta'):
            values, ftype = self.attributes.pop(name + 's')
            self.add_rom(name, name[0], ftype, values.reshape(-1, self.get_attr('simd')))

    @property
    def lanes_out(self):
        return self.get_attr('simd')

    def lanes_in(self, i: int = 0):
        return self.get_attr('simd')

    @property
    def normal_type(self) -> FixedType:
        """Type of the normalized values."""
        return FixedType.from_hls4ml(FPGABackend.convert_precision_string(self.get_attr('normal')))

    def folded_attributes(self, folding):
        return {'simd': folding.simd}

    def folded_roms(self, folding):
        # Without scale or center it is one word of ones or zeros, however wide.
        return {name: folding.simd for name in ('gamma', 'beta') if self.weights[name].data.size == self.channels}

    @property
    def reuse(self) -> int:
        """Beats of a pixel, and cycles for one."""
        return self.channels // self.get_attr('simd')

    @property
    def cycles(self):
        return (self.n_pixels + 1) * self.reuse

    @property
    def pipeline_depths(self):
        # One behind the other: the sums and a square of one, the table and the product with its entry, gamma and beta.
        return (pipeline_depth(True, self.get_attr('simd')) + pipeline_depth(True, 1) + pipeline_depth(terms=1),)

    @property
    def products(self):
        """Of the square of the sum; of each lane's square and 1/sqrt(v), and of gamma where there is one."""
        a = self.attributes
        widths = [(a['x_width'], a['x_width']), (a['deviation_width'], tables.SCALE_FRAC)]
        if a['scaled']:
            widths.append((a['normal_width'], self.weights['gamma'].stored_type.width))
        impl = self.get_attr('mult_impl', 'auto')
        square_of_sum = Products(1, (a['sum_width'], a['sum_width']), impl)
        return [square_of_sum, *(Products(a['simd'], pair, impl) for pair in widths)]

    @property
    def macs(self):
        return self.n_pixels * (2 + self.get_attr('scaled')) * self.channels

    @property
    def memories(self):
        storage = self.get_attr('weight_storage', 'auto')
        return [
            *(self.rom(name, storage) for name in ('table', 'gamma', 'beta')),
            Memory('pixel', self.reuse, self.get_attr('simd'), self.get_attr('x_width')),
        ]

    def last_input_of(self, i: int = 0):
        """A beat of the pixel after it comes in as a beat goes out."""
        return np.minimum(np.arange(self.n_beats) + self.reuse, self.n_beats - 1)

    def possible_foldings(self):
        return self.foldings(self.channels)

    @staticmethod
    def foldings(n_chan: int) -> list[Folding]:
        """The possible foldings: a beat is read, normalized and written in each cycle."""
        return [Folding(n, n, n_chan // n) for n in divisors(n_chan)]

    @property
    def settings(self):
        return {key: value for key, value in folding_settings(self).items() if key != 'PE'}
