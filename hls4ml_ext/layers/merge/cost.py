"""What the engine of the residual add consists of; see :mod:`hls4ml_ext.cost.structure`."""

from __future__ import annotations

from hls4ml_ext.cost.structure import Structure


def add(s: Structure, p: dict):
    """``ext_add``."""
    lanes = p['LANES']
    unsigned = not (p['X0_SIGNED'] or p['X1_SIGNED'])
    s.add('adder bits', lanes * (p['W_A'] - max(p['X0_SHIFT'], p['X1_SHIFT']) - unsigned))  # bits that both have
    s.registers(lanes * p['W_A'])
    s.requantize(p['W_A'], p, count=lanes, chained=1, nonnegative=unsigned)
    s.delay(1, 3, reset=True)
    s.result(lanes * p['W_Y'], p['DEPTH'], p.get('STYLE', 'auto'))


MODULES = {'ext_add': add}
