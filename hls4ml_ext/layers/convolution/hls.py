"""Graph nodes, templates and lowerings of convolution and dense layers."""

from __future__ import annotations

import numpy as np
from hls4ml.model.attributes import Attribute, TypeAttribute, WeightAttribute

from hls4ml_ext import quantizers
from hls4ml_ext.errors import ConversionError
from hls4ml_ext.fixed import FixedType, Range, stored_integers
from hls4ml_ext.layers.convolution.folding import choose_folding, storage_pragmas, weight_attributes, weight_settings
from hls4ml_ext.layers.core import ExactConfigTemplate, ExactFunctionTemplate, ExactLayer
from hls4ml_ext.layers.core.node import tokens
from hls4ml_ext.layers.core.templates import multiplier

# ---------------------------------------------------------------------------------------------------------------------
# Windows
# ---------------------------------------------------------------------------------------------------------------------

WINDOW = (
    'in_height', 'in_width', 'n_chan', 'filt_height', 'filt_width', 'stride_height', 'stride_width',
    'pad_top', 'pad_left', 'out_height', 'out_width',
)  # fmt: skip


class WindowMixin:
    """The geometry of a sliding window; the formulas are those of ``nnet_sliding_window.h``."""

    @property
    def first_tap(self) -> int:
        a = self.attributes
        return (a['filt_height'] - 1 - a['pad_top']) * a['in_width'] + a['filt_width'] - 1 - a['pad_left']

    def last_input_of(self, i: int = 0) -> np.ndarray:
        a = self.attributes
        rows = np.arange(a['out_height'])[:, None] * a['stride_height'] * a['in_width']
        cols = np.arange(a['out_width'])[None, :] * a['stride_width']
        return np.minimum((rows + cols + self.first_tap).ravel(), a['in_height'] * a['in_width'] - 1)

    @property
    def n_positions(self) -> int:
        a = self.attributes
        last = (a['out_height'] - 1) * a['stride_height'] * a['in_width'] + (a['out_width'] - 1) * a['stride_width']
        return max(last + self.first_tap + 1, a['in_height'] * a['in_width'])


