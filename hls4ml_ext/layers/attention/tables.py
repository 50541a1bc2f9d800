"""Softmax on integers: the tables, widths and reference arithmetic that the Keras layer and the C++ kernel share.

For a row of logits :math:`l_j` (stored integers), with :math:`d_j = \\max(l) - l_j`:

1. :math:`e_j = \\mathrm{exp}[d_j]`, a table of :math:`\\exp(-d\\,2^{-frac})` scaled to ``exp_bits`` bits;
2. :math:`s = \\sum_j e_j`, exact; :math:`p` is the position of its leading one;
3. :math:`r = \\mathrm{reciprocal}[i]`, :math:`i` being the ``index_bits`` bits of :math:`s` behind its leading one: a table
   of :math:`1/m` in the middle of each interval of the mantissa :math:`m = s/2^p`, scaled to ``reciprocal_bits`` bits;
4. :math:`w_j = \\min(\\lfloor e_j r\\, 2^{-(p + reciprocal\\_bits - weight\\_bits)} + 1/2 \\rfloor, 2^{weight\\_bits} - 1)`.

Nothing but these integers is computed anywhere: ``exp`` and the division are evaluated once, here, in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hls4ml_ext.errors import ExtError
from hls4ml_ext.fixed import FixedType

MAX_LOGIT_BITS = 12
"""Widest logits: the table of exponentials has an entry for each difference."""

INTEGER_BITS = 31
"""Magnitude bits of the integers (int32) in which the Keras layer computes."""


def ceil_log2(n: int) -> int:
    """The smallest `k` with ``2**k >= n``."""
    return (n - 1).bit_length()


@dataclass(frozen=True)
class IntegerSoftmax:
    """The arithmetic of softmax over rows of `length` logits.

    Args:
        logit: Type of the logits, at most 12 bits.
        weight_bits: Bits of the results, which are unsigned with all bits behind the binary point.
        length: Length of a row.

    Raises:
        ExtError: if int32 can't hold the intermediate integers, or a table would be too large.

    Example::

        softmax = IntegerSoftmax(FixedType(8, 4), weight_bits=8, length=64)
        weights = softmax(stored_logits) / 2**8
    """

    logit: FixedType
    weight_bits: int
    length: int

    def __post_init__(self):
        if self.logit.width > MAX_LOGIT_BITS:
            raise ExtError(f'logits of {self.logit.width} bits; the table of exponentials allows at most {MAX_LOGIT_BITS}')
        if not -30 <= self.logit.frac <= 30:
            raise ExtError(f'logits with {self.logit.frac} fractional bits; softmax wants -30 to 30')
        if self.weight_bits < 1:
            raise ExtError(f'attention weights of {self.weight_bits} bits; softmax wants at least 1')
        if self.length < 1:
            raise ExtError(f'softmax over {self.length} elements')
        if self.product_bits > INTEGER_BITS or self.sum_bits > INTEGER_BITS:
            raise ExtError(
                f'softmax over {self.length} elements to weights of {self.weight_bits} bits needs integers of '
                f'{max(self.product_bits, self.sum_bits)} bits; int32 has {INTEGER_BITS}'
            )

    # ------------------------------------------------------------------ widths

    @property
    def exp_bits(self) -> int:
        """Bits of an exponential. They grow with the length, lest many small exponentials round to nothing."""
        return self.weight_bits + max(4, ceil_log2(self.length) - 2)

    @property
    def sum_bits(self) -> int:
        """Bits of the sum of a row."""
        return (self.length * (2**self.exp_bits - 1)).bit_length()

    @property
    def index_bits(self) -> int:
        """Bits of the sum that address the table of reciprocals. The largest exponential has more, so the sum has them."""
        return self.weight_bits + 1

    @property
    def reciprocal_bits(self) -> int:
        return self.weight_bits + 4

    @property
    def product_bits(self) -> int:
        """Bits of exponential times reciprocal, and of the half that rounds it."""
        largest_shift = self.reciprocal_bits + self.sum_bits - 1 - self.weight_bits
        return max(self.exp_bits + self.reciprocal_bits, largest_shift) + 1

    # ------------------------------------------------------------------ tables

    @cached_property
    def exponentials(self) -> np.ndarray:
        """int32, one entry for each difference from the maximum."""
        difference = np.arange(2**self.logit.width) * 2.0**-self.logit.frac
        return np.rint(np.exp(-difference) * (2**self.exp_bits - 1)).astype(np.int32)

    @cached_property
    def reciprocals(self) -> np.ndarray:
        """int32, one entry for each mantissa of the sum."""
        mantissa = 1 + (np.arange(2**self.index_bits) + 0.5) / 2**self.index_bits
        return np.rint(2**self.reciprocal_bits / mantissa).astype(np.int32)

    # ------------------------------------------------------------------ results

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """The attention weights of rows of logits, as stored integers: the reference of the Keras layer and of the kernel.

        Args:
            logits: Integers, the stored integers of type `logit`, (..., length).

        Returns:
            int64, same shape, ``0 <= w < 2**weight_bits``.
        """
        logits = np.asarray(logits, np.int64)
        exps = self.exponentials[logits.max(-1, keepdims=True) - logits].astype(np.int64)
        total = exps.sum(-1, keepdims=True)
        exponent = np.frexp(total)[1].astype(np.int64) - 1
        reciprocal = self.reciprocals[(total >> (exponent - self.index_bits)) - 2**self.index_bits]
        shift = exponent + (self.reciprocal_bits - self.weight_bits)
        return np.minimum((exps * reciprocal + (1 << (shift - 1))) >> shift, 2**self.weight_bits - 1)

    @property
    def largest_sum(self) -> int:
        """A bound of the sum of a row of weights, as a stored integer.

        A mantissa times its reciprocal is at most 1 + 2^-(index_bits + 1) + 2^-reciprocal_bits, and rounding adds at most a
        half to each weight.
        """
        one = 2**self.weight_bits
        excess = one / 2 ** (self.index_bits + 1) + one / 2**self.reciprocal_bits
        return min(int(np.ceil(one + excess + self.length / 2)), self.length * (one - 1))

    @property
    def error_bound(self) -> float:
        """A bound of the difference from the true softmax of the same logits.

        In units of the last bit of a weight: 1/2 for the rounding (or 1 where a weight of 1 saturates), 1/4 + 1/16 for the
        reciprocal, and what rounding each exponential can do to the sum.
        """
        unit = 2.0**-self.weight_bits
        relative = (self.length + 1) * 0.5 / (2**self.exp_bits - 1)
        return unit * (1 + 1 / 4 + 1 / 16) + relative
