"""Where activations get their binary points from: the numbers that a float model computes on some training images."""

from __future__ import annotations

import contextlib

import keras
import numpy as np

from hls4ml_ext.layers.attention.keras import MultiHeadSelfAttention2D
from hls4ml_ext.layers.ode.keras import ODEBlock
from hls4ml_ext.train.compiled import without_gradients

METHODS = ('minmax', 'percentile', 'mse')
PERCENTILE = 99.9
SAMPLES = 1 << 16
"""Numbers that are kept of one evaluation of a quantizer, evenly spaced."""

ATTENTION_QUANTIZERS = ('qkv_quantizer', 'attention_quantizer', 'context_quantizer', 'output_quantizer')
"""Without the logits': their range is a property of the shared softmax tables."""


class Recorder:
    """Stands for a quantizer while a model runs: keeps some of the numbers, and rounds none.

    Args:
        quantizer: A ``quantized_bits`` or ``quantized_relu``.
    """

    def __init__(self, quantizer):
        self.quantizer = quantizer
        self.rectifies = type(quantizer).__name__ == 'quantized_relu'
        self.samples: list[np.ndarray] = []
        self.lowest, self.highest = np.inf, -np.inf

    def __call__(self, x):
        if self.rectifies:
            x = keras.ops.relu(x)
        seen = keras.ops.convert_to_numpy(x).ravel()
        self.lowest, self.highest = min(self.lowest, float(seen.min())), max(self.highest, float(seen.max()))
        self.samples.append(seen[:: -(-len(seen) // SAMPLES)].astype(np.float64))
        return x

    @property
    def values(self) -> np.ndarray:
        """The numbers that were kept."""
        return np.concatenate(self.samples) if self.samples else np.zeros(0)


def activation_quantizers(layers):
    """(owner, attribute) of every activation quantizer with a range to choose, in layers, models and ODE blocks.

    Args:
        layers: Layers, as ``model.layers``.
    """
    for layer in layers:
        if isinstance(layer, ODEBlock):
            yield layer, 'state_quantizer'
            yield from activation_quantizers(layer.dynamics.layers)
        elif isinstance(layer, keras.Model):
            yield from activation_quantizers(layer.layers)
        elif isinstance(layer, MultiHeadSelfAttention2D):
            softmax = layer.attention == 'softmax'
            yield from ((layer, name) for name in ATTENTION_QUANTIZERS if not (softmax and name == 'attention_quantizer'))
        elif hasattr(layer, 'activation'):
            yield layer, 'activation'


@contextlib.contextmanager
def replaced(places, stand_in):
    """Within, something else stands for quantizers of a model.

    Args:
        places: (owner, attribute) of each, as from :func:`activation_quantizers`.
        stand_in: Quantizer -> what stands for it.
    """
    quantizers = [(owner, name, getattr(owner, name)) for owner, name in places]
    try:
        for owner, name, quantizer in quantizers:
            setattr(owner, name, stand_in(quantizer))
        yield
    finally:
        for owner, name, quantizer in quantizers:
            setattr(owner, name, quantizer)


def record(model, images: np.ndarray, batch_size: int = 64) -> list[tuple[object, str, Recorder]]:
    """Runs a quantized model with its activations in floating point, and records what its quantizers would round.

    Weights are rounded as ever. The model is the same afterwards.

    Args:
        model: A built Keras model with quantizers.
        images: (n, height, width, channels).
        batch_size: Images at a time.

    Returns:
        (owner, attribute, recorder) for each quantizer; in an ODE block one recorder sees all steps.
    """
    places = [(owner, name) for owner, name in activation_quantizers(model.layers) if _has_range(getattr(owner, name))]
    with replaced(places, Recorder), without_gradients():
        recorders = [(owner, name, getattr(owner, name)) for owner, name in places]
        for start in range(0, len(images), batch_size):
            model(images[start : start + batch_size], training=False)
    return recorders


def choose_activation_ranges(model, images: np.ndarray, method: str = 'mse'):
    """Moves the binary points of activation quantizers to where the numbers of a model are.

    It is the ``integer`` of each ``quantized_bits`` with ``alpha=1`` and each ``quantized_relu``: a scale that is a power of
    two, and costs no hardware. The model has to be compiled again afterwards.

    Args:
        model: A built Keras model with trained weights; its quantizers are changed.
        images: Images to look at, (n, height, width, channels).
        method: 'minmax': the smallest range that clips nothing. 'percentile': the smallest that clips no more than 0.1 % of
            the numbers. 'mse': the least mean squared error of rounding and clipping together. (Krishnamoorthi,
            "Quantizing deep convolutional networks for efficient inference", arXiv 1806.08342, section 3; Nagel et al., "A
            White Paper on Neural Network Quantization", arXiv 2106.08295, section 3.1.)
    """
    if method not in METHODS:
        raise ValueError(f'method is {method!r}. Use one of {", ".join(METHODS)}')
    for _, _, recorder in record(model, images):
        recorder.quantizer.integer = best_range(recorder, method)


def best_range(recorder: Recorder, method: str) -> int:
    """The ``integer`` of a quantizer that fits what was recorded, see :func:`choose_activation_ranges`."""
    quantizer, signed = recorder.quantizer, not recorder.rectifies
    bits, present = int(quantizer.bits), int(np.asarray(quantizer.integer))
    values = recorder.values
    largest = max(-recorder.lowest, recorder.highest)
    if not len(values) or largest <= 0 or not np.isfinite(largest):
        return present
    lowest = -bits if signed else 0  # QKeras's quantized_relu has no negative ones
    if method != 'mse':
        reach = largest if method == 'minmax' else float(np.percentile(np.abs(values), PERCENTILE))
        return max(int(np.ceil(np.log2(reach))) if reach > 0 else lowest, lowest)
    top = max(int(np.ceil(np.log2(largest))), lowest)

    def error(integer):
        lsb = 2.0 ** (integer - bits + signed)
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        return float(((np.clip(np.rint(values / lsb), low, high) * lsb - values) ** 2).sum())

    return min(range(top, max(top - bits, lowest) - 1, -1), key=error)


def _has_range(quantizer) -> bool:
    kind = type(quantizer).__name__
    return kind == 'quantized_relu' or (kind == 'quantized_bits' and not isinstance(quantizer.alpha, str))
