"""Graph nodes, templates and lowering of multi-head self-attention."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hls4ml.model.attributes import Attribute, TypeAttribute, WeightAttribute

from hls4ml_ext import quantizers
from hls4ml_ext.errors import ConversionError
from hls4ml_ext.fixed import FixedType, Range, power_of_two, range_of
from hls4ml_ext.layers.attention.tables import ceil_log2
from hls4ml_ext.layers.convolution.folding import choose_folding, storage_pragmas, weight_attributes, weight_settings
from hls4ml_ext.layers.convolution.lowering import add_conv2d
from hls4ml_ext.layers.convolution.window import pointwise_window
from hls4ml_ext.layers.core import ExactConfigTemplate, ExactFunctionTemplate, ExactLayer
from hls4ml_ext.layers.core.templates import EnumValue, multiplier

ZERO = Range(0, 0, 0)

# Members of the C++ config that are attributes of the node.
GEOMETRY = (
    'height', 'width', 'n_heads', 'key_dim', 'fold_heads', 'fold_dims', 'key_width', 'key_frac', 'stored_key_width',
    'logit_width', 'logit_shift', 'context_width', 'context_shift',
)  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Nodes
# ---------------------------------------------------------------------------------------------------------------------


class ExactAttention(ExactLayer):
    """What both kinds of attention share; see ``nnet_attention_ext.h``.

    Attributes:
        position: 'none', 'additive' or 'relative'.
        score_type: C++ type of what a logit is rounded to: the attention weight (ReLU) or the logit (softmax).
        key_width, key_frac: A key plus its position.
        stored_key_width: A key as it is stored, with an additive position.
        logit_width, context_width: The sums.
        logit_shift, context_shift: Binary places by which the sums are shifted to the right.
    """

    free_lanes = False

    header = 'nnet_utils/nnet_attention_ext.h'
    tables = ('row', 'col')

    _expected_attributes = [
        Attribute('position', value_type=str),
        Attribute('score_type', value_type=str),
        WeightAttribute('row'),
        WeightAttribute('col'),
        TypeAttribute('row'),
        TypeAttribute('col'),
        *(Attribute(name, value_type=int) for name in GEOMETRY),
    ]

    def initialize(self):
        super().initialize()
        for name, (values, stored_type) in self.attributes.attributes.pop('rom').items():
            self.add_exact_weights(name, f'{name}_table', stored_type, values)  # exp2 and exp10 are functions of C

    @property
    def reuse(self) -> int:
        return self.get_attr('fold_heads') * self.get_attr('fold_dims')

    @property
    def n_heads_per_cycle(self) -> int:
        return self.get_attr('n_heads') // self.get_attr('fold_heads')

    @property
    def cycles(self):
        return self.n_tokens + self.n_tokens**2 * self.reuse

    @property
    def interval(self):
        return self.n_tokens * self.reuse

    @property
    def multipliers(self):
        return 2 * self.get_attr('n_heads') * self.get_attr('key_dim') // self.reuse

    @property
    def macs(self):
        return 2 * self.n_tokens**2 * self.get_attr('n_heads') * self.get_attr('key_dim')

    @property
    def settings(self):
        return weight_settings(self)

    @property
    def buffer_bits(self) -> dict[str, tuple[int, int]]:
        """The memories besides the ROMs: name -> (words, bits of a word)."""
        inner = self.get_attr('n_heads') * self.get_attr('key_dim')
        width = self.input_type().width
        return {
            'queries': (self.n_tokens, inner * width),
            'keys': (self.n_tokens, inner * self.get_attr('stored_key_width')),
            'values': (self.n_tokens, inner * width),
        }

    def last_input_of(self, i: int = 0):
        return np.full(self.n_tokens, self.n_tokens - 1)

    def rom_words(self, name: str) -> int:
        """Words of a ROM as the kernel reads it: one word a cycle."""
        size = self.weights[name].data_length
        inner = self.get_attr('n_heads') * self.get_attr('key_dim')
        word = {'none': 1, 'additive': inner, 'relative': self.get_attr('key_dim') // self.get_attr('fold_dims')}
        return size // word[self.get_attr('position')]

    def pragmas(self):
        return storage_pragmas(self, {name: self.rom_words(name) for name in self.tables})


class ExactReluAttention(ExactAttention):
    """Attention whose weights are rectified logits; see ``nnet_attention_ext.h``."""

    kernel = 'relu_attention'


class ExactSoftmaxAttention(ExactAttention):
    """Attention whose weights are the softmax of the logits; see ``nnet_attention_ext.h`` and ``nnet_softmax_ext.h``.

    Attributes:
        weight_type: C++ type of an attention weight.
        index_bits, sum_bits, product_bits: Of :class:`~hls4ml_ext.layers.attention.tables.IntegerSoftmax`.
    """

    kernel = 'softmax_attention'
    tables = ('row', 'col', 'exp', 'reciprocal')

    _expected_attributes = [
        Attribute('weight_type', value_type=str),
        WeightAttribute('exp'),
        WeightAttribute('reciprocal'),
        TypeAttribute('exp'),
        TypeAttribute('reciprocal'),
        Attribute('index_bits', value_type=int),
        Attribute('sum_bits', value_type=int),
        Attribute('product_bits', value_type=int),
    ]

    @property
    def cycles(self):
        return max(super().cycles, (self.n_tokens * self.get_attr('fold_heads') + 2) * self.n_tokens)

    @property
    def multipliers(self):
        return super().multipliers + self.n_heads_per_cycle

    @property
    def macs(self):
        return super().macs + self.n_tokens**2 * self.get_attr('n_heads')

    @property
    def buffer_bits(self):
        lanes, inner = self.n_heads_per_cycle, self.get_attr('n_heads') * self.get_attr('key_dim')
        logit_width = (self.weights['exp'].data_length // lanes).bit_length() - 1
        return {
            **super().buffer_bits,
            'waiting values': (self.n_tokens, inner * self.input_type().width),
            'logits': (self.n_tokens, lanes * logit_width),
            'exponentials': (self.n_tokens, lanes * self.weights['exp'].type.precision.width),
        }

    def rom_words(self, name):
        if name in ('exp', 'reciprocal'):
            return self.weights[name].data_length // self.n_heads_per_cycle  # of each copy
        return super().rom_words(name)


# ---------------------------------------------------------------------------------------------------------------------
# Templates
# ---------------------------------------------------------------------------------------------------------------------


class ReluAttentionConfigTemplate(ExactConfigTemplate):
    def __init__(self, layer_class=ExactReluAttention):
        super().__init__(layer_class)

    def members(self, node):
        return {
            **{name: int(node.get_attr(name)) for name in GEOMETRY},
            'position': EnumValue('nnet::ext::attention_position', 'nnet::ext::position_' + node.get_attr('position')),
            'n_rows_table': node.weights['row'].data_length,
            'n_cols_table': node.weights['col'].data_length,
            'row_t': node.weights['row'].type.name,
            'col_t': node.weights['col'].type.name,
            'score_t': node.get_attr('score_type'),
            'multiplier': multiplier(node),
        }


class SoftmaxAttentionConfigTemplate(ReluAttentionConfigTemplate):
    def __init__(self):
        super().__init__(ExactSoftmaxAttention)

    def members(self, node):
        return {
            **super().members(node),
            'n_rows': node.n_tokens * int(node.get_attr('fold_heads')),
            'row_length': node.n_tokens,
            'index_bits': int(node.get_attr('index_bits')),
            'sum_bits': int(node.get_attr('sum_bits')),
            'product_bits': int(node.get_attr('product_bits')),
            'n_exps': node.weights['exp'].data_length,
            'n_reciprocals': node.weights['reciprocal'].data_length,
            'weight_t': node.get_attr('weight_type'),
            'exp_t': node.weights['exp'].type.name,
            'reciprocal_t': node.weights['reciprocal'].type.name,
        }


class ReluAttentionFunctionTemplate(ExactFunctionTemplate):
    def __init__(self):
        super().__init__(ExactReluAttention)


class SoftmaxAttentionFunctionTemplate(ExactFunctionTemplate):
    def __init__(self):
        super().__init__(ExactSoftmaxAttention)


# ---------------------------------------------------------------------------------------------------------------------
# Exact sums
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Positions:
    """The position tables of a layer, quantized.

    Args:
        kind: 'none', 'additive' or 'relative'.
        rows, cols: (number of vectors, size of a vector).
        type_rows, type_cols: The types that store them.
    """

    kind: str
    rows: np.ndarray
    cols: np.ndarray
    type_rows: FixedType
    type_cols: FixedType


def positions_of(layer, name: str, key_frac: int) -> Positions:
    """The quantized position tables; without positions a zero for each, which synthesis removes."""
    if layer.position is None:
        bit = FixedType(1, 1 - key_frac, False)
        return Positions('none', np.zeros((1, 1)), np.zeros((1, 1)), bit, bit)
    rows, type_rows = quantizers.quantized_weights(
        layer.position_quantizer, np.asarray(layer.position_rows), name, 'position'
    )
    cols, type_cols = quantizers.quantized_weights(
        layer.position_quantizer, np.asarray(layer.position_cols), name, 'position'
    )
    return Positions(layer.position, rows, cols, type_rows, type_cols)


def logit_ranges(qkv: FixedType, positions: Positions, key_dim: int) -> tuple[Range, Range]:
    """What a key with its position, and a logit before its scaling, can be.

    Keras adds up query times key, query times row and query times column, in any order: the range of a logit holds all
    partial sums of these.
    """
    keys = qkv.range | ZERO
    products = qkv.range * keys
    if positions.kind != 'none':
        for table, stored_type in ((positions.rows, positions.type_rows), (positions.cols, positions.type_cols)):
            term = range_of(table).aligned(stored_type.frac) | ZERO
            keys, products = keys + term, products + qkv.range * term
    return keys, products.times(key_dim)


# ---------------------------------------------------------------------------------------------------------------------
# Lowering
# ---------------------------------------------------------------------------------------------------------------------


def _project(layer, part: str, tensor: str, graph) -> str:
    """Adds the projection 'qkv' or 'out'."""
    name = graph.name(layer, part)
    kernel, kernel_type = quantizers.quantized_weights(
        layer.kernel_quantizer, np.asarray(getattr(layer, f'{part}_kernel')), name, 'kernel'
    )
    bias, bias_type = np.zeros(kernel.shape[-1]), FixedType(1, 1, False)
    if layer.use_bias:
        bias, bias_type = quantizers.quantized_weights(
            layer.bias_quantizer, np.asarray(getattr(layer, f'{part}_bias')), name, 'bias'
        )
    window = pointwise_window(graph.shape(tensor))
    return add_conv2d(graph, name, tensor, kernel, kernel_type, bias, bias_type, window, layer.compute_dtype)


def _check_cast(graph, name: str, source: Range, result: FixedType, what: str):
    """Refuses numbers that a quantizer's floats can't hold; quantized_relu computes in float32 whatever the layer's type."""
    graph.check_float(name, source | result.range, None if result.signed else 'float32', what)


