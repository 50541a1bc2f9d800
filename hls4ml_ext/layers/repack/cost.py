"""What the engine of a repack consists of; see :mod:`hls4ml_ext.cost.structure`."""

from __future__ import annotations

from hls4ml_ext.cost.structure import Structure, bits_for


def repack(s: Structure, p: dict):
    """``ext_repack``."""
    wide, narrow = max(p['FROM'], p['TO']), min(p['FROM'], p['TO'])
    s.counter(bits_for(wide // narrow))
    s.registers(wide - narrow)
    s.add('held bits', wide - 2 * narrow if p['FROM'] > p['TO'] else 0)  # zeros follow the last one
    s.add('mux bits', narrow if p['FROM'] > p['TO'] else 0)
    s.fifo(p['TO'], p['DEPTH'], p.get('STYLE', 'auto'))


MODULES = {'ext_repack': repack}
