"""A Keras model of ours as LiteRT (TensorFlow Lite) flatbuffers, float and int8, in operations that XNNPACK takes.

Batch normalization is folded before. The steps of an ODE block are unrolled; they share their weights. Weights are those
that the model computes with: 4-bit ones become floats, or int8, of the same values. In int8, an activation with a quantizer
of 8 bits keeps its range, which is what LiteRT does with networks that were trained quantized; every other tensor, such as
the state of an ODE block, gets a range from representative images.

Two operations are spelled as XNNPACK's delegate wants them. A slice that drops an axis is not taken, hence queries, keys
and values are split. A RELU of int8 that is not fused into the operation before it is not taken either; behind a
multiplication by a constant next to 1 it is fused.
"""

from __future__ import annotations

from collections import Counter

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from hls4ml_ext import MultiHeadSelfAttention2D, ODEBlock, quantizers
from hls4ml_ext.errors import ConversionError
from hls4ml_ext.layers.attention.keras import ACTIVATION_QUANTIZERS
from hls4ml_ext.layers.core.builder import functional_of

NEARLY_ONE = 1 + 2.0**-23
"""The float32 behind 1: LiteRT removes a multiplication by 1."""


def in_range(x, quantizer, name: str):
    """`x`, marked for LiteRT's converter with the range of a quantizer, if that has 8 bits."""
    if quantizer is None:
        return x
    t = quantizers.activation_type(quantizer, name)
    if t.width != 8:
        return x
    low = -128 if t.signed else 0
    return tf.quantization.fake_quant_with_min_max_args(x, low * 2.0**-t.frac, (low + 255) * 2.0**-t.frac, num_bits=8)


class Activation(keras.layers.Layer):
    """A ReLU or nothing, and a range.

    Args:
        rectifies: Whether it is a ReLU.
        alone: Whether the layer before it is one that a ReLU can't be fused into.
        quantizer: A QKeras quantizer, whose range the result has; None for no range.
    """

    def __init__(self, rectifies: bool, alone: bool, quantizer=None, **kwargs):
        super().__init__(**kwargs)
        self.rectifies, self.alone, self.quantizer = rectifies, alone, quantizer

    def call(self, x):
        if self.rectifies:
            x = ops.relu(x * NEARLY_ONE if self.alone else x)
        return in_range(x, self.quantizer, self.name)


class SplitAttention(MultiHeadSelfAttention2D):
    """Its base without rounding, for one image, in transpositions and matrix products.

    Attributes:
        ranges: Name of an activation quantizer -> the quantizer, whose range the tensor has; or None.
    """

    def call(self, inputs):
        n_pixels, heads, size = self.height * self.width, self.num_heads, self.key_dim
        qkv = self._project(tf.reshape(inputs, (n_pixels, inputs.shape[-1])), 'qkv')
        qkv = in_range(qkv, self.ranges['qkv_quantizer'], self.name)
        query, key, value = (tf.reshape(part, (1, n_pixels, heads, size)) for part in tf.split(qkv, 3, axis=-1))
        logits = self._logits(query, key)
        if self.attention == 'softmax':
            weights = ops.softmax(in_range(logits, self.ranges['logit_quantizer'], self.name))
        else:
            weights = in_range(ops.relu(logits), self.ranges['attention_quantizer'], self.name)
        context = ops.einsum('bhij,bjhd->bihd', weights, value)
        if self.attention == 'relu':
            context = context * self.context_scale
        context = tf.reshape(context, (n_pixels, heads * size))
        context = in_range(context, self.ranges['context_quantizer'], self.name)
        output = self._project(context, 'out') if self.use_output_projection else context
        output = in_range(output, self.ranges['output_quantizer'], self.name)
        return tf.reshape(output, (1, self.height, self.width, output.shape[-1]))


# ---------------------------------------------------------------------------------------------------------------------
# From our layers to plain ones
# ---------------------------------------------------------------------------------------------------------------------


def plain(model, ranges: bool = False):
    """A float model of Keras's own layers, ODE blocks and attention, with the weights that `model` computes with.

    Args:
        model: A functional Keras model without batch normalization, quantized or in float.
        ranges: Whether activations have the ranges of their 8-bit quantizers, for :func:`convert` to int8. Without, and for
            a float model, nothing is rounded or cut off.

    Returns:
        keras.Model: for one image at a time. A float model's computes the same function.

    Raises:
        ConversionError: on a layer for which there is no plain one here.
    """
    network = functional_of(model)
    twin = keras.models.clone_model(network, clone_function=lambda layer: _plain_layer(layer, ranges))
    for layer, other in zip(network.layers, twin.layers, strict=True):
        _copy_weights(layer, other)
    return twin


def _plain_layer(layer, ranges: bool):
    """A layer that rounds nothing, not built yet."""
    kind, name = type(layer).__name__, layer.name
    if isinstance(layer, ODEBlock):
        return ODEBlock(
            plain(layer.dynamics, ranges), layer.n_steps, layer.solver, layer.step_size, time_channel=layer.time_channel,
            coefficient_bits=layer.coefficient_bits, name=name,
        )  # fmt: skip
    if isinstance(layer, MultiHeadSelfAttention2D):
        config = layer.get_config()
        attention = SplitAttention.from_config({k: None if k.endswith('_quantizer') else v for k, v in config.items()})
        attention.ranges = {what: getattr(layer, what) if ranges else None for what in ACTIVATION_QUANTIZERS}
        return attention
    if kind in CONVOLUTIONS:
        return _convolution(layer)
    if kind == 'QGlobalAveragePooling2D':
        return keras.layers.GlobalAveragePooling2D(name=name)
    if kind in ('QActivation', 'Activation'):
        function = getattr(layer.activation, '__name__', type(layer.activation).__name__)
        if function not in ('linear', 'relu', 'quantized_bits', 'quantized_relu'):
            raise ConversionError(name, f'its activation is {function}', 'Use quantized_bits or quantized_relu')
        (before,) = layer._inbound_nodes[0].parent_nodes
        alone = type(before.operation).__name__ not in CONVOLUTIONS
        quantizer = layer.activation if ranges and kind == 'QActivation' else None
        if type(before.operation).__name__ == 'QGlobalAveragePooling2D':
            quantizer = None  # with a range of its own here, the converter scales the biases of a dense layer behind wrongly
        return Activation('relu' in function, alone, quantizer, name=name)
    if kind in ('InputLayer', 'MaxPooling2D', 'AveragePooling2D', 'Add'):
        return type(layer).from_config(layer.get_config())
    raise ConversionError(name, f'{kind} has no plain layer in this benchmark', 'Add it to benchmarks/litert_models.py')


