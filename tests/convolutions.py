"""Convolutions of every geometry, for the tests of each back end."""

import itertools

from exactness import branches
from qkeras import QConv2D, QDepthwiseConv2D

KERNEL = 'quantized_bits(5,0,alpha=1)'
BIAS = 'quantized_bits(8,2,alpha=1)'
SIZES = (1, 2, 3, 5, 7, (3, 1), (1, 3), (2, 3), (5, 2))
STRIDES = (1, 2, 3, (2, 1), (1, 3))


def conv(name, size, strides=1, padding='same', filters=4, use_bias=True, kernel=KERNEL, bias=BIAS, **kwargs):
    return QConv2D(
        filters, size, strides=strides, padding=padding, use_bias=use_bias,
        kernel_quantizer=kernel, bias_quantizer=bias, name=name, **kwargs,
    )  # fmt: skip


def depthwise(name, size, strides=1, padding='same', use_bias=True, kernel=KERNEL, bias=BIAS, **kwargs):
    return QDepthwiseConv2D(
        size, strides=strides, padding=padding, use_bias=use_bias,
        depthwise_quantizer=kernel, bias_quantizer=bias, name=name, **kwargs,
    )  # fmt: skip


def geometries(sizes, strides, shape, make, part=0, parts=1, assemble=branches):
    """A model with a branch for each size, stride and padding that fits, or for every `parts`-th of them.

    Args:
        assemble: Function from a shape and layers to a model.
    """
    layers = {}
    for i, (size, stride, padding) in enumerate(itertools.product(sizes, strides, ('same', 'valid'))):
        height, width = (size, size) if isinstance(size, int) else size
        if i % parts == part and (padding == 'same' or (height <= shape[0] and width <= shape[1])):
            name = f'{make.__name__}_{height}x{width}_{stride}_{padding}'.replace(', ', '').replace('(', '').replace(')', '')
            layers[name] = make(name, size, stride, padding, use_bias=i % 3 != 0)
    return assemble(shape, layers)
