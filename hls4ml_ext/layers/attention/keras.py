"""Multi-head self-attention as a quantized Keras layer."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from hls4ml_ext import quantizers
from hls4ml_ext.errors import ConversionError, ExtError, shown
from hls4ml_ext.fixed import FixedType, power_of_two
from hls4ml_ext.layers.attention.tables import IntegerSoftmax, ceil_log2

POSITIONS = ('relative', 'additive', None)
ATTENTIONS = ('relu', 'softmax')
ACTIVATION_QUANTIZERS = ('qkv_quantizer', 'logit_quantizer', 'attention_quantizer', 'context_quantizer', 'output_quantizer')
WEIGHT_QUANTIZERS = ('kernel_quantizer', 'bias_quantizer', 'position_quantizer')


@keras.saving.register_keras_serializable(package='hls4ml_ext')
class MultiHeadSelfAttention2D(keras.layers.Layer):
    """Multi-head self-attention over the pixels of a feature map (Vaswani et al. 2017, section 3.2.2), quantized.

    Every pixel is projected to a query, a key and a value for each head; ``logit_ij = scale * q_i . k_j`` plus a position
    term; a head's context is the sum of the values, weighted by the attention weights that the logits become; the contexts
    of all heads together are projected back to the channels of the input.

    *Positions.* ``'relative'`` is that of BoTNet (Srinivas et al. 2021, section 3.1, figure 4): tables of 2H-1 row offsets
    and 2W-1 column offsets, vectors of `key_dim` which the heads share; ``logit_ij`` has
    ``q_i . (row[y_j - y_i + H - 1] + col[x_j - x_i + W - 1])`` added. ``'additive'`` adds a row embedding and a column
    embedding to the keys: tables of H and W vectors of ``num_heads * key_dim``.

    *Weights.* ``'relu'`` takes the rectified logits as they are and divides the weighted sum by the number of pixels,
    rounded up to a power of two (softmax-free attention). ``'softmax'`` is computed with integers, see
    :class:`~hls4ml_ext.layers.attention.tables.IntegerSoftmax`, and differentiated as the true softmax.

    A quantizer of None leaves its numbers in floating point, for pre-training; the softmax then is the true one unless both
    `logit_quantizer` and `attention_quantizer` are given. Conversion refuses such a layer, but for `logit_quantizer` with
    ReLU attention, which has no use for it, `output_quantizer`, and `context_quantizer` without an output projection: there
    the layer behind rounds.

    Args:
        num_heads: Number of heads.
        key_dim: Size of a query, key or value of one head.
        position: 'relative', 'additive' or None.
        attention: 'relu' or 'softmax'.
        use_output_projection: Project the contexts back to the input's channels; otherwise the output has
            ``num_heads * key_dim`` channels.
        use_bias: Whether the projections have biases.
        logit_scale: Power of two by which logits are multiplied; None is the one nearest to ``key_dim**-0.5``.
        kernel_quantizer, bias_quantizer, position_quantizer: Weight quantizers of both projections and the position tables.
        qkv_quantizer: Rounds queries, keys and values.
        logit_quantizer: Rounds the logits before softmax: a fixed-point type of at most 12 bits.
        attention_quantizer: The type of the attention weights, unsigned. With ReLU attention it is the rectifier that makes
            weights of logits; with softmax it must have no integer bits. 'auto' is ``quantized_relu(8,2)``, or
            ``quantized_relu(8,0)`` for softmax.
        context_quantizer: Rounds the contexts before the output projection.
        output_quantizer: Rounds the output; None leaves it to the layer behind.
        kernel_initializer, bias_initializer, position_initializer: Initializers.
        kwargs: Of ``keras.layers.Layer``.

    Input: (batch, H, W, channels), H and W fixed. Output: (batch, H, W, channels or ``num_heads * key_dim``).

    Raises:
        ValueError: on an argument that isn't one of the above, naming it; a
            :class:`~hls4ml_ext.errors.ConversionError` if a quantizer is not a rounding to a fixed-point type.

    Example::

        x = keras.Input((12, 12, 64))
        y = QActivation('quantized_bits(8,2,alpha=1)')(x)
        y = MultiHeadSelfAttention2D(num_heads=4, key_dim=16)(y)
        y = QActivation('quantized_bits(8,2,alpha=1)')(y)
    """

    def __init__(
        self,
        num_heads,
        key_dim,
        position='relative',
        attention='relu',
        use_output_projection=True,
        use_bias=False,
        logit_scale=None,
        kernel_quantizer='quantized_bits(4,0,alpha=1)',
        bias_quantizer='quantized_bits(8,2,alpha=1)',
        position_quantizer='quantized_bits(6,0,alpha=1)',
        qkv_quantizer='quantized_bits(8,2,alpha=1)',
        logit_quantizer='quantized_bits(8,3,alpha=1)',
        attention_quantizer='auto',
        context_quantizer='quantized_bits(8,2,alpha=1)',
        output_quantizer=None,
        kernel_initializer='he_uniform',
        bias_initializer='zeros',
        position_initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for what, value in (('num_heads', num_heads), ('key_dim', key_dim)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"layer '{self.name}': {what} is {shown(value)}. Use a positive integer")
        for what, value, allowed in (('position', position, POSITIONS), ('attention', attention, ATTENTIONS)):
            if value not in allowed:
                raise ValueError(
                    f"layer '{self.name}': {what} is {shown(value)}. Use one of {', '.join(map(repr, allowed))}"
                )
        self.num_heads, self.key_dim = int(num_heads), int(key_dim)
        self.position, self.attention = position, attention
        self.use_output_projection, self.use_bias = bool(use_output_projection), bool(use_bias)
        if logit_scale is None:
            below = 2.0 ** np.floor(np.log2(self.key_dim**-0.5))
            logit_scale = min(below, 2 * below, key=lambda scale: abs(scale - self.key_dim**-0.5))
        if isinstance(logit_scale, bool) or not isinstance(logit_scale, (int, float)) or power_of_two(logit_scale) is None:
            raise ValueError(f"layer '{self.name}': logit_scale is {shown(logit_scale)}. Use a power of two, such as 0.25")
        self.logit_scale = float(logit_scale)
        if isinstance(attention_quantizer, str) and attention_quantizer == 'auto':
            attention_quantizer = 'quantized_relu(8,2)' if attention == 'relu' else 'quantized_relu(8,0)'
        self.kernel_quantizer = quantizers.resolve(kernel_quantizer)
        self.bias_quantizer = quantizers.resolve(bias_quantizer)
        self.position_quantizer = quantizers.resolve(position_quantizer)
        self.qkv_quantizer = quantizers.resolve(qkv_quantizer)
        self.logit_quantizer = quantizers.resolve(logit_quantizer) if attention == 'softmax' else None
        self.attention_quantizer = quantizers.resolve(attention_quantizer)
        self.context_quantizer = quantizers.resolve(context_quantizer)
        self.output_quantizer = quantizers.resolve(output_quantizer)
        self._check_types()
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        if position_initializer is None:
            position_initializer = keras.initializers.RandomNormal(stddev=self.key_dim**-0.5)
        self.position_initializer = keras.initializers.get(position_initializer)

    def _check_types(self):
        for what in ACTIVATION_QUANTIZERS:
            if getattr(self, what) is not None:
                self.activation_type(what)
        if self.attention_quantizer is None:
            return
        weights = self.activation_type('attention_quantizer')
        if weights.signed:
            raise ConversionError(
                self.name, f'attention_quantizer {self.attention_quantizer} has a sign', 'Use quantized_relu(bits, integer)'
            )
        if self.attention == 'softmax' and weights.integer != 0:
            raise ConversionError(
                self.name, f'attention_quantizer {self.attention_quantizer} has {weights.integer} integer bits, but weights '
                'of softmax lie between 0 and 1', f'Use quantized_relu({weights.width},0)',
            )  # fmt: skip

    def activation_type(self, what: str) -> FixedType:
        """The fixed-point type of an activation quantizer, such as 'qkv_quantizer'.

        Raises:
            ConversionError: if it is None or not fixed-point.
        """
        quantizer = getattr(self, what)
        if quantizer is None:
            raise ConversionError(
                self.name, f'{what} is None: its numbers are floating-point',
                f"Give it a {what}, such as 'quantized_bits(8,2,alpha=1)', and fine-tune the model",
            )  # fmt: skip
        try:
            return quantizers.activation_type(quantizer, self.name)
        except ConversionError as e:
            raise ConversionError(self.name, f'{what}: {e.problem}', e.remedy) from e

    def integer_softmax(self, n_pixels: int) -> IntegerSoftmax:
        """The integer softmax over so many pixels.

        Raises:
            ConversionError: where int32 or the tables can't hold it.
        """
        logit, weight = self.activation_type('logit_quantizer'), self.activation_type('attention_quantizer')
        try:
            return IntegerSoftmax(logit, weight.width, n_pixels)
        except ExtError as e:
            raise ConversionError(
                self.name, str(e), 'Use fewer bits in logit_quantizer or attention_quantizer, or a smaller map'
            ) from e

    # ------------------------------------------------------------------ Keras

    def build(self, input_shape):
        if len(input_shape) != 4 or any(d is None for d in input_shape[1:]):
            raise ValueError(
                f"layer '{self.name}': its input has shape {tuple(input_shape)}. Use (batch, height, width, channels) with "
                'fixed height, width and channels'
            )
        self.height, self.width, channels = (int(d) for d in input_shape[1:])
        inner = self.num_heads * self.key_dim
        self.qkv_kernel = self.add_weight(
            name='qkv_kernel', shape=(channels, 3 * inner), initializer=_fresh(self.kernel_initializer)
        )
        if self.use_bias:
            self.qkv_bias = self.add_weight(name='qkv_bias', shape=(3 * inner,), initializer=_fresh(self.bias_initializer))
        if self.position is not None:
            rows, cols, size = self.height, self.width, inner
            if self.position == 'relative':
                rows, cols, size = 2 * rows - 1, 2 * cols - 1, self.key_dim
            initializer = self.position_initializer
            self.position_rows = self.add_weight(name='position_rows', shape=(rows, size), initializer=_fresh(initializer))
            self.position_cols = self.add_weight(name='position_cols', shape=(cols, size), initializer=_fresh(initializer))
        if self.use_output_projection:
            self.out_kernel = self.add_weight(
                name='out_kernel', shape=(inner, channels), initializer=_fresh(self.kernel_initializer)
            )
            if self.use_bias:
                self.out_bias = self.add_weight(
                    name='out_bias', shape=(channels,), initializer=_fresh(self.bias_initializer)
                )
        if self.attention == 'softmax' and self.logit_quantizer is not None and self.attention_quantizer is not None:
            self._softmax = self.integer_softmax(self.height * self.width)
        self.built = True

    def call(self, inputs):
        n_pixels = self.height * self.width
        inner = self.num_heads * self.key_dim
        x = ops.reshape(inputs, (-1, n_pixels, inputs.shape[-1]))
        qkv = self._quantized(self.qkv_quantizer, self._project(x, 'qkv'))
        qkv = ops.reshape(qkv, (-1, n_pixels, 3, self.num_heads, self.key_dim))
        query, key, value = (qkv[:, :, part] for part in range(3))
        weights = self._attend(self._logits(query, key))
        context = ops.einsum('bhij,bjhd->bihd', weights, value)
        if self.attention == 'relu':
            context = context * self.context_scale
        context = self._quantized(self.context_quantizer, ops.reshape(context, (-1, n_pixels, inner)))
        output = self._project(context, 'out') if self.use_output_projection else context
        output = self._quantized(self.output_quantizer, output)
        return ops.reshape(output, (-1, self.height, self.width, output.shape[-1]))

    @property
    def context_scale(self) -> float:
        """The factor of ReLU attention's weighted sums: 1 / (number of pixels), rounded down to a power of two."""
        return 2.0 ** -ceil_log2(self.height * self.width)

    def _quantized(self, quantizer, x):
        """`x` rounded by a quantizer, in the layer's own floating-point type (quantized_relu returns float32)."""
        if quantizer is None:
            return x
        return ops.cast(quantizer(ops.convert_to_tensor(x)), self.compute_dtype)

    def _project(self, x, part):
        y = ops.matmul(x, self._quantized(self.kernel_quantizer, getattr(self, f'{part}_kernel')))
        if self.use_bias:
            y = y + self._quantized(self.bias_quantizer, getattr(self, f'{part}_bias'))
        return y

    def _logits(self, query, key):
        """(batch, pixels, heads, key_dim) each -> (batch, heads, query pixels, key pixels)."""
        h, w, n_pixels = self.height, self.width, self.height * self.width
        if self.position is not None:
            rows = self._quantized(self.position_quantizer, self.position_rows)
            cols = self._quantized(self.position_quantizer, self.position_cols)
        if self.position == 'additive':
            embedding = ops.expand_dims(rows, 1) + ops.expand_dims(cols, 0)
            key = key + ops.reshape(embedding, (1, n_pixels, self.num_heads, self.key_dim))
        logits = ops.einsum('bihd,bjhd->bhij', query, key)
        if self.position == 'relative':
            # Each query meets every row and every column once, not every pixel.
            query = ops.reshape(query, (-1, h, w, self.num_heads, self.key_dim))
            row_logits = ops.einsum('bxyhd,xud->bhxyu', query, ops.take(rows, _offsets(h), axis=0))
            col_logits = ops.einsum('bxyhd,yvd->bhxyv', query, ops.take(cols, _offsets(w), axis=0))
            offsets = ops.expand_dims(row_logits, -1) + ops.expand_dims(col_logits, -2)
            logits = logits + ops.reshape(offsets, (-1, self.num_heads, n_pixels, n_pixels))
        return logits * self.logit_scale

    def _attend(self, logits):
        """Attention weights from logits."""
        if self.attention == 'relu':
            return (
                ops.relu(logits) if self.attention_quantizer is None else self._quantized(self.attention_quantizer, logits)
            )
        logits = self._quantized(self.logit_quantizer, logits)
        smooth = ops.softmax(logits, axis=-1)
        if self.logit_quantizer is None:
            return self._quantized(self.attention_quantizer, smooth)
        if self.attention_quantizer is None:
            return smooth
        exact = ops.stop_gradient(_integer_softmax(self._softmax, logits, self.compute_dtype))
        return exact + (smooth - ops.stop_gradient(smooth))  # the value of the first, the gradient of the second

    def compute_output_shape(self, input_shape):
        channels = input_shape[-1] if self.use_output_projection else self.num_heads * self.key_dim
        return (*input_shape[:-1], channels)

    def get_config(self):
        return {
            **super().get_config(),
            'num_heads': self.num_heads,
            'key_dim': self.key_dim,
            'position': self.position,
            'attention': self.attention,
            'use_output_projection': self.use_output_projection,
            'use_bias': self.use_bias,
            'logit_scale': self.logit_scale,
            **{q: quantizers.serialize(getattr(self, q)) for q in (*WEIGHT_QUANTIZERS, *ACTIVATION_QUANTIZERS)},
            'kernel_initializer': keras.initializers.serialize(self.kernel_initializer),
            'bias_initializer': keras.initializers.serialize(self.bias_initializer),
            'position_initializer': keras.initializers.serialize(self.position_initializer),
        }


