"""The gradients of activation quantizers in training."""

from __future__ import annotations

import contextlib

import keras
from keras import ops

from hls4ml_ext.layers.attention.keras import MultiHeadSelfAttention2D
from hls4ml_ext.train.calibration import all_layers
from hls4ml_ext.train.ranges import activation_quantizers, replaced


class Clipped:
    """Stands for a ``quantized_bits`` in training: the same numbers, but no gradient where it saturates.

    QKeras lets gradients pass as if there were no rounding and no end of the range. What has left the range then goes on
    leaving it; without batch normalization, and with ODE blocks that apply the same weights again and again, gradients
    explode. ``quantized_relu`` stops them by itself. (Hubara et al., "Quantized Neural Networks", arXiv 1609.07061, 1.3.)

    Args:
        quantizer: A ``quantized_bits`` with a fixed scale.
    """

    def __init__(self, quantizer):
        self.quantizer = quantizer
        signed = bool(quantizer.keep_negative)
        end = 2.0 ** float(quantizer.integer)
        lsb = end * 2.0 ** (signed - int(quantizer.bits))
        lowest = (lsb * bool(quantizer.symmetric) - end) if signed else 0.0
        # What is rounded to the ends of the range is still within it.
        self.low, self.high = lowest - lsb / 2, end - lsb / 2

    def __call__(self, x):
        x = ops.convert_to_tensor(x)
        within = ops.clip(x, self.low, self.high)
        return within + ops.stop_gradient(self.quantizer(x) - within)


@contextlib.contextmanager
def clipped_gradients(model: keras.Model):
    """Within, no gradient passes an activation quantizer of the model where it saturates."""
    places = [*activation_quantizers(model.layers)]
    places += [(layer, 'logit_quantizer') for layer in all_layers(model) if isinstance(layer, MultiHeadSelfAttention2D)]
    with replaced([place for place in places if _passes_gradients(getattr(*place))], Clipped):
        yield


def _passes_gradients(quantizer) -> bool:
    return type(quantizer).__name__ == 'quantized_bits' and not isinstance(quantizer.alpha, str)
