"""What the engines of layer normalization consist of; see :mod:`hls4ml_ext.cost.structure`."""

from __future__ import annotations

from hls4ml_ext.cost.structure import Structure, bits_for

MOMENTS = ('SIMD', 'W_SUM', 'W_SQUARE', 'W_V', 'EPSILON', 'SQUARE_IMPL', 'SUM_IMPL', 'TABLE_STYLE')
NORMALIZE = (
    'SIMD', 'W_SUM', 'W_D', 'W_P', 'W_N', 'N_SHIFT', 'N_ROUNDING', 'N_SATURATION', 'SCALED', 'W_GAMMA', 'GAMMA_SIGNED',
    'W_BETA',
    'BETA_SIGNED', 'SCALED_SHIFT', 'BETA_SHIFT', 'W_A', 'W_Y', 'Y_SIGNED', 'SHIFT', 'ROUNDING', 'SATURATION', 'SCALE_IMPL',
    'GAMMA_IMPL',
)  # fmt: skip


def layer_norm(s: Structure, p: dict):
    """``ext_layer_norm``."""
    simd, groups, w_c = p['SIMD'], p['GROUPS'], p['W_C']
    beats = groups + (bits_for(simd) + 1) // 2 + 12
    own = {'N': simd * groups, 'W_X': w_c}
    s.add('layer norm')
    s.add('adder bits', simd * w_c if p['OFFSET'] else 0)
    s.counter(2 * bits_for(groups))
    s.part('ext_moments', {**{name: p[name] for name in MOMENTS}, **own})
    s.fifo(simd * w_c, beats, p['PIXEL_STYLE'])
    s.fifo(p['W_SUM'] + 26, (beats - 1) // groups + 2)
    s.delay(bits_for(p['GAMMA_WORDS']), 3)
    s.delay(bits_for(p['BETA_WORDS']), 4)
    s.rom(simd * p['W_GAMMA'], p['GAMMA_WORDS'], p['GAMMA_STYLE'], 'GAMMAS')
    s.rom(simd * p['W_BETA'], p['BETA_WORDS'], p['BETA_STYLE'], 'BETAS')
    s.part('ext_normalize', {**{name: p[name] for name in NORMALIZE}, **own})
    s.delay(1, 9, reset=True)
    s.result(simd * p['W_Y'], p['DEPTH'], p.get('STYLE', 'auto'))
    s.files['TABLE'] = (768, 12)


def moments(s: Structure, p: dict):
    """``ext_moments``."""
    simd, n, w_x, w_sum, w_square, w_v = (p[name] for name in ('SIMD', 'N', 'W_X', 'W_SUM', 'W_SQUARE', 'W_V'))
    t_part = 1 + (bits_for(simd) + 1) // 2
    s.add('moments')
    s.delay(simd * w_x, 1)
    s.adder_tree(simd, w_x)
    squares = {'W_X': w_x, 'X_SIGNED': True, 'W_W': w_x, 'W_SIGNED': True, 'IMPL': p['SQUARE_IMPL']}
    s.part('ext_dot', {'N': simd, **squares, 'TRIPLE': False})
    s.delay(1, t_part, reset=True)
    s.delay(1, t_part)
    s.delay(1, t_part + 8, reset=True)
    s.registers(w_sum + w_square)
    s.add('gated sum bits', w_sum + w_square)
    s.registers(w_square + bits_for(n + 1) + 1)
    s.add('constant product bits', (w_square + bits_for(n + 1)) * max(bin(n).count('1') - 1, 0))
    s.multiply(w_sum, True, w_sum, True, p['SUM_IMPL'])
    s.registers(w_v)
    s.add('adder bits', w_v * (2 if p['EPSILON'] else 1))
    s.part('ext_rsqrt', {'TABLE_STYLE': p['TABLE_STYLE']})
    s.delay(w_sum, 7)


def rsqrt(s: Structure, p: dict):
    """``ext_rsqrt``."""
    s.add('reciprocal roots')
    s.registers(16 + 10 + 26)  # bits that may still become leading ones, those that do, the result
    s.delay(2, 4)
    s.delay(2, 3)
    s.rom(12, 768, p['TABLE_STYLE'], 'TABLE')


def normalize(s: Structure, p: dict):
    """``ext_normalize``."""
    simd, n, w_x, w_sum, w_d, w_n, w_a = (p[name] for name in ('SIMD', 'N', 'W_X', 'W_SUM', 'W_D', 'W_N', 'W_A'))
    s.delay(w_sum, 1)
    s.delay(26, 2)
    product = w_x + bits_for(n + 1) + 1
    s.registers(simd * (product - 1))
    s.add('constant product bits', simd * product * max(bin(n).count('1') - 1, 0))
    s.registers(simd * w_d)
    s.add('adder bits', simd * w_d)
    s.multiply(26, False, w_d, True, p['SCALE_IMPL'], count=simd)
    s.requantize(
        p['W_P'], p, '', simd, W_Y=w_n, Y_SIGNED=True, SHIFT=p['N_SHIFT'], ROUNDING=p['N_ROUNDING'],
        SATURATION=p['N_SATURATION']
    )  # fmt: skip
    if p['SCALED']:
        s.multiply(w_n, True, p['W_GAMMA'], p['GAMMA_SIGNED'], p['GAMMA_IMPL'], count=simd)
    else:
        s.registers(simd * w_n)
    s.registers(simd * w_a)
    s.add('adder bits', simd * w_a)
    s.requantize(w_a, p, count=simd)


MODULES = {'ext_layer_norm': layer_norm, 'ext_moments': moments, 'ext_rsqrt': rsqrt, 'ext_normalize': normalize}
