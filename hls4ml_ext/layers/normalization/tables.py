"""The integer arithmetic of layer normalization: what the Keras layer and the kernel share.

With stored integers x_c of a pixel of C channels (value ``x_c * 2**-F``), layer normalization [1] is

    y_c = (x_c - mean) / sqrt(variance + epsilon) = d_c / sqrt(v),
    d_c = C x_c - sum(x),    v = C sum(x^2) - sum(x)^2 + C^2 epsilon 4^F

where d_c and v are integers (the last term is rounded to one): no bit is lost before the square root. v is shifted left by
an even number of bits, 2s, until it lies in [2^28, 2^30); its leading bits address a table of 1/sqrt, and s shifts the
table's word back. y_c is the product of d_c and that word, rounded once, half to even. All of it fits 32-bit integers as
long as ``C * 2**width <= 2**16`` (256 channels of 8 bits, 64 of 10 bits) and C is at most 1000.

[1] Ba, Kiros, Hinton, "Layer Normalization" (arXiv 1607.06450), section 3, equation 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import isqrt

import numpy as np

from hls4ml_ext.errors import ConversionError
from hls4ml_ext.fixed import FixedType, Range

INDEX_BITS = 8
"""Bits after the leading one that address the table, as a number from 1 to 4: 3 * 2^8 words."""

TABLE_FRAC = 12
"""Fractional bits, and bits, of a word of the table: 1/sqrt of a number from 1 to 4."""

NORMAL_BITS = 28
"""The normalised v is at least 2^28, and less than 2^30."""

SCALE_FRAC = TABLE_FRAC + NORMAL_BITS // 2
"""Fractional bits of 1/sqrt(v) as an integer."""


@lru_cache(maxsize=1)
def rsqrt_table() -> np.ndarray:
    """1/sqrt(m) for m from 1 to 4 in steps of 2^-INDEX_BITS, each at the middle of its step, as int32 of TABLE_FRAC bits."""
    middle = (np.arange(2**INDEX_BITS, 4 * 2**INDEX_BITS) + 0.5) / 2**INDEX_BITS
    table = np.rint(2.0**TABLE_FRAC / np.sqrt(middle)).astype(np.int32)
    table.setflags(write=False)
    return table


def rsqrt_error() -> float:
    """The largest relative error of the table: at an end of one of its steps."""
    edges = np.arange(2**INDEX_BITS, 4 * 2**INDEX_BITS + 1) / 2**INDEX_BITS
    words = rsqrt_table() / 2.0**TABLE_FRAC
    return float(max(np.abs(words * np.sqrt(edges[:-1]) - 1).max(), np.abs(words * np.sqrt(edges[1:]) - 1).max()))


@dataclass(frozen=True)
class LayerNormArithmetic:
    """The constants and the bits of one layer normalization.

    Args:
        name: Name of the layer, for messages.
        source: Type of the input.
        n_chan: Number of channels.
        epsilon: Added to the variance.
        normal: Type of the normalized values, before gamma and beta.

    Raises:
        ConversionError: if the arithmetic doesn't fit 32-bit integers.
    """

    name: str
    source: FixedType
    n_chan: int
    epsilon: float
    normal: FixedType

    def __post_init__(self):
        if not self.normal.signed or not 1 <= SCALE_FRAC - self.normal.frac <= 30:
            raise ConversionError(
                self.name,
                f'norm_quantizer rounds to {self.normal}',
                f"Use a signed type of -4 to {SCALE_FRAC - 1} fractional bits, such as 'quantized_bits(8,3,alpha=1)'",
            )
        products = self.products.hi + (1 << (SCALE_FRAC - self.normal.frac - 1))  # as they are rounded
        spread = self.variances.hi - self.epsilon_stored
        largest = 2 ** (NORMAL_BITS + 2) - 1
        if spread > largest or self.squares.hi * self.n_chan + self.epsilon_stored >= 2**31:
            raise ConversionError(
                self.name,
                f'the statistics of {self.n_chan} channels of {self.source.width} bits need more than 32-bit integers',
                f'Use an input_quantizer of fewer bits: channels * 2**bits may be at most 2**16, here '
                f'{max(16 - (self.n_chan - 1).bit_length(), 1)} bits',
            )
        if products >= 2**31:
            raise ConversionError(
                self.name,
                f'the normalized values of {self.n_chan} channels need more than 32-bit integers',
                'Use at most 1000 channels, and a norm_quantizer of at least 1 fractional bit',
            )
        if self.variances.hi > largest:
            raise ConversionError(
                self.name,
                f'epsilon is {self.epsilon}, too large beside the variance of {self.n_chan} channels of {self.source}',
                f'Use an epsilon of at most {(largest - spread) / self.n_chan**2 / 4.0**self.source.frac:.2g}, or an '
                f'input_quantizer of more integer bits',
            )

    @property
    def offset(self) -> int:
        """Subtracted from the stored integers, which changes neither d nor v: centres an unsigned type."""
        return 0 if self.source.signed else 1 << (self.source.width - 1)

    @property
    def epsilon_stored(self) -> int:
        """C^2 epsilon 4^F, at least 1: v is never 0."""
        return max(round(self.n_chan**2 * self.epsilon * 4.0**self.source.frac), 1)

    # Worst cases of the stored integers.

    @property
    def inputs(self) -> Range:
        return Range(self.source.lo - self.offset, self.source.hi - self.offset, 0)

    @property
    def sums(self) -> Range:
        return self.inputs.times(self.n_chan)

    @property
    def squares(self) -> Range:
        """Of sum(x^2)."""
        return Range(0, max(self.inputs.lo**2, self.inputs.hi**2) * self.n_chan, 0)

    @property
    def variances(self) -> Range:
        """Of v: the variance is at most a quarter of the squared range (Popoviciu)."""
        spread = self.inputs.hi - self.inputs.lo
        return Range(0, (self.n_chan * spread) ** 2 // 4 + self.epsilon_stored, 0)

    @property
    def deviations(self) -> Range:
        """Of d and of C x, from which it is computed."""
        most = (self.n_chan - 1) * (self.inputs.hi - self.inputs.lo)
        multiples = Range(self.inputs.lo * self.n_chan, self.inputs.hi * self.n_chan, 0)
        return Range(-most, most, 0) | multiples

    @property
    def products(self) -> Range:
        """Of d/sqrt(v), which is at most sqrt(C - 1), times 2^SCALE_FRAC and the error of the table."""
        most = isqrt((self.n_chan - 1) << (2 * SCALE_FRAC)) + 1
        most += int(most * rsqrt_error()) + 1
        return Range(-most, most, SCALE_FRAC)

    @cached_property
    def widths(self) -> dict[str, int]:
        """Bits of the kernel's integers, sign included."""
        # C*sum(x^2), sum(x)^2 and their difference
        variance = max(self.squares.hi * self.n_chan, self.sums.lo**2, self.sums.hi**2) + self.epsilon_stored
        return {
            'x_width': self.inputs.signed_bits,
            'sum_width': self.sums.signed_bits,
            'square_width': self.squares.signed_bits,
            'variance_width': max(Range(-variance, variance, 0).signed_bits, NORMAL_BITS + 3),
            'deviation_width': self.deviations.signed_bits,
            'product_width': max(self.products.signed_bits, SCALE_FRAC + 2),
        }

    def normalize(self, x):
        """The normalized pixels of stored integers, in int32 and backend-neutral: the specification of the kernel.

        Args:
            x: (..., C) int32 tensor of stored integers of type `source`.

        Returns:
            (..., C) int32 stored integers of type `normal`.
        """
        from keras import ops

        x = x - self.offset
        total = ops.sum(x, axis=-1, keepdims=True)
        v = self.n_chan * ops.sum(x * x, axis=-1, keepdims=True) - total * total + self.epsilon_stored
        shift = sum(ops.cast(v < 4**k, 'int32') for k in range(1, NORMAL_BITS // 2 + 1))
        index = ops.right_shift(ops.left_shift(v, 2 * shift), NORMAL_BITS - INDEX_BITS) - 2**INDEX_BITS
        scale = ops.left_shift(ops.take(ops.convert_to_tensor(rsqrt_table(), 'int32'), index), shift)
        product = (self.n_chan * x - total) * scale
        right = SCALE_FRAC - self.normal.frac
        odd = ops.bitwise_and(ops.right_shift(product, right), 1)
        y = ops.right_shift(product + (2 ** (right - 1) - 1) + odd, right)  # ties to even
        return ops.clip(y, self.normal.lo, self.normal.hi)
