"""Lowerings of convolution and dense layers."""

from __future__ import annotations

import numpy as np

from hls4ml_ext import quantizers
from hls4ml_ext.errors import ConversionError
from hls4ml_ext.fixed import FixedType, Range, stored_integers
from hls4ml_ext.layers.convolution.node import ExactConv2D, ExactDense, ExactDepthwiseConv2D
from hls4ml_ext.layers.convolution.window import pointwise_window, window_attributes
from hls4ml_ext.layers.core.folding import choose_folding, weight_attributes, widest_beat
from hls4ml_ext.layers.core.node import positions

# ---------------------------------------------------------------------------------------------------------------------
# Exact sums
# ---------------------------------------------------------------------------------------------------------------------


def sum_of_products(x: FixedType, weights: np.ndarray, w: FixedType, bias: np.ndarray, b: FixedType) -> Range:
    """What ``sum_j x_j * weights[j, o] + bias[o]`` and all its partial sums can be, in the worst case over x and o.

    Args:
        x: Type of the inputs.
        weights: (n_in, n_out) quantized weights, of type w.
        bias: (n_out,) quantized biases, of type b.
    """
    stored = stored_integers(weights, w.frac).astype(object if weights.shape[0] * w.hi * x.hi >= 2**62 else np.int64)
    highest = np.maximum(np.maximum(stored * x.lo, stored * x.hi), 0).sum(axis=0)
    lowest = np.minimum(np.minimum(stored * x.lo, stored * x.hi), 0).sum(axis=0)
    frac = max(x.frac + w.frac, b.frac)
    offset = stored_integers(bias, b.frac).astype(object)
    scale, bias_scale = 1 << (frac - x.frac - w.frac), 1 << (frac - b.frac)
    hi = highest.astype(object) * scale + np.maximum(offset, 0) * bias_scale
    lo = lowest.astype(object) * scale + np.minimum(offset, 0) * bias_scale
    return Range(int(min(lo)), int(max(hi)), frac)


def quantized_bias(layer, n: int, name: str):
    """The quantized biases of a Keras layer and their type; zeros of one bit if it has none."""
    if not layer.use_bias:
        return np.zeros(n), FixedType(1, 1, False)
    return quantizers.quantized_weights(layer.bias_quantizer_internal, np.asarray(layer.bias), name, 'bias')


# ---------------------------------------------------------------------------------------------------------------------
# ROMs
# ---------------------------------------------------------------------------------------------------------------------