def lower_attention(layer, inputs, graph) -> str:
    """MultiHeadSelfAttention2D: the nodes 'NAME.qkv', 'NAME.core' and 'NAME.out'."""
    name, core = graph.name(layer), graph.name(layer, 'core')
    shape = graph.shape(inputs[0])
    if len(shape) != 3:
        raise ConversionError(name, f'its input has shape {tuple(shape)}', 'Use tensors of (height, width, channels)')
    if layer.use_output_projection:
        layer.activation_type('context_quantizer')  # refuses None

    qkv_type = layer.activation_type('qkv_quantizer')
    qkv = _project(layer, 'qkv', inputs[0], graph)
    qkv = graph.quantize(qkv, layer.qkv_quantizer, graph.name(layer, 'qkv_quantizer'))
    context = _add_core(layer, core, qkv, qkv_type, graph)
    if layer.context_quantizer is not None:
        context = graph.quantize(context, layer.context_quantizer, graph.name(layer, 'context_quantizer'))
    output = _project(layer, 'out', context, graph) if layer.use_output_projection else context
    if layer.output_quantizer is not None:
        output = graph.quantize(output, layer.output_quantizer, graph.name(layer, 'output_quantizer'))
    return output


def _add_core(layer, name: str, qkv: str, qkv_type: FixedType, graph) -> str:
    height, width, _ = graph.shape(qkv)
    n_pixels, dtype = height * width, layer.compute_dtype
    weight_type = layer.activation_type('attention_quantizer')
    softmax, score_type = None, weight_type
    if layer.attention == 'softmax':
        softmax = layer.integer_softmax(n_pixels)
        score_type = layer.activation_type('logit_quantizer')

    positions = positions_of(layer, name, max(qkv_type.frac, 0))
    keys, sums = logit_ranges(qkv_type, positions, layer.key_dim)
    graph.check_float(name, keys, dtype, 'a key with its position')
    graph.check_float(name, sums, dtype, f'a logit, a sum of {layer.key_dim} products with keys and positions')
    logit_shift = -power_of_two(layer.logit_scale)
    logits = Range(sums.lo, sums.hi, sums.frac + logit_shift)
    _check_cast(graph, name, logits, score_type, 'a logit')

    if softmax is None:
        context_shift = ceil_log2(n_pixels)
        contexts = (weight_type.range * qkv_type.range).times(n_pixels)
    else:
        context_shift = 0
        weight_type = FixedType(weight_type.width, 0, False)
        contexts = Range(0, softmax.largest_sum, weight_type.frac) * qkv_type.range
    graph.check_float(name, contexts, dtype, f'a context, a sum of {n_pixels} weighted values')
    result = Range(contexts.lo, contexts.hi, contexts.frac + context_shift)

    fold_dims, fold_heads = choose_folding(graph, name, layer.key_dim, layer.num_heads)
    rom = {
        'row': (positions.rows.ravel(), positions.type_rows),
        'col': (positions.cols.ravel(), positions.type_cols),
    }
    attributes = {}
    if softmax is not None:
        lanes = layer.num_heads // fold_heads
        exp_type = FixedType(softmax.exp_bits, 0, False)
        reciprocal_type = FixedType(softmax.reciprocal_bits, 0, False)
        rom['exp'] = (np.repeat(softmax.exponentials, lanes) * 2.0**-exp_type.frac, exp_type)
        rom['reciprocal'] = (np.repeat(softmax.reciprocals, lanes) * 2.0**-reciprocal_type.frac, reciprocal_type)
        attributes = {
            'weight_type': str(weight_type), 'index_bits': softmax.index_bits, 'sum_bits': softmax.sum_bits,
            'product_bits': softmax.product_bits,
        }  # fmt: skip
    return graph.add(
        ExactReluAttention if softmax is None else ExactSoftmaxAttention, name, [qkv], result,
        out_shape=[height, width, layer.num_heads * layer.key_dim],
        acc_width=max(sums.signed_bits, contexts.signed_bits),
        position=positions.kind, score_type=str(score_type), rom=rom,
        height=height, width=width, n_heads=layer.num_heads, key_dim=layer.key_dim,
        fold_heads=fold_heads, fold_dims=fold_dims,
        key_width=keys.signed_bits, key_frac=keys.frac,
        stored_key_width=keys.signed_bits if positions.kind == 'additive' else qkv_type.range.signed_bits,
        logit_width=sums.signed_bits, logit_shift=logit_shift,
        context_width=contexts.signed_bits, context_shift=context_shift, **attributes, **weight_attributes(graph, name),
    )  # fmt: skip
