"""What the engine of pooling layers consists of; see :mod:`hls4ml_ext.cost.structure`."""

from __future__ import annotations

from hls4ml_ext.cost.structure import Structure, bits_for


def pool(s: Structure, p: dict):
    """``ext_pool``."""
    lanes, w_s, scale = p['LANES'], p['W_S'], int(p['SCALE'])
    bits = lanes * w_s
    for n in (p['TAPS'], p['GROUPS']):
        s.counter(bits_for(n))
    s.shift(bits, p['GROUPS'], p.get('SUM_STYLE', 'auto'))
    if p['GROUPS'] > 1:  # with one group both are the same
        s.registers(bits)
    if p['OP'] == 'max':
        s.add('compared bits', bits)
        s.add('mux bits', bits if p['GROUPS'] > 1 else 0)  # one register keeps its number by itself
    else:
        s.add('gated sum bits', bits)
    w_p = w_s
    if scale > 1:
        w_w = bits_for(scale + 1)
        w_p += w_w + 1
        if p['IMPL'] == 'dsp':
            s.multiply(w_s, True, w_w, False, 'dsp', count=lanes)
        else:
            s.registers(lanes * (w_p - 1))
            s.add('constant product bits', lanes * w_p * max(bin(scale).count('1') - 1, 0))
    s.requantize(w_p, p, count=lanes)
    s.delay(1, 3 if scale == 1 else 4, reset=True)
    s.result(lanes * p['W_Y'], p['DEPTH'], p.get('STYLE', 'auto'))


MODULES = {'ext_pool': pool}
