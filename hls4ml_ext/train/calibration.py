"""What quantized weights and batch normalization need to know about the numbers they meet."""

from __future__ import annotations

import itertools

import keras
import numpy as np
from qkeras.qlayers import Clip

from hls4ml_ext.layers.ode.keras import ODEBlock
from hls4ml_ext.train.compiled import without_gradients

BATCHES = 6
"""So many batches give batch normalization its statistics, if each leaves half of what was before."""

KERNELS = (
    ('kernel_quantizer_internal', ('kernel',)),
    ('depthwise_quantizer_internal', ('depthwise_kernel',)),
    ('kernel_quantizer', ('qkv_kernel', 'out_kernel')),
    ('position_quantizer', ('position_rows', 'position_cols')),
)
"""Attributes of layers: a quantizer, and the weights that it rounds."""


def all_layers(model):
    """The layers of a model, of the models within it and of the dynamics of its ODE blocks."""
    for _, layer in named_layers(model):
        yield layer


def named_layers(model, blocks: bool = False, prefix: str = ''):
    """(name, layer) of :func:`all_layers`, named as in the hardware: 'ode1.pw1'.

    Args:
        model: A Keras model.
        blocks: Whether ODE blocks themselves are among them.
        prefix: What the names begin with.
    """
    for layer in model.layers:
        name = prefix + layer.name
        if isinstance(layer, keras.Model):
            yield from named_layers(layer, blocks, f'{name}.')
        elif isinstance(layer, ODEBlock):
            if blocks:
                yield name, layer
            yield from named_layers(layer.dynamics, blocks, f'{name}.')
        else:
            yield name, layer


def choose_binary_points(model):
    """Moves the binary point of every weight quantizer to where it rounds the present weights with the least squared error.

    It is the ``integer`` of each ``quantized_bits`` with ``alpha=1``: the weights keep their bits, and the layer a single
    scale, a power of two, which costs no hardware. The model has to be compiled again afterwards.

    Args:
        model: A built Keras model; its quantizers are changed.
    """
    for layer in all_layers(model):
        for attribute, names in KERNELS:
            quantizer = getattr(layer, attribute, None)
            weights = [getattr(layer, name) for name in names if hasattr(layer, name)]
            if weights and type(quantizer).__name__ == 'quantized_bits' and not isinstance(quantizer.alpha, str):
                values = np.concatenate([keras.ops.convert_to_numpy(w).ravel() for w in weights])
                quantizer.integer = best_integer(values, int(quantizer.bits))
                for weight in weights:
                    # QKeras keeps weights within the range that the quantizer had when the layer was made.
                    if isinstance(weight.constraint, Clip):
                        weight.constraint = Clip(-(2.0**quantizer.integer), 2.0**quantizer.integer)


def best_integer(values: np.ndarray, bits: int) -> int:
    """The number of bits left of the binary point, besides the sign, with which `bits` round the values best."""
    largest = float(np.abs(values).max(initial=0))
    if largest == 0 or not np.isfinite(largest):
        return 0
    top = int(np.ceil(np.log2(largest)))

    def error(integer):
        lsb = 2.0 ** (integer - bits + 1)
        rounded = np.clip(np.rint(values / lsb), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * lsb
        return float(((rounded - values) ** 2).sum())

    return min(range(top + 1, top - bits, -1), key=error)


def calibrate_batchnorm(
    model, images: np.ndarray, batch_size: int = 16, momentum: float = 0.5, batches: int | None = BATCHES, progress=None
):
    """Sets the statistics of batch normalization to those of some images, for weights that were not trained with them.

    Args:
        model: A built Keras model; its moving averages are changed.
        images: Images, (n, height, width, channels).
        batch_size: Of them at a time.
        momentum: Share of the statistics that each batch leaves of those before.
        batches: How many are shown, starting anew where there are not enough images; None shows each image once.
        progress: Called after each batch.
    """
    layers = [layer for layer in all_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    if not layers:
        return
    for layer in layers:
        layer.momentum = momentum
    starts = range(0, len(images), batch_size)
    with without_gradients():
        for start in itertools.islice(itertools.cycle(starts), len(starts) if batches is None else batches):
            model(images[start : start + batch_size], training=True)
            if progress:
                progress()
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