def _fresh(initializer):
    """A copy, so that two weights of one shape don't start as the same random numbers."""
    return initializer.clone() if isinstance(initializer, keras.initializers.Initializer) else initializer


def _offsets(n: int) -> np.ndarray:
    """(query, key) -> index into a table of 2n-1 offsets."""
    return (np.arange(n)[None, :] - np.arange(n)[:, None] + n - 1).astype(np.int32)


def _integer_softmax(softmax: IntegerSoftmax, logits, dtype):
    """:class:`IntegerSoftmax` in int32, on logits that are numbers of its type."""
    stored = ops.cast(ops.round(logits * 2.0**softmax.logit.frac), 'int32')
    difference = ops.max(stored, axis=-1, keepdims=True) - stored
    # In range but for logits that are NaN: those shall reach the output as NaN, not crash here.
    difference = ops.clip(difference, 0, 2**softmax.logit.width - 1)
    exps = ops.take(ops.convert_to_tensor(softmax.exponentials, 'int32'), difference, axis=0)
    total = ops.sum(exps, axis=-1, keepdims=True)
    exponent = ops.full_like(total, softmax.exp_bits - 1)
    for bit in range(softmax.exp_bits, softmax.sum_bits):
        exponent = exponent + ops.cast(total >= 2**bit, 'int32')
    index = ops.right_shift(total, exponent - softmax.index_bits) - 2**softmax.index_bits
    index = ops.clip(index, 0, 2**softmax.index_bits - 1)
    reciprocal = ops.take(ops.convert_to_tensor(softmax.reciprocals, 'int32'), index, axis=0)
    shift = exponent + (softmax.reciprocal_bits - softmax.weight_bits)
    half = ops.left_shift(ops.ones_like(shift), shift - 1)
    weights = ops.minimum(ops.right_shift(exps * reciprocal + half, shift), 2**softmax.weight_bits - 1)
    return ops.cast(weights, dtype) * 2.0**-softmax.weight_bits
