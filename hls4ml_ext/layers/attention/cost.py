"""What the engines of multi-head self-attention consist of; see :mod:`hls4ml_ext.cost.structure`."""

from __future__ import annotations

from hls4ml_ext.cost.structure import Structure, bits_for, index_bits


def scores(s: Structure, p: dict):
    """``ext_attention_scores``."""
    n, groups, heads, dims, slices = p['HEIGHT'] * p['WIDTH'], p['GROUPS'], p['HEADS'], p['DIMS'], p['SLICES']
    lanes, words = heads * dims, n * groups * slices
    address, w_x, w_k = index_bits(words), p['W_X'], p['W_K']
    additive, relative = (p.get('POSITION', 'none') == kind for kind in ('additive', 'relative'))
    late = 3 if additive else 0
    s.add('attention scores')
    s.counter(5 * address, 'attention address bits')
    s.counter(2 * bits_for(slices) + 2 * bits_for(groups) + bits_for(n) + 2, 'attention index bits')
    s.registers(1)
    s.fifo(lanes * w_x, p['VALUE_DEPTH'])
    s.delay(2, late, reset=True)
    s.delay(address, late)
    s.registers(late * lanes * w_x)  # one delay line with that of the positions, which is read in its middle
    s.delay(2 * address, late)
    s.ram(lanes * w_x, words, p['QUERY_STYLE'])
    s.ram(lanes * p['W_STORED'], words, p['KEY_STYLE'])
    numbers = lanes if additive else dims
    if additive or relative:
        for table, file in (('ROW', 'ROWS'), ('COL', 'COLS')):
            s.rom(numbers * p[f'W_{table}'], p[f'{table}_WORDS'], p[f'{table}_STYLE'], file)
            s.counter(2 * index_bits(p[f'{table}_WORDS']), 'attention index bits')
        s.add('adder bits', numbers * max(p['W_ROW'] + p['ROW_SHIFT'], p['W_COL'] + p['COL_SHIFT']))
        s.add('adder bits', lanes * w_k)
        s.registers(lanes * w_k)
    if relative:
        s.counter(bits_for(p['WIDTH']), 'attention index bits')
        behind = 2 if p['QUERY_STYLE'] == 'distributed' else 0  # registers behind the queries, one delay line with that
        s.registers(-behind * lanes * w_x)
        s.delay(lanes * w_x, 1 + behind)
    t_sum = late + 2 + relative + 1 + (bits_for(dims) + 1) // 2
    s.delay(1, t_sum, reset=True)
    s.delay(1, t_sum)
    s.delay(1, t_sum + 3, reset=True)
    factors = {'W_X': w_k, 'X_SIGNED': True, 'W_W': w_x, 'W_SIGNED': p['X_SIGNED'], 'IMPL': p['IMPL']}
    s.part('ext_dot', {'N': dims, **factors, 'TRIPLE': False}, heads)
    result = {name: p[name] for name in ('W_A', 'W_Y', 'Y_SIGNED', 'SHIFT', 'ROUNDING', 'SATURATION')}
    s.part('ext_accumulate', {'PE': heads, 'W_B': 1, 'B_SIGNED': False, **result})
    s.result(heads * p['W_Y'], p['DEPTH'])


def context(s: Structure, p: dict):
    """``ext_attention_context``."""
    n, groups, heads, dims, slices = p['N'], p['GROUPS'], p['HEADS'], p['DIMS'], p['SLICES']
    lanes, words = heads * dims, n * groups * slices
    s.add('attention context')
    s.counter(3 * index_bits(words), 'attention address bits')
    s.counter(2 * bits_for(slices) + 2 * bits_for(groups) + 2 * bits_for(n), 'attention index bits')
    s.registers(1)
    s.ram(lanes * p['W_X'], words, p['VALUE_STYLE'])
    if slices > 1:
        s.registers(heads * p['W_W'])
        s.add('mux bits', heads * p['W_W'])
    s.delay(heads * p['W_W'], 2)
    s.delay(1, 3, reset=True)
    s.delay(1, 3)
    s.delay(1, 6, reset=True)
    s.shift(lanes * p['W_A'], slices, p['SUM_STYLE'])
    s.registers(lanes * p['W_A'])
    s.add('gated sum bits', lanes * p['W_A'])
    s.multiply(p['W_X'], p['X_SIGNED'], p['W_W'], p['W_SIGNED'], p['IMPL'], count=lanes)
    s.requantize(p['W_A'], p, count=lanes, chained=1)
    s.result(lanes * p['W_Y'], p['DEPTH'])


