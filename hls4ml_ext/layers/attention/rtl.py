"""The SystemVerilog of multi-head self-attention."""

from __future__ import annotations

from hls4ml.backends import FPGABackend

from hls4ml_ext.fixed import FixedType
from hls4ml_ext.layers.attention.node import ExactReluAttention, ExactSoftmaxAttention
from hls4ml_ext.rtl.body import Body, Stream
from hls4ml_ext.rtl.kernel import (
    FIFO_LATENCY,
    ROUND_TRIP,
    RTLKernel,
    adder_tree_latency,
    depth,
    implementation,
    result_type,
    rom_file,
    styles,
)

CONTEXT_PIPELINE = 6
"""Cycles of ``ext_attention_context`` from a step to its contexts."""

SOFTMAX_LATENCY = 17
"""Cycles of ``ext_softmax`` from the last token of a row to the first result, besides a row."""


class AttentionKernel(RTLKernel):
    """Scores and contexts, ``ext_attention_scores`` and ``ext_attention_context``, connected by values and weights."""

    def place(self, node, body, inputs, outputs):
        name, heads = node.identifier, node.heads
        values = body.stream(f'{name}_values', inputs[0].width)
        scores = body.stream(f'{name}_scores', heads * int(node.get_attr('score_width')))
        body.engine('ext_attention_scores', f'{name}_qk', self.scores(node), inputs, [values, scores])
        weights = self.weights(node, body, scores)
        body.engine('ext_attention_context', name, self.context(node), [values, weights], outputs)

    def weights(self, node, body: Body, scores: Stream) -> Stream:
        """The stream of attention weights that scores become."""
        return scores

    def scores(self, node) -> dict:
        """The parameters of ``ext_attention_scores``."""
        x, position, memories = node.input_type(), node.get_attr('position'), styles(node)
        key_frac, slices = int(node.get_attr('key_frac')), int(node.get_attr('fold_dims'))
        tables = {}
        for table in ('row', 'col') if position != 'none' else ():
            prefix, words, stored = table.upper(), node.weights[table].words, node.weights[table].stored_type
            tables |= {
                f'{prefix}_WORDS': words, f'W_{prefix}': stored.width, f'{prefix}_SIGNED': stored.signed,
                f'{prefix}_SHIFT': key_frac - stored.frac, f'{prefix}S': rom_file(node, table),
                f'{prefix}_STYLE': memories[table],
            }  # fmt: skip
        return {
            'HEIGHT': node.get_attr('height'), 'WIDTH': node.get_attr('width'), **shape(node),
            'W_X': x.width, 'X_SIGNED': x.signed, 'POSITION': position, 'W_K': node.get_attr('key_width'),
            'KEY_SHIFT': key_frac - x.frac, 'W_STORED': node.get_attr('stored_key_width'), **tables,
            'W_A': node.get_attr('logit_width'),
            **result_type(score_type(node), x.frac + key_frac + int(node.get_attr('logit_shift'))),
            'IMPL': implementation([node.products[0]]),
            'DEPTH': 2 + -(-(self.score_pipeline(node) + ROUND_TRIP) // slices), 'VALUE_DEPTH': self.value_depth(node),
            'QUERY_STYLE': memories['queries'], 'KEY_STYLE': memories['keys'],
        }  # fmt: skip

    def context(self, node) -> dict:
        """The parameters of ``ext_attention_context``."""
        x, weight, memories = node.input_type(), self.weight_type(node), styles(node)
        frac = weight.frac + x.frac + int(node.get_attr('context_shift'))
        return {
            'N': node.n_pixels, **shape(node), 'W_X': x.width, 'X_SIGNED': x.signed, 'W_W': weight.width,
            'W_SIGNED': weight.signed, 'W_A': node.get_attr('context_width'), **result_type(node.result_type, frac),
            'IMPL': implementation([node.products[1]]), 'DEPTH': depth(node, CONTEXT_PIPELINE),
            'VALUE_STYLE': memories['values'], 'SUM_STYLE': memories['sums'],
        }  # fmt: skip

    def weight_type(self, node) -> FixedType:
        """The type of an attention weight."""
        return score_type(node)

    @staticmethod
    def score_pipeline(node) -> int:
        """Cycles of ``ext_attention_scores`` from a step to its scores."""
        dims = int(node.get_attr('key_dim')) // int(node.get_attr('fold_dims'))
        position = {'none': 0, 'relative': 1, 'additive': 3}[node.get_attr('position')]
        return 6 + position + adder_tree_latency(dims)

    def value_depth(self, node) -> int:
        """Places for values that come while contexts of the image before are still added up: images follow each other after
        ``node.cycles``."""
        late = self.late(node) - int(node.delay)
        return 2 + sum(t % (3 * node.reuse) >= 2 * node.reuse for t in range(late))

    def late(self, node) -> int:
        """Cycles from the last step of ``ext_attention_scores`` to that of ``ext_attention_context``."""
        return self.cycles(node) + self.latency(node) - CONTEXT_PIPELINE - FIFO_LATENCY - steps(node)

    def interval(self, node):
        """That of the scores, which wait when more values of the next image come than have a place.

        Of maps so small that several images are in the pipelines at once, images may be further apart.
        """
        reuse = node.reuse
        waits = max(self.value_depth(node) - 1, 2) + 1  # the first value that does
        if waits >= node.n_pixels * reuse:
            return steps(node)
        comes = waits // reuse * 3 * reuse + 2 * reuse + waits % reuse
        return steps(node) + max(self.late(node) + 1 - comes, 0)

    def latency(self, node):
        # The slices of the first key, and both pipelines with their FIFOs.
        slices = int(node.get_attr('fold_dims'))
        return slices - 1 + self.score_pipeline(node) + CONTEXT_PIPELINE + 2 * FIFO_LATENCY


class ReluAttentionKernel(AttentionKernel):
    node = ExactReluAttention


class SoftmaxAttentionKernel(AttentionKernel):
    """With ``ext_softmax`` in between: exponentials are looked up one a cycle, however many slices a key has."""

    node = ExactSoftmaxAttention

    def weights(self, node, body, scores):
        name, (exp, reciprocal) = node.identifier, (node.weights[w].stored_type for w in ('exp', 'reciprocal'))
        x, weight, memories = score_type(node), self.weight_type(node), styles(node)
        weights = body.stream(f'{name}_weights', node.heads * weight.width)
        parameters = {
            'LANES': node.heads, 'LENGTH': node.n_pixels, 'W_X': x.width, 'X_SIGNED': x.signed, 'W_EXP': exp.width,
            'W_SUM': node.get_attr('sum_bits'), 'W_INDEX': node.get_attr('index_bits'), 'W_RECIPROCAL': reciprocal.width,
            'W_PRODUCT': node.get_attr('product_bits'), 'W_Y': weight.width, 'EXPS': rom_file(node, 'exp'),
            'RECIPROCALS': rom_file(node, 'reciprocal'), 'IMPL': implementation([node.products[2]]),
            'LOGIT_STYLE': memories['logits'], 'TERM_STYLE': memories['terms'], 'EXP_STYLE': memories['exp'],
            'RECIPROCAL_STYLE': memories['reciprocal'],
        }  # fmt: skip
        body.engine('ext_softmax', f'{name}_softmax', parameters, [scores], [weights])
        return weights

    def weight_type(self, node):
        return precision(node.get_attr('weight_type'))

    def cycles(self, node):
        # The contexts are a row of logits and a row of exponentials later; the latter has no slices.
        return node.cycles - node.n_pixels * (int(node.get_attr('fold_dims')) - 1)

    def latency(self, node):
        # The slices of the first key belong to its row.
        slices = int(node.get_attr('fold_dims'))
        return super().latency(node) - slices + SOFTMAX_LATENCY


def shape(node) -> dict:
    """What a beat of an attention is."""
    slices = int(node.get_attr('fold_dims'))
    return {
        'GROUPS': node.get_attr('fold_heads'), 'HEADS': node.heads, 'DIMS': int(node.get_attr('key_dim')) // slices,
        'SLICES': slices,
    }  # fmt: skip


def steps(node) -> int:
    """Cycles of ``ext_attention_scores`` for an image."""
    return node.input_beats() + node.n_pixels**2 * node.reuse


def precision(text: str) -> FixedType:
    """The type that a string like ``ap_fixed<8,4,AP_RND_CONV,AP_SAT>`` means."""
    return FixedType.from_hls4ml(FPGABackend.convert_precision_string(text))


def score_type(node) -> FixedType:
    return precision(node.get_attr('score_type'))
