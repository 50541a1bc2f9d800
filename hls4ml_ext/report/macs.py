"""Multiply-accumulates of Keras layers."""

from __future__ import annotations

import functools
import math

import keras

from hls4ml_ext.errors import ExtError
from hls4ml_ext.layers.attention.keras import MultiHeadSelfAttention2D
from hls4ml_ext.layers.normalization.keras import QLayerNormalization

WITHOUT_PRODUCTS = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
    QLayerNormalization,
    keras.layers.Embedding,
    keras.layers.PReLU,
)
"""Layers with weights that count no multiply-accumulates."""

UNKNOWN_PRODUCTS = ('Matmul', 'Dot', 'Tensordot', 'Einsum', 'Conv', 'DepthwiseConv', 'Attention', 'AdditiveAttention')
"""Names of classes without weights that can't be passed over."""


@functools.singledispatch
def macs_of_call(layer, inputs: list[tuple], output: tuple) -> int:
    """Multiply-accumulates of one call of a layer. For a layer class of your own, register a function of the same arguments.

    Args:
        layer: A Keras layer or operation.
        inputs: Shapes of its inputs, without the batch.
        output: Shape of its output, without the batch.

    Raises:
        ExtError: if the layer is not known.

    Example::

        @macs_of_call.register
        def _(layer: MyLayer, inputs, output) -> int:
            return math.prod(output) * inputs[0][-1]
    """
    kind = type(layer).__name__
    has_weights = bool(getattr(layer, 'weights', None))
    if isinstance(layer, WITHOUT_PRODUCTS) or not (has_weights or kind in UNKNOWN_PRODUCTS):
        return 0
    raise ExtError(
        f"layer '{layer.name}': the multiply-accumulates of a {kind} are not known. Register a function for its class: "
        'hls4ml_ext.report.macs.macs_of_call.register'
    )


@macs_of_call.register(keras.layers.Conv1D)
@macs_of_call.register(keras.layers.Conv2D)
@macs_of_call.register(keras.layers.Conv3D)
@macs_of_call.register(keras.layers.DepthwiseConv1D)
@macs_of_call.register(keras.layers.DepthwiseConv2D)
def _(layer, inputs, output):
    pixels = output[1:] if layer.data_format == 'channels_first' else output[:-1]
    return math.prod(pixels) * size_of(kernel_of(layer))


@macs_of_call.register
def _(layer: keras.layers.Dense, inputs, output):
    return math.prod(output[:-1]) * size_of(layer.kernel)


@macs_of_call.register
def _(layer: keras.layers.EinsumDense, inputs, output):
    # Each number of the kernel is used for all indices of the input that the kernel doesn't have.
    before, kernel = layer.equation.split('->')[0].split(',')
    shared = [size for label, size in zip(kernel, layer.kernel.shape) if label in before]
    return size_of(layer.kernel) * math.prod(inputs[0]) // math.prod(shared)


@macs_of_call.register
def _(layer: keras.layers.MultiHeadAttention, inputs, output):
    """Of (tokens, channels) each: query, value and, if it isn't the value, key."""
    query, value = math.prod(inputs[0][:-1]), math.prod(inputs[1][:-1])
    projections = query * (size_of(layer.query_dense.kernel) + size_of(layer.output_dense.kernel)) + value * (
        size_of(layer.key_dense.kernel) + size_of(layer.value_dense.kernel)
    )
    return projections + query * value * layer.num_heads * (layer.key_dim + layer.value_dim)


@macs_of_call.register
def _(layer: MultiHeadSelfAttention2D, inputs, output):
    n_pixels = math.prod(inputs[0][:-1])
    kernels = size_of(layer.qkv_kernel) + (size_of(layer.out_kernel) if layer.use_output_projection else 0)
    return n_pixels * kernels + 2 * n_pixels**2 * layer.num_heads * layer.key_dim


def kernel_of(layer):
    """The kernel of a convolution or dense layer."""
    return layer.depthwise_kernel if hasattr(layer, 'depthwise_kernel') else layer.kernel


def size_of(weight) -> int:
    """How many numbers it is."""
    return math.prod(weight.shape)
