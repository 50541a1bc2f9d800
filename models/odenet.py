"""The ODE network without attention: a stem, Neural-ODE stages of depthwise-separable convolutions, a classifier.

It is :mod:`hls4ml_ext.models.ode_mhsa` without its attention block, with the same knobs but `mhsa` and the same presets:
what attention costs and brings is the difference of the two.
"""

from __future__ import annotations

from pydantic import field_validator

from hls4ml_ext.models import ode_mhsa
from hls4ml_ext.models.knobs import Quantization

DEFAULT_BITS = ode_mhsa.DEFAULT_BITS

PRESETS = {name: {knob: v for knob, v in preset.items() if knob != 'mhsa'} for name, preset in ode_mhsa.PRESETS.items()}


class Knobs(ode_mhsa.Knobs):
    """The knobs of :class:`hls4ml_ext.models.ode_mhsa.Knobs`, but `mhsa`."""

    presets = PRESETS
    mhsa: None = None

    @field_validator('mhsa', mode='before')
    @classmethod
    def _no_attention(cls, value):
        if value is not None:
            raise ValueError('odenet has no attention block. Use the builder ode_mhsa')
        return value


def build(input_shape, n_classes: int, quantization: Quantization | None = DEFAULT_BITS, **knobs):
    """Builds the network. Its output are logits: train it with ``from_logits=True``.

    Args:
        input_shape: (height, width, channels) of the images, whose values lie between -1 and 1.
        n_classes: Number of classes.
        quantization: The bit widths; None builds it in floating point, with weights of the same shapes and order.
        knobs: Those of :class:`Knobs`; groups as dicts.

    Returns:
        keras.Model: with BatchNormalization, which :func:`hls4ml_ext.fold_batchnorm` removes.

    Raises:
        pydantic.ValidationError: on a knob that does not exist, or an impossible value.

    Example::

        model = build((96, 96, 3), 10, preset='96x96')
    """
    import keras

    model = ode_mhsa.Builder(Knobs(**knobs), quantization).build(tuple(input_shape), n_classes)
    return keras.Model(model.inputs[0], model.outputs[0], name='odenet')
