"""What the engine of the residual add consists of; see :mod:`hls4ml_ext.cost.structure`."""

from __future__ import annotations

from hls4ml_ext.cost.structure import Structure


def add(s: Structure, p: dict):
    """``ext_add``."""
    lanes = p['LANES']
    unsigned = not (p['X0_SIGNED'] or p['X1_SIGNED'])
    # A LUT for each bit in which neither has a constant 0: above the top of an unsigned number the carry goes on alone.
    tops = [p['W_A'] if p[f'X{i}_SIGNED'] else p[f'W_X{i}'] + p[f'X{i}_SHIFT'] for i in (0, 1)]
    s.add('adder bits', lanes * max(min(tops) - max(p['X0_SHIFT'], p['X1_SHIFT']), 0))
    s.registers(lanes * p['W_A'])
    s.requantize(p['W_A'], p, count=lanes, chained=1, nonnegative=unsigned)
    s.delay(1, 3, reset=True)
    s.result(lanes * p['W_Y'], p['DEPTH'], p.get('STYLE', 'auto'))


MODULES = {'ext_add': add}
