"""Lowering of multi-head self-attention."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hls4ml_ext import quantizers
from hls4ml_ext.errors import ConversionError
from hls4ml_ext.fixed import FixedType, Range, power_of_two, range_of
from hls4ml_ext.layers.attention.node import ExactAttention, ExactReluAttention, ExactSoftmaxAttention, fold, position_lanes
from hls4ml_ext.layers.attention.tables import IntegerSoftmax, ceil_log2
from hls4ml_ext.layers.convolution.lowering import add_conv2d
from hls4ml_ext.layers.convolution.window import pointwise_window
from hls4ml_ext.layers.core.folding import choose_folding, weight_attributes, widest_beat

ZERO = Range(0, 0, 0)


# ---------------------------------------------------------------------------------------------------------------------
# Exact sums
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Positions:
    """The position tables of a layer, quantized.

    Args:
        rows, cols: (number of vectors, size of a vector).
        type_rows, type_cols: The types that store them.
    """

    rows: np.ndarray
    cols: np.ndarray
    type_rows: FixedType
    type_cols: FixedType


def positions_of(layer, name: str) -> Positions | None:
    """The quantized position tables."""
    if layer.position is None:
        return None
    rows, type_rows = quantizers.quantized_weights(
        layer.position_quantizer, np.asarray(layer.position_rows), name, 'position'
    )
    cols, type_cols = quantizers.quantized_weights(
        layer.position_quantizer, np.asarray(layer.position_cols), name, 'position'
    )
    return Positions(rows, cols, type_rows, type_cols)


def logit_ranges(qkv: FixedType, positions: Positions | None, key_dim: int) -> tuple[Range, Range]:
    """What a key with its position, and a logit before its scaling, can be.

    Keras adds up query times key, query times row and query times column, in any order: the range of a logit holds all
    partial sums of these.
    """
    keys = qkv.range | ZERO
    products = qkv.range * keys
    if positions is not None:
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

    positions = positions_of(layer, name)
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

    possible = ExactAttention.foldings(layer.num_heads, layer.key_dim)
    lanes = choose_folding(graph, name, possible, widest_beat(qkv_type.width, contexts.signed_bits)).simd
    attributes = {}
    if softmax is not None:
        attributes = {
            'weight_type': str(weight_type), 'score_signed': score_type.signed, 'index_bits': softmax.index_bits,
            'sum_bits': softmax.sum_bits, 'product_bits': softmax.product_bits,
        }  # fmt: skip
    return graph.add(
        ExactReluAttention if softmax is None else ExactSoftmaxAttention, name, [qkv], result,
        out_shape=[height, width, layer.num_heads * layer.key_dim],
        acc_width=max(sums.signed_bits, contexts.signed_bits),
        position=layer.position or 'none', score_type=str(score_type),
        roms={**_position_roms(layer, positions, lanes), **_softmax_roms(softmax)},
        height=height, width=width, n_heads=layer.num_heads, key_dim=layer.key_dim, simd=lanes,
        **fold(lanes, layer.num_heads, layer.key_dim),
        key_width=keys.signed_bits, key_frac=keys.frac,
        stored_key_width=keys.signed_bits if layer.position == 'additive' else qkv_type.range.signed_bits,
        logit_width=sums.signed_bits, logit_shift=logit_shift, score_width=score_type.width, weight_width=weight_type.width,
        context_width=contexts.signed_bits, context_shift=context_shift, **attributes, **weight_attributes(graph, name),
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# ROMs
# ---------------------------------------------------------------------------------------------------------------------


def _position_roms(layer, positions: Positions | None, lanes: int) -> dict:
    """Name -> type and words of the position tables: vectors in slices of as many numbers as a cycle adds."""
    if positions is None:
        return {}
    size = position_lanes(layer.position, lanes, layer.key_dim)
    return {
        'row': (positions.type_rows, positions.rows.reshape(-1, size)),
        'col': (positions.type_cols, positions.cols.reshape(-1, size)),
    }


def _softmax_roms(softmax: IntegerSoftmax | None) -> dict:
    """Name -> type and words of the tables of exponentials and reciprocals."""
    if softmax is None:
        return {}
    tables = {
        'exp': (FixedType(softmax.exp_bits, 0, False), softmax.exponentials),
        'reciprocal': (FixedType(softmax.reciprocal_bits, 0, False), softmax.reciprocals),
    }
    return {name: (stored, values.reshape(-1, 1) * 2.0**-stored.frac) for name, (stored, values) in tables.items()}
