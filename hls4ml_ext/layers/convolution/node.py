"""Graph nodes of convolution and dense layers."""

from __future__ import annotations

import numpy as np
from hls4ml.model.attributes import Attribute, TypeAttribute, WeightAttribute

from hls4ml_ext.layers.convolution.window import WINDOW, Window
from hls4ml_ext.layers.core.folding import Folding, divisors, folding_settings, slices
from hls4ml_ext.layers.core.memory import Products
from hls4ml_ext.layers.core.node import ExactLayer, pipeline_depth


class WeightedLayer(ExactLayer):
    """A layer of sums of products with constant weights: SIMD inputs of PE outputs in a cycle.

    Attributes:
        n_in, n_out: Inputs of a sum, and outputs for a pixel.
        n_vectors: How often the weights are used for one image: pixels of the output.
        simd, pe: The folding.
        reuse_cycles: Cycles for a pixel.
    """

    free_lanes = False
    _expected_attributes = [
        WeightAttribute('weight'),
        WeightAttribute('bias'),
        TypeAttribute('weight'),
        TypeAttribute('bias'),
        *(Attribute(name, value_type=int) for name in ('n_in', 'n_out', 'n_vectors', 'simd', 'pe', 'reuse_cycles')),
    ]

    def initialize(self):
        super().initialize()
        weights, weight_type = self.attributes.pop('weight_words')
        bias, bias_type = self.attributes.pop('bias_words')
        self.add_rom('weight', 'w', weight_type, weights)
        self.add_rom('bias', 'b', bias_type, bias)

    @property
    def reuse(self) -> int:
        return self.get_attr('reuse_cycles')

    @property
    def fold_in(self) -> int:
        """Slices of the inputs of a sum."""
        return self.get_attr('n_in') // self.get_attr('simd')

    @property
    def fold_out(self) -> int:
        """Groups of outputs."""
        return self.get_attr('n_out') // self.get_attr('pe')

    @property
    def lanes_out(self):
        return self.get_attr('pe')

    def lanes_in(self, i: int = 0):
        return self.get_attr('simd')

    @property
    def cycles(self):
        return self.get_attr('n_vectors') * self.fold_in * self.fold_out

    @property
    def products(self):
        widths = (self.input_type().width, self.weights['weight'].stored_type.width)
        return [Products(self.get_attr('simd') * self.get_attr('pe'), widths, self.get_attr('mult_impl', 'auto'))]

    @property
    def macs(self):
        return self.get_attr('n_vectors') * self.get_attr('n_in') * self.get_attr('n_out')

    @property
    def memories(self):
        storage = self.get_attr('weight_storage', 'auto')
        return [self.rom('weight', storage), self.rom('bias', 'auto' if storage == 'auto' else storage)]

    @property
    def settings(self):
        return folding_settings(self)

    def folded_attributes(self, folding):
        return {'simd': folding.simd, 'pe': folding.pe, 'reuse_cycles': folding.reuse}

    def folded_roms(self, folding):
        return {'weight': folding.simd * folding.pe, 'bias': folding.pe}


class MatrixLayer(WeightedLayer):
    """A layer whose outputs each need all inputs of a vector; see ``matvec``."""

    @property
    def memories(self):
        if self.fold_out == 1:
            return super().memories
        from hls4ml_ext.layers.core.memory import Memory

        x = self.input_type()
        return [*super().memories, Memory('vector', self.fold_in, self.get_attr('simd'), x.width, signed=x.signed)]


class WindowMixin:
    """A sliding window in front of the arithmetic.

    Attributes:
        window: Kind of the window; see :class:`~hls4ml_ext.layers.convolution.window.Window`.
    """

    @property
    def window(self) -> Window:
        geometry = {name: self.get_attr(name) for name in WINDOW}
        key = (*geometry.values(), self.window_lanes, self.get_attr('window_kind'))
        known = getattr(self, '_window', None)
        if known is None or known[0] != key:
            self._window = known = (key, Window(geometry, self.window_lanes, self.get_attr('window_kind')))
        return known[1]

    def lanes_in(self, i: int = 0):
        return self.window_lanes

    @property
    def pipeline_depths(self):
        window = () if self.get_attr('window_kind') == 'none' else (pipeline_depth(memories=True),)
        return (*window, *super().pipeline_depths)

    def window_memories(self):
        x = self.input_type()
        return self.window.memories(x.width, x.signed)

    def window_kinds(self) -> dict[Folding, str]:
        """Each possible folding -> the kind of window that it needs."""
        return {}

    def possible_foldings(self):
        return list(self.window_kinds())

    def folded_attributes(self, folding):
        return {**super().folded_attributes(folding), 'window_kind': self.window_kinds()[folding]}


