"""The Keras layer of a quantized layer normalization."""

from __future__ import annotations

import keras
from keras import ops

from hls4ml_ext import quantizers
from hls4ml_ext.errors import ConversionError, shown
from hls4ml_ext.layers.normalization.tables import LayerNormArithmetic


@keras.saving.register_keras_serializable(package='hls4ml_ext')
class QLayerNormalization(keras.layers.Layer):
    """Layer normalization over the channels of each pixel, computed with integers only.

    The layer rounds its input to a fixed-point type, computes mean and variance without any loss, takes 1/sqrt(variance +
    epsilon) from a table of 768 words of 12 bits, rounds the normalized values to a second fixed-point type, multiplies by
    the quantized gamma and adds the quantized beta, both exactly (the quantizer that follows rounds). The arithmetic is in
    :mod:`hls4ml_ext.layers.normalization.tables`. The gradient is that of float layer normalization of the rounded input.

    The error of the normalized values against float layer normalization of the rounded input is at most half a unit in the
    last place of `norm_quantizer`, plus 0.11 % of the value (the table), plus what rounding ``epsilon * channels**2 *
    4**F`` to an integer of at least 1 does (F: fractional bits of the input; it matters for a few channels that hardly
    vary). Measured with 8 to 256 channels of normal numbers of standard deviation 0.1, 1 and 3, 8 bits and 3 integer bits:
    with the default `norm_quantizer`, whose half unit is 0.031, at most 0.036, RMS 0.018; with quantized_bits(12,3), at
    most 0.010, RMS 0.0012 (0.0016 for 8 channels of deviation 0.1). Values beyond the range of `norm_quantizer` saturate;
    none are larger than ``sqrt(channels - 1)``.

    Args:
        input_quantizer: Quantizer of the input: a QKeras quantizer, its string or config. None is plain float layer
            normalization, for pre-training; conversion needs one.
        norm_quantizer: Quantizer of the normalized values, signed. Of its argument only the type is used.
        gamma_quantizer: Quantizer of the factors gamma; None leaves them in float, and conversion needs one.
        beta_quantizer: Quantizer of the summands beta, likewise.
        output_quantizer: Quantizer of the output; None leaves the rounding to the layer that follows.
        epsilon: Added to the variance; greater than 0.
        center: Add beta.
        scale: Multiply by gamma.
        axis: The last axis; no other one is supported.
        beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer: As of ``keras.layers.LayerNormalization``.

    Input and output shape:
        (batch, ..., channels), with ``channels * 2**bits <= 2**16`` for an input of so many bits, and at most 1000 channels.

    Raises:
        ConversionError: (a ValueError) on another axis, or on an input whose statistics do not fit 32-bit integers.
        ValueError: on an epsilon that isn't positive.

    Example::

        x = hls4ml_ext.QLayerNormalization('quantized_bits(8,3,alpha=1)', name='norm')(x)
        x = QActivation('quantized_bits(8,3,alpha=1)')(x)
    """

    def __init__(
        self,
        input_quantizer='quantized_bits(8,3,alpha=1)',
        gamma_quantizer='quantized_bits(8,1,alpha=1)',
        beta_quantizer='quantized_bits(8,1,alpha=1)',
        norm_quantizer='quantized_bits(8,3,alpha=1)',
        output_quantizer=None,
        epsilon=1e-3,
        center=True,
        scale=True,
        axis=-1,
        beta_initializer='zeros',
        gamma_initializer='ones',
        beta_regularizer=None,
        gamma_regularizer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if isinstance(axis, (list, tuple)) and len(axis) == 1:
            axis = axis[0]
        if isinstance(axis, bool) or not isinstance(axis, int) or axis < -1:
            self._refuse_axis(axis)
        if not 0 < epsilon < float('inf'):
            raise ValueError(
                f'QLayerNormalization {self.name}: epsilon is {shown(epsilon)}. Use a positive number, such as 1e-3'
            )
        if input_quantizer is not None and norm_quantizer is None:
            raise ValueError(
                f'QLayerNormalization {self.name}: it has an input_quantizer but no norm_quantizer. '
                "Give it one, such as 'quantized_bits(8,3,alpha=1)', or set both to None to compute in float"
            )
        self.input_quantizer = quantizers.resolve(input_quantizer)
        self.gamma_quantizer = quantizers.resolve(gamma_quantizer)
        self.beta_quantizer = quantizers.resolve(beta_quantizer)
        self.norm_quantizer = quantizers.resolve(norm_quantizer)
        self.output_quantizer = quantizers.resolve(output_quantizer)
        self.epsilon = float(epsilon)
        self.center, self.scale = bool(center), bool(scale)
        self.axis = axis
        self.beta_initializer = keras.initializers.get(beta_initializer)
        self.gamma_initializer = keras.initializers.get(gamma_initializer)
        self.beta_regularizer = keras.regularizers.get(beta_regularizer)
        self.gamma_regularizer = keras.regularizers.get(gamma_regularizer)

    def _refuse_axis(self, axis):
        raise ConversionError(
            self.name, f'axis is {shown(axis)}', 'Use axis=-1: it normalizes over the channels of each pixel'
        )

    def build(self, input_shape):
        if self.axis not in (-1, len(input_shape) - 1):
            self._refuse_axis(self.axis)
        channels = input_shape[-1]
        if len(input_shape) < 2 or channels is None:
            raise ConversionError(
                self.name, f'its input has shape {tuple(input_shape[1:])}', 'Use (..., channels), fixed channels'
            )
        self.n_chan = int(channels)
        if self.input_quantizer is not None:
            self.arithmetic(self.n_chan)  # it refuses what doesn't fit
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(
                name='gamma', shape=(self.n_chan,), initializer=self.gamma_initializer, regularizer=self.gamma_regularizer
            )
        if self.center:
            self.beta = self.add_weight(
                name='beta', shape=(self.n_chan,), initializer=self.beta_initializer, regularizer=self.beta_regularizer
            )
        super().build(input_shape)

    def arithmetic(self, n_chan: int) -> LayerNormArithmetic:
        """The integer arithmetic of this layer for so many channels; the layer must have an `input_quantizer`."""
        return LayerNormArithmetic(
            self.name,
            quantizers.activation_type(self.input_quantizer, self.name),
            n_chan,
            self.epsilon,
            quantizers.activation_type(self.norm_quantizer, self.name),
        )

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def _float_norm(self, x):
        centred = x - ops.mean(x, axis=-1, keepdims=True)
        return centred / ops.sqrt(ops.mean(ops.square(centred), axis=-1, keepdims=True) + self.epsilon)

    def _exact_norm(self, x):
        arithmetic = self.arithmetic(self.n_chan)
        source = arithmetic.source
        scaled = ops.round(ops.cast(x, keras.config.floatx()) * 2.0**source.frac)
        stored = ops.cast(ops.clip(scaled, source.lo, source.hi), 'int32')
        return ops.cast(arithmetic.normalize(stored), x.dtype) * 2.0**-arithmetic.normal.frac

    def call(self, inputs):
        if self.input_quantizer is None:
            y = self._float_norm(inputs)
        else:
            smooth = self._float_norm(ops.cast(self.input_quantizer(inputs), inputs.dtype))
            # So that smooth - smooth is 0: a compiler may contract a product and a difference to one rounding (fma), but not
            # a maximum. Normalized values are never below -sqrt(channels).
            smooth = ops.maximum(smooth, -1.0 - self.n_chan)
            y = ops.stop_gradient(self._exact_norm(ops.stop_gradient(inputs))) + (smooth - ops.stop_gradient(smooth))
        if self.gamma is not None:
            y = y * self._quantized(self.gamma, self.gamma_quantizer, y.dtype)
        if self.beta is not None:
            y = y + self._quantized(self.beta, self.beta_quantizer, y.dtype)
        return y if self.output_quantizer is None else self.output_quantizer(y)

    def _quantized(self, weights, quantizer, dtype):
        return ops.cast(weights if quantizer is None else quantizer(ops.convert_to_tensor(weights)), dtype)

    def get_config(self):
        return {
            **super().get_config(),
            'input_quantizer': quantizers.serialize(self.input_quantizer),
            'gamma_quantizer': quantizers.serialize(self.gamma_quantizer),
            'beta_quantizer': quantizers.serialize(self.beta_quantizer),
            'norm_quantizer': quantizers.serialize(self.norm_quantizer),
            'output_quantizer': quantizers.serialize(self.output_quantizer),
            'epsilon': self.epsilon,
            'center': self.center,
            'scale': self.scale,
            'axis': self.axis,
            'beta_initializer': keras.initializers.serialize(self.beta_initializer),
            'gamma_initializer': keras.initializers.serialize(self.gamma_initializer),
            'beta_regularizer': keras.regularizers.serialize(self.beta_regularizer),
            'gamma_regularizer': keras.regularizers.serialize(self.gamma_regularizer),
        }
