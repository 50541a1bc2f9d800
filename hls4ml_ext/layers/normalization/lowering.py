"""Lowerings of normalization layers."""

from __future__ import annotations

import numpy as np

from hls4ml_ext import quantizers
from hls4ml_ext.errors import ConversionError
from hls4ml_ext.fixed import FixedType
from hls4ml_ext.layers.convolution.lowering import sum_of_products
from hls4ml_ext.layers.core.folding import choose_folding, weight_attributes, widest_beat
from hls4ml_ext.layers.normalization.node import ExactLayerNorm


def _affine(layer, name: str, weights, which: str, neutral: float) -> tuple[np.ndarray, FixedType]:
    if weights is None:
        return np.full(layer.n_chan, neutral), FixedType(1, 1, False)
    return quantizers.quantized_weights(getattr(layer, f'{which}_quantizer'), np.asarray(weights), name, which)


def lower_layer_norm(layer, inputs, graph) -> str:
    """QLayerNormalization."""
    name = graph.name(layer)
    if layer.input_quantizer is None:
        raise ConversionError(
            name, 'it has no input_quantizer and computes in float', "Give it one, such as 'quantized_bits(8,3,alpha=1)'"
        )
    shape = graph.shape(inputs[0])
    if shape[-1] != layer.n_chan:
        raise ConversionError(
            name,
            f'it normalizes {layer.n_chan} values, but a pixel of its input has {shape[-1]}',
            'Put it before the Flatten',
        )
    arithmetic = layer.arithmetic(layer.n_chan)
    source, tensor = arithmetic.source, inputs[0]
    known = graph.maybe_type(tensor)
    # The arithmetic depends on the fractional bits alone: a type within the input quantizer's needs no rounding.
    if known is None or known.frac != source.frac or known.lo < source.lo or known.hi > source.hi:
        tensor = graph.quantize(tensor, layer.input_quantizer, graph.name(layer, 'input'), graph.only_consumer(layer))
    graph.check_float(name, source.range, layer.compute_dtype, 'its input')

    gamma, gamma_type = _affine(layer, name, layer.gamma, 'gamma', 1.0)
    beta, beta_type = _affine(layer, name, layer.beta, 'beta', 0.0)
    sums = sum_of_products(arithmetic.normal, gamma[None, :], gamma_type, beta, beta_type)
    graph.check_float(name, sums, layer.compute_dtype, 'gamma times the normalized value plus beta')
    widest = widest_beat(source.width, sums.signed_bits)
    simd = choose_folding(graph, name, ExactLayerNorm.foldings(layer.n_chan), widest).simd
    gamma, beta = (gamma if layer.scale else gamma[:simd]), (beta if layer.center else beta[:simd])
    out = graph.add(
        ExactLayerNorm, name, [tensor], sums,
        out_shape=shape, acc_width=sums.signed_bits, simd=simd,
        gammas=(gamma, gamma_type), betas=(beta, beta_type),
        normal=str(arithmetic.normal), normal_width=arithmetic.normal.width, epsilon=arithmetic.epsilon_stored,
        offset=arithmetic.offset, scaled=layer.scale, **arithmetic.widths, **weight_attributes(graph, name),
    )  # fmt: skip
    if layer.output_quantizer is None:
        return out
    return graph.quantize(out, layer.output_quantizer, graph.name(layer, 'output'))


def lower_batch_norm(layer, inputs, graph) -> str:
    """keras.layers.BatchNormalization, and qkeras.QBatchNormalization: never in hardware."""
    kind = type(layer).__name__
    remedy = 'Fold it into the layer before it: model = hls4ml_ext.fold_batchnorm(model), and fine-tune'
    if kind != 'BatchNormalization':
        remedy = 'Use keras.layers.BatchNormalization instead, and hls4ml_ext.fold_batchnorm(model)'
    raise ConversionError(graph.name(layer), f'there is no exact hardware for {kind}', remedy)
