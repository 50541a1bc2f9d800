"""Numbers in tables, as people read them."""

import pytest

from hls4ml_ext.report.tables import bits, short


@pytest.mark.parametrize(
    ('n', 'number', 'unit'),
    [
        (0, '0', '0 bit'),
        (424, '424', '424 bit'),
        (1424, '1,424', '1,424 bit'),
        (16384, '16.4 k', '16.4 kbit'),
        (1822184, '1.82 M', '1.82 Mbit'),
        (2.5e9, '2.50 G', '2.50 Gbit'),
    ],
)
def test_numbers(n, number, unit):
    assert short(n) == number
    assert bits(n) == unit
