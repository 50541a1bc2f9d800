"""Exact fixed-point arithmetic on types: which numbers a tensor can hold, and which type holds their sums and products.

Everything here works on *stored integers*: a number is ``stored * 2**-frac``. A :class:`FixedType` is what a quantizer
means; a :class:`Range` is what a computation can produce.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

import numpy as np
from hls4ml.model.types import FixedPrecisionType

from hls4ml_ext.errors import ExtError

MAX_FRACTION = 60
"""Fractional bits beyond which a number isn't taken for fixed-point any more."""

ACCUMULATOR_BITS = 63
"""Widest accumulator of the C++ kernels."""

MANTISSA_BITS = {'float16': 11, 'bfloat16': 8, 'float32': 24, 'float64': 53}
"""Bits of the integers that a floating-point type holds exactly, sign not counted."""


@dataclass(frozen=True)
class FixedType:
    """A fixed-point type, as ``ap_fixed<width, integer, rounding, saturation>`` (``ap_ufixed`` if not signed).

    Args:
        width: Total number of bits.
        integer: Bits left of the binary point, sign included; may be negative or exceed ``width``.
        signed: Two's complement, or unsigned.
        rounding: Name of the ``ap_fixed`` rounding mode: 'TRN' (down), 'RND' (half up), 'RND_CONV' (half to even).
        saturation: Name of the ``ap_fixed`` overflow mode: 'WRAP', 'SAT', 'SAT_SYM'.
    """

    width: int
    integer: int
    signed: bool = True
    rounding: str = 'TRN'
    saturation: str = 'WRAP'

    @property
    def frac(self) -> int:
        """Bits right of the binary point."""
        return self.width - self.integer

    @property
    def hi(self) -> int:
        """Largest stored integer."""
        return 2 ** (self.width - self.signed) - 1

    @property
    def lo(self) -> int:
        """Smallest stored integer."""
        if not self.signed:
            return 0
        return -self.hi if self.saturation == 'SAT_SYM' else -self.hi - 1

    @property
    def range(self) -> Range:
        return Range(self.lo, self.hi, self.frac)

    def to_hls4ml(self) -> FixedPrecisionType:
        return FixedPrecisionType(self.width, self.integer, self.signed, self.rounding, self.saturation)

    @classmethod
    def from_hls4ml(cls, precision) -> FixedType:
        """The type behind an hls4ml precision (fixed-point or integer)."""
        integer = getattr(precision, 'integer', precision.width)
        return cls(
            int(precision.width),
            int(integer),
            bool(precision.signed),
            str(getattr(precision, 'rounding_mode', None) or 'TRN').split('.')[-1],
            str(getattr(precision, 'saturation_mode', None) or 'WRAP').split('.')[-1],
        )

    def quantize(self, x: np.ndarray) -> np.ndarray:
        """Rounds numbers to this type in NumPy, in float64: the reference of the C++ ``requantize``."""
        scaled = np.asarray(x, np.float64) * 2.0**self.frac
        stored = {'TRN': np.floor, 'RND': lambda v: np.floor(v + 0.5), 'RND_CONV': np.rint}[self.rounding](scaled)
        if self.saturation != 'WRAP':
            stored = np.clip(stored, self.lo, self.hi)
        return stored * 2.0**-self.frac

    def __str__(self) -> str:
        return f'ap_{"" if self.signed else "u"}fixed<{self.width},{self.integer},AP_{self.rounding},AP_{self.saturation}>'


@dataclass(frozen=True)
class Range:
    """The numbers ``stored * 2**-frac`` with ``lo <= stored <= hi``, all of them Python integers (no overflow)."""

    lo: int
    hi: int
    frac: int

    def __add__(self, other: Range) -> Range:
        frac = max(self.frac, other.frac)
        a, b = self.aligned(frac), other.aligned(frac)
        return Range(a.lo + b.lo, a.hi + b.hi, frac)

    def __mul__(self, other: Range) -> Range:
        corners = [a * b for a in (self.lo, self.hi) for b in (other.lo, other.hi)]
        return Range(min(corners), max(corners), self.frac + other.frac)

    def __or__(self, other: Range) -> Range:
        """The smallest range that holds both."""
        frac = max(self.frac, other.frac)
        a, b = self.aligned(frac), other.aligned(frac)
        return Range(min(a.lo, b.lo), max(a.hi, b.hi), frac)

    def times(self, n: int) -> Range:
        """The sum of ``n`` such numbers."""
        return Range(min(self.lo * n, 0), max(self.hi * n, 0), self.frac)

    def aligned(self, frac: int) -> Range:
        """The same numbers with at least as many fractional bits."""
        return Range(self.lo << (frac - self.frac), self.hi << (frac - self.frac), frac)

    @property
    def magnitude_bits(self) -> int:
        """Bits of the largest magnitude: a float with that many mantissa bits holds every number of the range."""
        # A power of two needs no more bits than the number before it: a float of 24 bits holds -2**24 as well.
        return max(abs(self.lo) - 1, abs(self.hi) - 1, 0).bit_length()

    @property
    def signed_bits(self) -> int:
        """Bits of a two's complement integer that holds every stored integer of the range."""
        return max(max(self.hi, 0).bit_length(), (-self.lo - 1).bit_length() if self.lo < 0 else 0) + 1

    def type(self) -> FixedType:
        """The smallest type that holds the range without rounding or overflow."""
        signed = self.lo < 0
        width = max(self.signed_bits - (not signed), 1)
        return FixedType(width, width - self.frac, signed)


def fraction_bits(x: np.ndarray) -> int:
    """The fewest fractional bits (negative ones too) that represent each number exactly.

    Raises:
        ExtError: if a number isn't finite, or isn't a fixed-point number of at most ``MAX_FRACTION`` fractional bits.
    """
    x = np.abs(np.asarray(x, np.float64)).ravel()
    if not np.all(np.isfinite(x)):
        raise ExtError(f'{np.sum(~np.isfinite(x))} of {x.size} numbers are NaN or infinite')
    x = x[x > 0]
    if x.size == 0:
        return 0
    mantissa, exponent = np.frexp(x)
    integers = (mantissa * 2.0**53).astype(np.int64)
    trailing = np.log2((integers & -integers).astype(np.float64)).astype(int)
    frac = int(np.max(53 - trailing - exponent))
    if frac > MAX_FRACTION:
        raise ExtError(f'{float(x[np.argmax(53 - trailing - exponent)])!r} is not a fixed-point number')
    return frac


def range_of(x: np.ndarray) -> Range:
    """The range that the given numbers span, with the fewest fractional bits. Raises as :func:`fraction_bits`."""
    x = np.asarray(x, np.float64)
    frac = fraction_bits(x)
    stored = x * 2.0**frac
    return Range(int(stored.min()), int(stored.max()), frac)


def stored_integers(x: np.ndarray, frac: int) -> np.ndarray:
    """``x * 2**frac`` as int64; ``frac`` must be at least :func:`fraction_bits`."""
    return np.rint(np.asarray(x, np.float64) * 2.0**frac).astype(np.int64)


def power_of_two(x: float) -> int | None:
    """The exponent ``e`` with ``x == 2**e``, or None."""
    if x <= 0:
        return None
    e = round(log2(x))
    return e if 2.0**e == x else None


def significant_bits(x: float, bits: int) -> float:
    """``x`` rounded to that many significant bits (half to even)."""
    if x == 0:
        return 0.0
    mantissa, exponent = np.frexp(x)
    return float(np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits))
