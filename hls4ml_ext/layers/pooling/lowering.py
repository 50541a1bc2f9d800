"""Lowerings of pooling layers."""

from __future__ import annotations

import numpy as np

from hls4ml_ext.errors import ConversionError, ExtError
from hls4ml_ext.fixed import Range, power_of_two, range_of
from hls4ml_ext.layers.convolution.lowering import activation_of
from hls4ml_ext.layers.convolution.window import Window, window_attributes
from hls4ml_ext.layers.core.node import positions
from hls4ml_ext.layers.pooling.node import ExactGlobalPooling2D, ExactPooling2D


def pool(layer, tensor: str, graph, op: str, size: int) -> tuple[Range, dict]:
    """The range of a pooled element and the attributes of its arithmetic.

    Args:
        op: 'max' or 'average'.
        size: Number of elements of the window.
    """
    name = graph.name(layer)
    source = graph.type(tensor, name).range
    if op == 'max':
        bits = source.signed_bits
        return source, {'op': op, 'scale': 1, 'scale_frac': 0, 'sum_width': bits, 'acc_width': bits}
    sums = source.times(size)
    graph.check_float(name, sums, layer.compute_dtype, f'a sum of {size} elements')
    factor = 1.0 / size
    quantizer = getattr(layer, 'average_quantizer_internal', None)
    if quantizer is not None:
        import keras

        factor = float(keras.ops.convert_to_numpy(quantizer(factor)))
        if hasattr(layer, 'pool_size'):  # QAveragePooling2D multiplies by the size before it averages
            graph.check_float(name, sums.times(size), layer.compute_dtype, f'{size} times a sum of {size} elements')
    try:
        exact = range_of(np.array([factor]))
    except ExtError:
        exact = None
    if factor <= 0 or exact is None or (quantizer is None and power_of_two(factor) is None):
        raise ConversionError(
            name,
            f'the average of {size} elements is not a fixed-point number',
            "Use qkeras' QGlobalAveragePooling2D or QAveragePooling2D with an average_quantizer, such as "
            "'quantized_bits(10,-4,alpha=1)'",
        )
    # Leading zeros need no bits: 1/64 is the integer 1 with 6 fractional bits.
    result = Range(sums.lo * exact.hi, sums.hi * exact.hi, sums.frac + exact.frac)
    graph.check_float(name, result, layer.compute_dtype, f'the average of {size} elements')
    widths = {'sum_width': sums.signed_bits, 'acc_width': max(result.signed_bits, sums.signed_bits)}
    return result, {'op': op, 'scale': exact.hi, 'scale_frac': exact.frac, **widths}


def lower_pooling(op: str):
    """The lowering of (Q)AveragePooling2D or MaxPooling2D."""

    def lower(layer, inputs, graph) -> str:
        name, in_shape = graph.name(layer), graph.shape(inputs[0])
        out_shape = [int(d) for d in layer.compute_output_shape((None, *in_shape))[1:]]
        window = window_attributes(layer, in_shape, out_shape, layer.pool_size, name)
        height, width = layer.pool_size
        covered = (out_shape[0] - 1) * layer.strides[0] + height <= in_shape[0]
        covered &= (out_shape[1] - 1) * layer.strides[1] + width <= in_shape[1]
        if op == 'average' and not covered:
            raise ConversionError(
                name, 'windows at the border average fewer elements than the others', "Use padding='valid'"
            )
        result, arithmetic = pool(layer, inputs[0], graph, op, height * width)
        kind = Window.kinds(window)[-1]
        out = graph.add(ExactPooling2D, name, inputs, result, out_shape=out_shape, window_kind=kind, **window, **arithmetic)
        return activation_of(layer, out, graph) if hasattr(layer, 'activation') else out

    return lower


def lower_global_pooling(op: str):
    """The lowering of (Q)GlobalAveragePooling2D or GlobalMaxPooling2D."""

    def lower(layer, inputs, graph) -> str:
        in_shape = graph.shape(inputs[0])
        if layer.data_format != 'channels_last':
            raise ConversionError(graph.name(layer), f'data_format is {layer.data_format!r}', "Use 'channels_last'")
        if len(in_shape) != 3:
            raise ConversionError(
                graph.name(layer), f'its input has shape {tuple(in_shape)}', 'Use (height, width, channels)'
            )
        result, arithmetic = pool(layer, inputs[0], graph, op, positions(in_shape))
        out_shape = [1, 1, in_shape[-1]] if layer.keepdims else [in_shape[-1]]
        out = graph.add(ExactGlobalPooling2D, graph.name(layer), inputs, result, out_shape=out_shape, **arithmetic)
        return activation_of(layer, out, graph) if hasattr(layer, 'activation') else out

    return lower
