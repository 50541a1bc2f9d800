"""The C++ of multi-head self-attention."""

from __future__ import annotations

from hls4ml_ext.layers.attention.node import GEOMETRY, ExactReluAttention, ExactSoftmaxAttention
from hls4ml_ext.layers.core.kernel import HLSKernel, Process, multiplier

WIDTHS = ('key_width', 'stored_key_width', 'logit_width', 'context_width')


class AttentionKernel(HLSKernel):
    header = 'nnet_attention_ext.h'

    def members(self, node):
        x, (scores, contexts, *_) = node.input_type(), node.products
        position, key_frac = node.get_attr('position'), int(node.get_attr('key_frac'))
        element = node.get_input_variable().type.precision.definition_cpp()
        members = {
            **{name: int(node.get_attr(name)) for name in (*GEOMETRY, *WIDTHS)},
            # An additive position is in the stored key.
            'stored_shift': key_frac - x.frac if position == 'additive' else 0,
            'key_shift': key_frac - x.frac if position != 'additive' else 0,
            'logit_frac': x.frac + key_frac + int(node.get_attr('logit_shift')),
            'context_shift': int(node.get_attr('context_shift')),
        }
        for name in ('row', 'col') if position != 'none' else ():
            rom = node.weights[name]
            members |= {
                f'n_{name}_words': rom.words,
                f'{name}_word': rom.type.name,
                f'{name}_width': rom.stored_type.width,
                f'{name}_signed': rom.stored_type.signed,
                f'{name}_shift': key_frac - rom.stored_type.frac,
            }
        return {
            **members,
            'logit_multiplier': multiplier(node, [scores]),
            'context_multiplier': multiplier(node, [contexts]),
            'value_t': f'nnet::array<{element}, {node.lanes_out}>',
            'score_t': f'nnet::array<{node.get_attr("score_type")}, {node.heads}>',
        }

    def scores(self, node) -> Process:
        position = node.get_attr('position')
        tables = () if position == 'none' else ('row', 'col')
        name = 'attention_scores' + (f'_{position}' if tables else '')
        return Process(name, (*tables, 'queries', 'keys'), ('value_t', 'score_t'))

    def processes(self, node):
        return [self.scores(node), Process('attention_context', ('values', 'sums'))]


class ReluAttentionKernel(AttentionKernel):
    node = ExactReluAttention
    name = 'relu_attention'


class SoftmaxAttentionKernel(AttentionKernel):
    node = ExactSoftmaxAttention
    name = 'softmax_attention'

    def headers(self, node):
        return ['nnet_utils/nnet_softmax_ext.h', *super().headers(node)]

    def members(self, node):
        exp, reciprocal = (node.weights[name] for name in ('exp', 'reciprocal'))
        return {
            **super().members(node),
            'n_rows': node.n_pixels * int(node.get_attr('fold_heads')),
            'row_length': node.n_pixels,
            **{name: int(node.get_attr(name)) for name in ('index_bits', 'sum_bits', 'product_bits')},
            'n_exps': exp.words,
            'exp_word': exp.type.name,
            'exp_bits': exp.stored_type.width,
            'n_reciprocals': reciprocal.words,
            'reciprocal_word': reciprocal.type.name,
            'reciprocal_bits': reciprocal.stored_type.width,
            'multiplier': multiplier(node, node.products[2:]),
            'weight_t': f'nnet::array<{node.get_attr("weight_type")}, {node.heads}>',
        }

    def processes(self, node):
        return [
            self.scores(node),
            Process('row_softmax', ('exp', 'reciprocal', 'logits', 'terms'), 'weight_t', inputs=('score_t',)),
            Process('attention_context', ('values', 'sums'), inputs=('value_t', 'weight_t')),
        ]