def window_attributes(layer, in_shape: list[int], out_shape: list[int], size, name: str) -> dict[str, int]:
    """The geometry of a Keras convolution or pooling layer with padding 'same' or 'valid'.

    Raises:
        ConversionError: on channels_first, dilation, or a tensor that isn't (height, width, channels).
    """
    if len(in_shape) != 3:
        raise ConversionError(name, f'its input has shape {tuple(in_shape)}', 'Use tensors of (height, width, channels)')
    if layer.data_format != 'channels_last':
        raise ConversionError(name, f'data_format is {layer.data_format!r}', "Use 'channels_last'")
    if tuple(getattr(layer, 'dilation_rate', (1, 1))) != (1, 1):
        raise ConversionError(name, f'dilation_rate is {layer.dilation_rate}', 'Use a dilation rate of 1')
    if layer.padding not in ('same', 'valid'):
        raise ConversionError(name, f'padding is {layer.padding!r}', "Use 'same' or 'valid'")
    pads = []
    for n_in, n_out, k, s in zip(in_shape, out_shape, size, layer.strides):
        pads.append(max((n_out - 1) * s + k - n_in, 0) // 2 if layer.padding == 'same' else 0)
    values = (*in_shape, *size, *layer.strides, *pads, *out_shape[:2])
    return dict(zip(WINDOW, map(int, values)))


# ---------------------------------------------------------------------------------------------------------------------
# Nodes
# ---------------------------------------------------------------------------------------------------------------------


class WeightedLayer(ExactLayer):
    """A layer of sums of products with constant weights."""

    free_lanes = False

    _expected_attributes = [
        WeightAttribute('weight'),
        WeightAttribute('bias'),
        TypeAttribute('weight'),
        TypeAttribute('bias'),
        Attribute('n_out', value_type=int),
        Attribute('fold_in', value_type=int, default=1),
        Attribute('fold_out', value_type=int, default=1),
    ]

    def initialize(self):
        super().initialize()
        weights, weight_type = self.attributes.pop('weights')
        bias, bias_type = self.attributes.pop('biases')
        self.add_exact_weights('weight', 'w', weight_type, weights)
        self.add_exact_weights('bias', 'b', bias_type, bias)

    @property
    def reuse(self) -> int:
        return self.get_attr('fold_in') * self.get_attr('fold_out')

    @property
    def settings(self):
        return weight_settings(self)

    def pragmas(self):
        return storage_pragmas(self, {'weight': self.weights['weight'].data_length // self.multipliers})


class ExactConv2D(WindowMixin, WeightedLayer):
    """Dense 2D convolution; see ``nnet_conv2d_ext.h``."""

    kernel = 'conv2d'
    header = 'nnet_utils/nnet_conv2d_ext.h'
    _expected_attributes = [Attribute(name, value_type=int) for name in WINDOW]

    @property
    def cycles(self):
        return self.n_positions - self.n_tokens + self.n_tokens * self.reuse

    @property
    def interval(self):
        return self.reuse

    @property
    def multipliers(self):
        return self.weights['weight'].data_length // self.reuse

    @property
    def macs(self):
        return self.n_tokens * self.weights['weight'].data_length


class ExactDepthwiseConv2D(WindowMixin, WeightedLayer):
    """Depthwise 2D convolution; see ``nnet_depthwise_conv2d_ext.h``."""

    kernel = 'depthwise_conv2d'
    header = 'nnet_utils/nnet_depthwise_conv2d_ext.h'
    _expected_attributes = [Attribute(name, value_type=int) for name in WINDOW]

    cycles = ExactConv2D.cycles
    interval = ExactConv2D.interval
    multipliers = ExactConv2D.multipliers
    macs = ExactConv2D.macs


class ExactDense(WeightedLayer):
    """Dense layer over all pixels; see ``nnet_dense_ext.h``."""

    kernel = 'dense'
    header = 'nnet_utils/nnet_dense_ext.h'
    _expected_attributes = [Attribute('n_chan', value_type=int), Attribute('n_pixels', value_type=int)]

    @property
    def cycles(self):
        return self.get_attr('n_pixels') * self.reuse

    @property
    def multipliers(self):
        return self.get_attr('n_chan') * self.get_attr('n_out') // self.reuse

    @property
    def macs(self):
        return self.weights['weight'].data_length

    def last_input_of(self, i: int = 0):
        return np.array([self.get_attr('n_pixels') - 1])


# ---------------------------------------------------------------------------------------------------------------------
# Templates
# ---------------------------------------------------------------------------------------------------------------------


class WeightedConfigTemplate(ExactConfigTemplate):
    geometry: tuple[str, ...] = WINDOW
    outputs = 'n_filt'

    def members(self, node):
        return {
            **{name: int(node.get_attr(name)) for name in self.geometry},
            **({self.outputs: int(node.get_attr('n_out'))} if self.outputs else {}),
            'n_weights': node.weights['weight'].data_length,
            'fold_in': int(node.get_attr('fold_in')),
            'fold_out': int(node.get_attr('fold_out')),
            'acc_width': int(node.get_attr('acc_width')),
            'multiplier': multiplier(node),
            'weight_t': node.weights['weight'].type.name,
            'bias_t': node.weights['bias'].type.name,
        }


class Conv2DConfigTemplate(WeightedConfigTemplate):
    def __init__(self):
        super().__init__(ExactConv2D)


class DepthwiseConv2DConfigTemplate(WeightedConfigTemplate):
    outputs = ''

    def __init__(self):
        super().__init__(ExactDepthwiseConv2D)


class DenseConfigTemplate(WeightedConfigTemplate):
    geometry = ('n_chan', 'n_pixels')
    outputs = 'n_out'

    def __init__(self):
        super().__init__(ExactDense)


class Conv2DFunctionTemplate(ExactFunctionTemplate):
    def __init__(self):
        super().__init__(ExactConv2D)


class DepthwiseConv2DFunctionTemplate(ExactFunctionTemplate):
    def __init__(self):
        super().__init__(ExactDepthwiseConv2D)


class DenseFunctionTemplate(ExactFunctionTemplate):
    def __init__(self):
        super().__init__(ExactDense)


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


def pointwise_weights(matrix: np.ndarray, fold_in: int, fold_out: int) -> np.ndarray:
    """(n_in, n_out) -> the order of the ROM: [fold_out][fold_in][output of the group][input of the slice]."""
    n_in, n_out = matrix.shape
    words = matrix.T.reshape(fold_out, n_out // fold_out, fold_in, n_in // fold_in)
    return words.transpose(0, 2, 1, 3).ravel()


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
    fold_in, fold_out = choose_folding(graph, name, n_in, n_out)
    return graph.add(
        ExactConv2D, name, [tensor], sums,
        out_shape=[window['out_height'], window['out_width'], n_out],
        acc_width=sums.signed_bits,
        weights=(pointwise_weights(matrix, fold_in, fold_out), weight_type), biases=(bias, bias_type),
        n_out=n_out, fold_in=fold_in, fold_out=fold_out, **window, **weight_attributes(graph, name),
    )  # fmt: skip


def pointwise_window(in_shape) -> dict[str, int]:
    """The window of a 1x1 convolution."""
    height, width, channels = in_shape
    return dict(zip(WINDOW, (height, width, channels, 1, 1, 1, 1, 0, 0, height, width)))


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
    _, groups = choose_folding(graph, name, 1, n_chan)
    out = graph.add(
        ExactDepthwiseConv2D, name, [inputs[0]], sums,
        out_shape=out_shape, acc_width=sums.signed_bits,
        weights=(taps.reshape(-1, groups, n_chan // groups).transpose(1, 0, 2).ravel(), weight_type),
        biases=(bias, bias_type), n_out=n_chan, fold_in=1, fold_out=groups, **window, **weight_attributes(graph, name),
    )  # fmt: skip
    return activation_of(layer, out, graph)


def lower_dense(layer, inputs, graph) -> str:
    name, in_shape = graph.name(layer), graph.shape(inputs[0])
    kernel, weight_type = quantizers.quantized_weights(
        layer.kernel_quantizer_internal, np.asarray(layer.kernel), name, 'kernel'
    )
    n_in, n_out = kernel.shape
    bias, bias_type = quantized_bias(layer, n_out, name)
    if n_in == in_shape[-1] and tokens(in_shape) > 1:  # applied to each pixel
        if len(in_shape) != 3:
            raise ConversionError(
                name, f'its input has shape {tuple(in_shape)}', 'Use (height, width, channels) or flatten it'
            )
        window = pointwise_window(in_shape)
        out = add_conv2d(graph, name, inputs[0], kernel, weight_type, bias, bias_type, window, layer.compute_dtype)
        return activation_of(layer, out, graph)
    # A stream keeps the shape that the tensor had before it was flattened.
    n_pixels, n_chan = tokens(in_shape), in_shape[-1]
    if n_pixels * n_chan != n_in:
        raise ConversionError(name, f'it has {n_in} inputs, but its input has shape {tuple(in_shape)}', 'Flatten it first')
    sums = sum_of_products(graph.type(inputs[0], name), kernel, weight_type, bias, bias_type)
    graph.check_float(name, sums, layer.compute_dtype, f'a sum of {n_in} products')
    fold_in, fold_out = choose_folding(graph, name, n_chan, n_out)
    words = [pointwise_weights(pixel, fold_in, fold_out) for pixel in kernel.reshape(n_pixels, n_chan, n_out)]
    out = graph.add(
        ExactDense, name, [inputs[0]], sums, out_shape=[n_out], acc_width=sums.signed_bits,
        weights=(np.concatenate(words), weight_type), biases=(bias, bias_type),
        n_chan=n_chan, n_pixels=n_pixels, n_out=n_out, fold_in=fold_in, fold_out=fold_out, **weight_attributes(graph, name),
    )  # fmt: skip
    return activation_of(layer, out, graph)