def matrix_words(matrix: np.ndarray, simd: int, pe: int) -> np.ndarray:
    """A matrix as the words of a ROM.

    Args:
        matrix: (n_in, n_out) weights, inputs in the order in which they come.

    Returns:
        (n_in / simd * n_out / pe, pe * simd): for each group of outputs, for each slice of inputs, the weights of each
        output.
    """
    n_in, n_out = matrix.shape
    words = matrix.T.reshape(n_out // pe, pe, n_in // simd, simd)
    return words.transpose(0, 2, 1, 3).reshape(-1, pe * simd)


def in_window_order(taps: np.ndarray, lanes: int) -> np.ndarray:
    """(n_taps, n_chan, ...) -> (n_taps * n_chan, ...), as a window gives them: groups, their taps, their lanes."""
    n_taps, n_chan, *rest = taps.shape
    return taps.reshape(n_taps, n_chan // lanes, lanes, *rest).swapaxes(0, 1).reshape(n_taps * n_chan, *rest)


def add_conv2d(graph, name, tensor, matrix, weight_type, bias, bias_type, window: dict[str, int], compute_dtype=None) -> str:
    """Adds an exact convolution to the graph.

    Args:
        graph: The :class:`GraphBuilder`.
        name: Name of the node.
        tensor: Input tensor.
        matrix: (filt_height * filt_width * n_chan, n_filt) quantized weights.
        bias: (n_filt,) quantized biases.
        window: See :func:`window_attributes`.
        compute_dtype: The floating-point type that Keras computes in.
    """
    n_in, n_out = matrix.shape
    sums = sum_of_products(graph.type(tensor, name), matrix, weight_type, bias, bias_type)
    graph.check_float(name, sums, compute_dtype, f'a sum of {n_in} products')
    possible = ExactConv2D.foldings(window, n_out)
    folding = choose_folding(graph, name, list(possible), widest_beat(graph.type(tensor, name).width, sums.signed_bits))
    kind = possible[folding]
    n_taps = window['filt_height'] * window['filt_width']
    lanes = folding.simd // (n_taps if kind == 'parallel' else 1)
    ordered = in_window_order(matrix.reshape(n_taps, window['n_chan'], n_out), lanes)
    return graph.add(
        ExactConv2D, name, [tensor], sums,
        out_shape=[window['out_height'], window['out_width'], n_out], acc_width=sums.signed_bits,
        weight_words=(matrix_words(ordered, folding.simd, folding.pe), weight_type),
        bias_words=(bias.reshape(-1, folding.pe), bias_type),
        n_in=n_in, n_out=n_out, n_vectors=window['out_height'] * window['out_width'],
        simd=folding.simd, pe=folding.pe, reuse_cycles=folding.reuse, window_kind=kind, **window,
        **weight_attributes(graph, name),
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Lowerings
# ---------------------------------------------------------------------------------------------------------------------


def activation_of(layer, tensor: str, graph) -> str:
    """Applies the layer's own ``activation=`` argument."""
    from hls4ml_ext.layers.activation.lowering import apply_activation

    return apply_activation(layer.activation, tensor, graph, graph.name(layer, 'activation'))


def lower_conv2d(layer, inputs, graph) -> str:
    name, in_shape = graph.name(layer), graph.shape(inputs[0])
    if layer.groups != 1:
        raise ConversionError(name, f'it has {layer.groups} groups', 'Use groups=1, or a QDepthwiseConv2D')
    if getattr(layer, '_mask', None) is not None:
        raise ConversionError(name, 'it has a weight mask', 'Multiply the mask into the kernel')
    out_shape = list(layer.compute_output_shape((None, *in_shape)))[1:]
    kernel, weight_type = quantizers.quantized_weights(
        layer.kernel_quantizer_internal, np.asarray(layer.kernel), name, 'kernel'
    )
    bias, bias_type = quantized_bias(layer, kernel.shape[-1], name)
    window = window_attributes(layer, in_shape, out_shape, layer.kernel_size, name)
    matrix = kernel.reshape(-1, kernel.shape[-1])
    out = add_conv2d(graph, name, inputs[0], matrix, weight_type, bias, bias_type, window, layer.compute_dtype)
    return activation_of(layer, out, graph)


def lower_depthwise_conv2d(layer, inputs, graph) -> str:
    name, in_shape = graph.name(layer), graph.shape(inputs[0])
    if layer.depth_multiplier != 1:
        raise ConversionError(
            name,
            f'depth_multiplier is {layer.depth_multiplier}',
            'Use depth_multiplier=1 and widen the pointwise convolution',
        )
    out_shape = list(layer.compute_output_shape((None, *in_shape)))[1:]
    values = np.asarray(layer.depthwise_kernel)
    kernel, weight_type = quantizers.quantized_weights(layer.depthwise_quantizer_internal, values, name, 'depthwise')
    n_chan = kernel.shape[2]
    bias, bias_type = quantized_bias(layer, n_chan, name)
    window = window_attributes(layer, in_shape, out_shape, layer.kernel_size, name)
    taps = kernel.reshape(-1, n_chan)
    sums = sum_of_products(graph.type(inputs[0], name), taps, weight_type, bias, bias_type)
    graph.check_float(name, sums, layer.compute_dtype, f'a sum of {taps.shape[0]} products')
    x_width = graph.type(inputs[0], name).width
    possible = ExactDepthwiseConv2D.foldings(window)
    # Each of the PE channels has taps of its own.
    widest = lambda folding: folding.pe * max(folding.simd * x_width, sums.signed_bits)  # noqa: E731
    folding = choose_folding(graph, name, list(possible), widest)
    ordered = in_window_order(taps, folding.pe)
    out = graph.add(
        ExactDepthwiseConv2D, name, [inputs[0]], sums, out_shape=out_shape, acc_width=sums.signed_bits,
        weight_words=(ordered.reshape(-1, folding.simd * folding.pe), weight_type),
        bias_words=(bias.reshape(-1, folding.pe), bias_type),
        n_in=taps.shape[0], n_out=n_chan, n_vectors=out_shape[0] * out_shape[1],
        simd=folding.simd, pe=folding.pe, reuse_cycles=folding.reuse, window_kind=possible[folding], **window,
        **weight_attributes(graph, name),
    )  # fmt: skip
    return activation_of(layer, out, graph)


def lower_dense(layer, inputs, graph) -> str:
    name, in_shape = graph.name(layer), graph.shape(inputs[0])
    kernel, weight_type = quantizers.quantized_weights(
        layer.kernel_quantizer_internal, np.asarray(layer.kernel), name, 'kernel'
    )
    n_in, n_out = kernel.shape
    bias, bias_type = quantized_bias(layer, n_out, name)
    if n_in == in_shape[-1] and positions(in_shape) > 1:  # applied to each pixel
        if len(in_shape) != 3:
            raise ConversionError(
                name, f'its input has shape {tuple(in_shape)}', 'Use (height, width, channels) or flatten it'
            )
        window = pointwise_window(in_shape)
        out = add_conv2d(graph, name, inputs[0], kernel, weight_type, bias, bias_type, window, layer.compute_dtype)
        return activation_of(layer, out, graph)
    # A stream keeps the shape that the tensor had before it was flattened.
    n_pixels, n_chan = positions(in_shape), in_shape[-1]
    if n_pixels * n_chan != n_in:
        raise ConversionError(name, f'it has {n_in} inputs, but its input has shape {tuple(in_shape)}', 'Flatten it first')
    sums = sum_of_products(graph.type(inputs[0], name), kernel, weight_type, bias, bias_type)
    graph.check_float(name, sums, layer.compute_dtype, f'a sum of {n_in} products')
    widest = widest_beat(graph.type(inputs[0], name).width, sums.signed_bits)
    folding = choose_folding(graph, name, ExactDense.foldings(n_chan, n_out), widest)
    out = graph.add(
        ExactDense, name, [inputs[0]], sums, out_shape=[n_out], acc_width=sums.signed_bits,
        weight_words=(matrix_words(kernel, folding.simd, folding.pe), weight_type),
        bias_words=(bias.reshape(-1, folding.pe), bias_type), n_in=n_in, n_out=n_out, n_vectors=1,
        simd=folding.simd, pe=folding.pe, reuse_cycles=folding.reuse, **weight_attributes(graph, name),
    )  # fmt: skip
    return activation_of(layer, out, graph)