WINDOW_ATTRIBUTES = [*(Attribute(name, value_type=int) for name in WINDOW), Attribute('window_kind', value_type=str)]


class ExactConv2D(WindowMixin, MatrixLayer):
    """Dense 2D convolution: a window, and a matrix of n_taps * n_chan inputs and n_out outputs."""

    kind = 'conv2d'
    _expected_attributes = WINDOW_ATTRIBUTES

    @property
    def window_lanes(self) -> int:
        n_taps = self.get_attr('filt_height') * self.get_attr('filt_width')
        return self.get_attr('simd') // (n_taps if self.get_attr('window_kind') == 'parallel' else 1)

    @property
    def cycles(self):
        return self.window.cycles(self.fold_in * self.fold_out)

    @property
    def memories(self):
        return [*self.window_memories(), *super().memories]

    def last_input_of(self, i: int = 0):
        return self.window.last_input_of(self.fold_out, whole_pixel=True)

    def window_kinds(self):
        return self.foldings({name: self.get_attr(name) for name in WINDOW}, self.get_attr('n_out'))

    @staticmethod
    def foldings(geometry: dict[str, int], n_out: int) -> dict[Folding, str]:
        """The possible foldings, each with the kind of window that it needs."""
        found: dict[Folding, str] = {}
        n_taps = geometry['filt_height'] * geometry['filt_width']
        for kind in reversed(Window.kinds(geometry)):  # a serial window first: its rows are a RAM
            for lanes in divisors(geometry['n_chan']):
                window = Window(geometry, lanes, kind)
                simd = window.taps * lanes
                if any(f.simd == simd for f in found):
                    continue
                for pe, groups in slices(n_out).items():
                    engine = n_taps * geometry['n_chan'] // simd * groups
                    found[Folding(simd, pe, window.per_pixel(engine))] = kind
        return found


class ExactDepthwiseConv2D(WindowMixin, WeightedLayer):
    """Depthwise 2D convolution: SIMD taps (all, or one) of PE channels in a cycle; ``n_in`` are the taps."""

    kind = 'depthwise_conv2d'
    _expected_attributes = WINDOW_ATTRIBUTES

    @property
    def window_lanes(self) -> int:
        return self.get_attr('pe')

    @property
    def cycles(self):
        return self.window.cycles(self.fold_in * self.fold_out)

    @property
    def memories(self):
        return [*self.window_memories(), *super().memories]

    def last_input_of(self, i: int = 0):
        return self.window.last_input_of(self.fold_out, whole_pixel=False)

    def window_kinds(self):
        return self.foldings({name: self.get_attr(name) for name in WINDOW})

    @staticmethod
    def foldings(geometry: dict[str, int]) -> dict[Folding, str]:
        """The possible foldings, each with the kind of window that it needs."""
        found = {}
        for kind in reversed(Window.kinds(geometry)):
            for pe in divisors(geometry['n_chan']):
                window = Window(geometry, pe, kind)
                found[Folding(window.taps, pe, window.per_pixel(window.beats))] = kind
        return found


class ExactDense(MatrixLayer):
    """Dense layer over all pixels: one vector."""

    kind = 'dense'

    def last_input_of(self, i: int = 0):
        return np.full(self.n_beats, self.input_beats() - 1)

    def possible_foldings(self):
        return self.foldings(self.input_shape()[-1], self.get_attr('n_out'))

    @staticmethod
    def foldings(n_chan: int, n_out: int) -> list[Folding]:
        """The possible foldings, with their cycles for a pixel of the input."""
        return [Folding(simd, pe, a * b) for simd, a in slices(n_chan).items() for pe, b in slices(n_out).items()]
