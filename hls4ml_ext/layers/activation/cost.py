"""What the engine of a rounding consists of; see :mod:`hls4ml_ext.cost.structure`."""

from __future__ import annotations

from hls4ml_ext.cost.structure import Structure


def quantize(s: Structure, p: dict):
    """``ext_quantize``."""
    s.requantize(p['W_X'] + (not p['X_SIGNED']), p, count=p['LANES'], nonnegative=not p['X_SIGNED'])
    s.delay(1, 2, reset=True)
    s.result(p['LANES'] * p['W_Y'], p['DEPTH'], p.get('STYLE', 'auto'))


MODULES = {'ext_quantize': quantize}
