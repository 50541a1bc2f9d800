"""Graph nodes of multi-head self-attention."""

from __future__ import annotations

import numpy as np
from hls4ml.model.attributes import Attribute

from hls4ml_ext.layers.core.folding import Folding, divisors, folding_settings
from hls4ml_ext.layers.core.memory import Memory, Products
from hls4ml_ext.layers.core.node import ExactLayer, pipeline_depth

GEOMETRY = ('height', 'width', 'n_heads', 'key_dim', 'fold_heads', 'fold_dims')
WIDTHS = (
    'key_width', 'key_frac', 'stored_key_width', 'logit_width', 'logit_shift', 'score_width', 'weight_width',
    'context_width', 'context_shift',
)  # fmt: skip


def fold(simd: int, n_heads: int, key_dim: int) -> dict[str, int]:
    """Groups of heads, and slices of the dims of a head, at `simd` lanes."""
    return {'fold_heads': n_heads // max(simd // key_dim, 1), 'fold_dims': key_dim // min(simd, key_dim)}


def position_lanes(position: str, simd: int, key_dim: int) -> int:
    """Numbers in a word of a table of positions: as many as a cycle adds. Relative ones are the same for all heads."""
    return simd if position == 'additive' else min(simd, key_dim)


class ExactAttention(ExactLayer):
    """Attention over the N pixels of a map: what both kinds share.

    A pixel of the input holds queries, keys and values, [3][n_heads][key_dim]; a pixel of the output the contexts,
    [n_heads][key_dim]. Both come in beats of SIMD lanes: ``n_heads / fold_heads`` heads with all of their dims, or, where
    that is one head, ``key_dim / fold_dims`` of its dims. A pixel's queries are ``reuse`` beats, so are its keys and values.

    For each query, each group of heads and each key, the slices of key_dim follow each other: a word of queries, keys and
    values is used in a cycle.

    Attributes:
        position: 'none', 'additive' or 'relative'.
        score_type: Type of what a logit is rounded to: the attention weight (ReLU) or the logit (softmax).
        key_width, key_frac: A key plus its position.
        stored_key_width: A key as it is stored, with an additive position.
        logit_width, context_width: The sums.
        logit_shift, context_shift: Binary places by which the sums are shifted to the right.
        score_width, weight_width: Of a rounded logit, and of an attention weight.
        simd: Lanes.
    """

    free_lanes = False

    _expected_attributes = [
        Attribute('position', value_type=str),
        Attribute('score_type', value_type=str),
        Attribute('simd', value_type=int),
        *(Attribute(name, value_type=int) for name in (*GEOMETRY, *WIDTHS)),
    ]

    def initialize(self):
        super().initialize()
        for name, (stored_type, words) in self.attributes.pop('roms').items():
            self.add_rom(name, f'{name}_table', stored_type, words)  # exp2 and exp10 are functions of C

    # ------------------------------------------------------------------ folding

    @staticmethod
    def foldings(n_heads: int, key_dim: int) -> list[Folding]:
        """The possible foldings: heads first, then the dims of one head, so that a word's channels are neighbours."""
        by_heads = [Folding(h * key_dim, h * key_dim, n_heads // h) for h in divisors(n_heads)]
        by_dims = [Folding(d, d, n_heads * key_dim // d) for d in divisors(key_dim) if d < key_dim]
        return by_heads + by_dims

    def possible_foldings(self):
        return self.foldings(self.get_attr('n_heads'), self.get_attr('key_dim'))

    def folded_attributes(self, folding):
        return {'simd': folding.simd, **fold(folding.simd, self.get_attr('n_heads'), self.get_attr('key_dim'))}

    def folded_roms(self, folding):
        if self.get_attr('position') == 'none':
            return {}
        return dict.fromkeys(
            ('row', 'col'), position_lanes(self.get_attr('position'), folding.simd, self.get_attr('key_dim'))
        )

    @property
    def reuse(self) -> int:
        return self.get_attr('fold_heads') * self.get_attr('fold_dims')

    @property
    def heads(self) -> int:
        """Heads in a cycle."""
        return self.get_attr('n_heads') // self.get_attr('fold_heads')

    @property
    def settings(self):
        return {key: value for key, value in folding_settings(self).items() if key != 'PE'}

    # ------------------------------------------------------------------ beats

    @property
    def lanes_out(self):
        return self.get_attr('simd')

    def lanes_in(self, i: int = 0):
        return self.get_attr('simd')

    def last_input_of(self, i: int = 0):
        return np.full(self.n_beats, self.input_beats() - 1)

    # ------------------------------------------------------------------ costs

    @property
    def cycles(self):
        return self.input_beats() + self.n_pixels**2 * self.reuse + self.delay

    @property
    def interval(self):
        return self.n_pixels

    @property
    def delay(self) -> int:
        """Cycles by which all contexts are later than the rows of their logits."""
        return 0

    @property
    def pipeline_depths(self):
        # Keeping what arrives; logits and contexts.
        dims = self.get_attr('key_dim') // self.get_attr('fold_dims')
        return pipeline_depth(memories=True), pipeline_depth(True, dims) + pipeline_depth(True, 1)

    @property
    def products(self):
        x, simd, impl = self.input_type().width, self.get_attr('simd'), self.get_attr('mult_impl', 'auto')
        return [
            Products(simd, (x, self.get_attr('key_width')), impl),
            Products(simd, (self.get_attr('weight_width'), x), impl),
        ]

    @property
    def macs(self):
        return 2 * self.n_pixels**2 * self.get_attr('n_heads') * self.get_attr('key_dim')

    @property
    def memories(self):
        x, simd, words = self.input_type(), self.get_attr('simd'), self.n_pixels * self.reuse
        storage = self.get_attr('weight_storage', 'auto')
        return [
            *(self.rom(name, storage) for name in ('row', 'col') if self.get_attr('position') != 'none'),
            Memory('queries', words, simd, x.width, signed=x.signed),
            Memory('keys', words, simd, self.get_attr('stored_key_width')),
            Memory('values', words, simd, x.width, signed=x.signed),
            Memory('sums', self.get_attr('fold_dims'), simd, self.get_attr('context_width')),
        ]


class ExactReluAttention(ExactAttention):
    """Attention whose weights are rectified logits."""

    kind = 'relu_attention'


class ExactSoftmaxAttention(ExactAttention):
    """Attention whose weights are the softmax of the logits.

    While a row of logits comes, exponentials are looked up for the row before, and the one before that is normalized.

    Attributes:
        weight_type: Type of an attention weight.
        score_signed: Whether logits have a sign.
        index_bits, sum_bits, product_bits: Of :class:`~hls4ml_ext.layers.attention.tables.IntegerSoftmax`.
    """

    kind = 'softmax_attention'

    _expected_attributes = [
        Attribute('weight_type', value_type=str),
        Attribute('score_signed', value_type=bool),
        Attribute('index_bits', value_type=int),
        Attribute('sum_bits', value_type=int),
        Attribute('product_bits', value_type=int),
    ]

    @property
    def delay(self):
        return 2 * self.n_pixels * self.get_attr('fold_dims')

    @property
    def pipeline_depths(self):
        # A logit, its exponential, the sum, the reciprocal, a product: four memories behind one another.
        keep, work = super().pipeline_depths
        return keep, work + 4 * pipeline_depth(memories=True) + pipeline_depth(terms=1)

    @property
    def products(self):
        widths = tuple(self.weights[name].stored_type.width for name in ('exp', 'reciprocal'))
        return [*super().products, Products(self.heads, widths, self.get_attr('mult_impl', 'auto'))]

    @property
    def macs(self):
        return super().macs + self.n_pixels**2 * self.get_attr('n_heads')

    @property
    def memories(self):
        storage, exp = self.get_attr('weight_storage', 'auto'), self.weights['exp'].stored_type
        return [
            *super().memories,
            # All lanes look up at once.
            *(self.rom(name, storage, copies=self.heads) for name in ('exp', 'reciprocal')),
            Memory('logits', self.n_pixels, self.heads, self.get_attr('score_width'), signed=self.get_attr('score_signed')),
            Memory('terms', self.n_pixels, self.heads, exp.width, signed=False),
        ]