def softmax(s: Structure, p: dict):
    """``ext_softmax``."""
    w_e = max(bits_for(p['W_SUM'] - p['W_EXP'] + 1), 1)
    s.part('ext_softmax_max', {name: p[name] for name in ('LANES', 'LENGTH', 'W_X', 'LOGIT_STYLE')})
    exp = (
        'LANES',
        'LENGTH',
        'W_X',
        'W_EXP',
        'W_SUM',
        'W_INDEX',
        'W_RECIPROCAL',
        'TERM_STYLE',
        'EXP_STYLE',
        'RECIPROCAL_STYLE',
    )
    s.part('ext_softmax_exp', {name: p[name] for name in exp})
    normalise = ('LANES', 'LENGTH', 'W_EXP', 'W_RECIPROCAL', 'W_PRODUCT', 'W_Y', 'IMPL')
    s.part('ext_softmax_normalise', {**{name: p[name] for name in normalise}, 'W_E': w_e})
    s.files |= {'EXPS': (1 << p['W_X'], p['W_EXP']), 'RECIPROCALS': (1 << p['W_INDEX'], p['W_RECIPROCAL'])}


def softmax_max(s: Structure, p: dict):
    """``ext_softmax_max``."""
    bits = p['LANES'] * p['W_X']
    s.counter(bits_for(p['LENGTH']))
    s.registers(bits)
    s.add('compared bits', bits)
    s.add('mux bits', bits)
    s.fifo(bits, p['LENGTH'] + 4, p['LOGIT_STYLE'])
    s.fifo(bits, 2 + (p['LENGTH'] + 4) // p['LENGTH'])


def softmax_exp(s: Structure, p: dict):
    """``ext_softmax_exp``."""
    lanes, w_sum, w_exp, w_r = p['LANES'], p['W_SUM'], p['W_EXP'], p['W_RECIPROCAL']
    w_e = max(bits_for(w_sum - w_exp + 1), 1)
    s.counter(bits_for(p['LENGTH']))
    s.delay(1, 3, reset=True)
    s.delay(1, 3)
    s.delay(1, 8, reset=True)
    for _ in range(lanes):
        s.rom(w_exp, 1 << p['W_X'], p['EXP_STYLE'], 'EXPS')
        s.rom(w_r, 1 << p['W_INDEX'], p['RECIPROCAL_STYLE'], 'RECIPROCALS')
        s.delay(w_e, 3)
    s.registers(lanes * (p['W_X'] + 2 * w_sum + w_e + p['W_INDEX']))
    s.add('adder bits', lanes * p['W_X'])
    s.add('gated sum bits', lanes * w_sum)
    s.add('shifter bits', lanes * p['W_INDEX'] * w_e)
    s.add('leading one bits', lanes * (w_sum - w_exp))
    s.result(lanes * w_exp, p['LENGTH'] + 16, p['TERM_STYLE'])
    s.result(lanes * (w_e + w_r), 3 + (p['LENGTH'] + 12) // p['LENGTH'])


def softmax_normalise(s: Structure, p: dict):
    """``ext_softmax_normalise``."""
    lanes, w_exp, w_r, w_e, w_p = p['LANES'], p['W_EXP'], p['W_RECIPROCAL'], p['W_E'], p['W_PRODUCT']
    w_q = w_p - (w_exp - 1 + w_r - p['W_Y'])
    s.counter(bits_for(p['LENGTH']))
    s.multiply(w_exp, False, w_r, False, p['IMPL'], count=lanes)
    low = w_exp + w_r - p['W_Y']  # bits of the product that no result depends on
    s.add('multiplier registers' if p['IMPL'] == 'dsp' else 'registers', -lanes * low)
    s.registers(lanes * ((1 << w_e) + 2 * w_e + w_p - 1 + w_q + p['W_Y']))
    s.add('adder bits', lanes * w_p)
    s.add('shifter bits', lanes * w_q * w_e)
    s.add('saturated bits', lanes * p['W_Y'])
    s.delay(1, 4, reset=True)
    s.result(lanes * p['W_Y'], 10)


MODULES = {
    'ext_attention_scores': scores, 'ext_attention_context': context, 'ext_softmax': softmax, 'ext_softmax_max': softmax_max,
    'ext_softmax_exp': softmax_exp, 'ext_softmax_normalise': softmax_normalise,
}  # fmt: skip
