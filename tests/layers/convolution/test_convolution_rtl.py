"""Convolutions in RTL."""

import itertools

from qkeras import QConv2D, QDepthwiseConv2D
from rtl import RTLTest, separate

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


def geometries(sizes, strides, shape, make, part=0, parts=1):
    """A model with a branch for each size, stride and padding that fits, or for every `parts`-th of them."""
    layers = {}
    for i, (size, stride, padding) in enumerate(itertools.product(sizes, strides, ('same', 'valid'))):
        height, width = (size, size) if isinstance(size, int) else size
        if i % parts == part and (padding == 'same' or (height <= shape[0] and width <= shape[1])):
            name = f'{make.__name__}_{height}x{width}_{stride}_{padding}'.replace(', ', '').replace('(', '').replace(')', '')
            layers[name] = make(name, size, stride, padding, use_bias=i % 3 != 0)
    return separate(shape, layers)


class TestGeometry(RTLTest):
    models = {
        f'{shape[0]}x{shape[1]}-{part}': lambda shape=shape, part=part: geometries(SIZES, STRIDES, shape, conv, part, 6)
        for shape, part in zip(((7, 9, 2), (9, 6, 3), (7, 9, 2), (8, 8, 1), (5, 11, 2), (7, 7, 3)), range(6))
    }
    foldings = ('mixed',)


class TestTinyImages(RTLTest):
    """Images that are smaller than the kernel, a single pixel, row or column."""

    models = {
        f'{h}x{w}': lambda h=h, w=w: geometries((1, 3, 5, (1, 2)), (1, 2), (h, w, 2), conv)
        for h, w in ((1, 1), (1, 7), (6, 1), (2, 2))
    }
    foldings = ('mixed',)
