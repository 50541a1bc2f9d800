"""Exact types: the arithmetic that all widths come from."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hls4ml_ext.errors import ExtError
from hls4ml_ext.fixed import (
    MAX_FRACTION,
    FixedType,
    Range,
    fraction_bits,
    power_of_two,
    range_of,
    significant_bits,
    stored_integers,
)

ranges = st.builds(
    lambda a, b, frac: Range(min(a, b), max(a, b), frac), st.integers(-300, 300), st.integers(-300, 300), st.integers(-3, 5)
)


def numbers(r: Range):
    return {r.lo * 2.0**-r.frac, r.hi * 2.0**-r.frac}


def holds(r: Range, x: float) -> bool:
    return r.lo <= x * 2.0**r.frac <= r.hi and (x * 2.0**r.frac).is_integer()


@given(ranges, ranges)
def test_ranges_hold_sums_products_and_unions(a, b):
    for x, y in itertools.product(numbers(a), numbers(b)):
        assert holds(a + b, x + y)
        assert holds(a * b, x * y)
        assert holds(a | b, x)
        assert holds(a | b, y)
    for combined, results in (
        (a + b, [x + y for x in numbers(a) for y in numbers(b)]),
        (a * b, [x * y for x in numbers(a) for y in numbers(b)]),
    ):
        assert combined.lo * 2.0**-combined.frac == min(results)  # and no more than that
        assert combined.hi * 2.0**-combined.frac == max(results)


@given(ranges, st.integers(1, 9))
def test_ranges_hold_repeated_sums_and_every_partial_one(a, n):
    for count in range(n + 1):
        for x in numbers(a):
            assert holds(a.times(n), x * count)


@given(ranges)
def test_the_type_of_a_range_is_the_smallest_that_holds_it(r):
    t = r.type()
    assert t.lo <= r.lo
    assert r.hi <= t.hi
    assert t.frac == r.frac
    assert t.signed == (r.lo < 0)
    if t.width > 1:
        smaller = FixedType(t.width - 1, t.width - 1 - t.frac, t.signed)
        assert not (smaller.lo <= r.lo and r.hi <= smaller.hi)


@given(ranges)
def test_bits_of_a_range(r):
    assert -(2 ** (r.signed_bits - 1)) <= r.lo
    assert r.hi < 2 ** (r.signed_bits - 1)
    largest = max(abs(r.lo), abs(r.hi))
    assert largest <= 2**r.magnitude_bits
    assert r.magnitude_bits == 0 or largest > 2 ** (r.magnitude_bits - 1)


def test_float32_holds_what_magnitude_bits_says():
    assert Range(-(2**24), 2**24, 0).magnitude_bits == 24
    assert float(np.float32(2**24)) == 2**24
    assert Range(0, 2**24 + 1, 0).magnitude_bits == 25
    assert float(np.float32(2**24 + 1)) != 2**24 + 1


def reference_quantize(x: float, t: FixedType) -> float:
    """ap_fixed in exact arithmetic."""
    from fractions import Fraction
    from math import floor

    v = Fraction(x) * Fraction(2) ** t.frac
    down = floor(v)
    rest = v - down
    if t.rounding == 'TRN':
        stored = down
    elif t.rounding == 'RND':
        stored = down + (rest >= Fraction(1, 2))
    else:
        stored = down + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and down % 2 == 1))
    if t.saturation != 'WRAP':
        stored = min(max(stored, t.lo), t.hi)
    return float(Fraction(stored) / Fraction(2) ** t.frac)


@given(
    st.integers(-(2**14), 2**14),
    st.integers(1, 8),
    st.integers(-2, 8),
    st.booleans(),
    st.sampled_from(['TRN', 'RND', 'RND_CONV']),
    st.sampled_from(['SAT', 'SAT_SYM']),
)
def test_quantize_is_ap_fixed(stored, width, integer, signed, rounding, saturation):
    t = FixedType(width + signed, integer, signed, rounding, saturation)
    x = stored / 16
    assert t.quantize(np.array([x]))[0] == reference_quantize(x, t)


def test_symmetric_saturation():
    assert FixedType(4, 1, True, 'RND_CONV', 'SAT_SYM').lo == -7
    assert FixedType(4, 1, True, 'RND_CONV', 'SAT').lo == -8
    assert FixedType(4, 1, False, 'RND_CONV', 'SAT').range == Range(0, 15, 3)


@pytest.mark.parametrize(
    't', [FixedType(8, 1), FixedType(3, 5, False, 'RND', 'SAT'), FixedType(4, -2, True, 'RND_CONV', 'SAT_SYM')]
)
def test_to_hls4ml_and_back(t):
    assert FixedType.from_hls4ml(t.to_hls4ml()) == t


@pytest.mark.parametrize(
    ('x', 'bits'),
    [([0], 0), ([], 0), ([0.5], 1), ([-0.75, 3], 2), ([8, 24], -3), ([2.0**-60], 60), ([2.0**40], -40), ([2**53 - 1], 0)],
)
def test_fraction_bits(x, bits):
    assert fraction_bits(np.array(x)) == bits


@given(st.lists(st.integers(-1000, 1000), min_size=1), st.integers(-20, 40))
def test_stored_integers(stored, frac):
    x = np.array(stored) * 2.0**-frac
    assert fraction_bits(x) <= max(frac, 0) or not any(stored) or fraction_bits(x) <= frac
    assert (stored_integers(x, frac) == stored).all()
    r = range_of(x)
    assert r.lo * 2.0**-r.frac == x.min()
    assert r.hi * 2.0**-r.frac == x.max()


@pytest.mark.parametrize('x', [[np.nan], [1, np.inf], [2.0 ** -(MAX_FRACTION + 1)], [1 / 3 * 2.0**-10]])
def test_numbers_without_a_fixed_point(x):
    with pytest.raises(ExtError):
        fraction_bits(np.array(x))


@pytest.mark.parametrize(('x', 'exponent'), [(1, 0), (0.125, -3), (4096, 12), (3, None), (0, None), (-2, None), (0.1, None)])
def test_power_of_two(x, exponent):
    assert power_of_two(x) == exponent


@pytest.mark.parametrize(
    ('x', 'bits', 'rounded'), [(0, 4, 0), (1 / 3, 4, 0.34375), (5, 2, 4), (7, 2, 8), (-1 / 3, 4, -0.34375), (6, 3, 6)]
)
def test_significant_bits(x, bits, rounded):
    assert significant_bits(x, bits) == rounded