CONVOLUTIONS = ('QConv2D', 'QDepthwiseConv2D', 'QDense')


def _convolution(layer):
    """Keras's layer for one of QKeras's."""
    if getattr(layer.activation, '__name__', 'linear') != 'linear':
        raise ConversionError(layer.name, f'its activation is {layer.activation}', 'Use a QActivation behind the layer')
    if type(layer).__name__ == 'QDense':
        return keras.layers.Dense(layer.units, use_bias=layer.use_bias, name=layer.name)
    common = {key: getattr(layer, key) for key in ('strides', 'padding', 'dilation_rate', 'use_bias', 'name')}
    if type(layer).__name__ == 'QConv2D':
        return keras.layers.Conv2D(layer.filters, layer.kernel_size, **common)
    return keras.layers.DepthwiseConv2D(layer.kernel_size, depth_multiplier=layer.depth_multiplier, **common)


WEIGHT_QUANTIZERS = {
    'kernel': 'kernel_quantizer_internal',
    'depthwise_kernel': 'depthwise_quantizer_internal',
    'bias': 'bias_quantizer_internal',
}
"""Name of a weight -> attribute with its quantizer, in QKeras's layers."""

ATTENTION_QUANTIZERS = {
    **{f'{part}_{what}': f'{what}_quantizer' for part in ('qkv', 'out') for what in ('kernel', 'bias')},
    'position_rows': 'position_quantizer',
    'position_cols': 'position_quantizer',
}
"""The same for attention."""


def _copy_weights(layer, other):
    """Gives `other` the weights of `layer` as its quantizers leave them."""
    if isinstance(layer, ODEBlock):
        return  # its dynamics has them already
    attributes = ATTENTION_QUANTIZERS if isinstance(layer, MultiHeadSelfAttention2D) else WEIGHT_QUANTIZERS
    values = []
    for weight in layer.weights:
        quantizer = getattr(layer, attributes.get(weight.name, ''), None)
        values.append(ops.convert_to_numpy(weight.value if quantizer is None else quantizer(weight.value)))
    other.set_weights(values)


# ---------------------------------------------------------------------------------------------------------------------
# Flatbuffers
# ---------------------------------------------------------------------------------------------------------------------


def convert(model, images: np.ndarray | None = None) -> bytes:
    """The flatbuffer of a model for one image at a time.

    Args:
        model: From :func:`plain`.
        images: (n, *shape) representative images: converts to int8, input and output too. None converts to float32.

    Returns:
        bytes: of a .tflite file.
    """
    shape = (1, *model.input_shape[1:])
    function = tf.function(lambda x: model(x, training=False), input_signature=[tf.TensorSpec(shape, tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], function)
    if images is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


# ---------------------------------------------------------------------------------------------------------------------
# Running
# ---------------------------------------------------------------------------------------------------------------------


def run(interpreter, images: np.ndarray) -> np.ndarray:
    """The outputs of a flatbuffer.

    Args:
        interpreter: Its interpreter, of TensorFlow or of LiteRT, with tensors allocated.
        images: (n, *shape) floats; rounded as the flatbuffer's input says.

    Returns:
        (n, *shape) float32.
    """
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    outputs = []
    for image in images:
        if source['dtype'] == np.int8:
            scale, zero = source['quantization']
            image = np.clip(np.round(image / scale) + zero, -128, 127)
        interpreter.set_tensor(source['index'], image[None].astype(source['dtype']))
        interpreter.invoke()
        output = interpreter.get_tensor(result['index'])[0].astype(np.float32)
        if result['dtype'] == np.int8:
            scale, zero = result['quantization']
            output = (output - zero) * scale
        outputs.append(output)
    return np.stack(outputs)


def operations(interpreter) -> tuple[Counter, Counter]:
    """The operations of a flatbuffer, and those of them that no delegate (XNNPACK) has taken.

    Args:
        interpreter: With tensors allocated.

    Returns:
        Name of an operation -> how often, twice.
    """
    nodes = interpreter._get_ops_details()
    own = {node['index']: node for node in nodes if node['op_name'] != 'DELEGATE'}
    maker = {tensor: node for node in own.values() for tensor in node['outputs']}
    # The interpreter still lists what a delegate has replaced: all that lies between its inputs and its outputs.
    taken = set()
    for delegate in (node for node in nodes if node['op_name'] == 'DELEGATE'):
        inputs, wanted = set(delegate['inputs']), list(delegate['outputs'])
        while wanted:
            tensor = wanted.pop()
            node = maker.get(tensor)
            if node is not None and tensor not in inputs and node['index'] not in taken:
                taken.add(node['index'])
                wanted.extend(node['inputs'])
    return (
        Counter(node['op_name'] for node in own.values()),
        Counter(node['op_name'] for index, node in own.items() if index not in taken),
    )
