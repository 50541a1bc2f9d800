"""The engines that are synthesized to calibrate the models of cost: parameters as networks have them, drawn from a seed.

The engines of the networks of this repository are in ``networks.json``.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

NETWORKS = Path(__file__).parent / 'networks.json'
"""Name of a network -> its engines, as :func:`engines_of_network` has found them."""

MODULES = {
    'ext_matvec': 30, 'ext_depthwise': 18, 'ext_window_parallel': 14, 'ext_window_serial': 14, 'ext_window_subsample': 5,
    'ext_pool': 12, 'ext_add': 10, 'ext_quantize': 10, 'ext_repack': 12, 'ext_fifo': 12, 'ext_ode_block': 14,
    'ext_ode_time': 6, 'ext_attention_scores': 12, 'ext_attention_context': 12, 'ext_softmax': 7, 'ext_layer_norm': 8,
}  # fmt: skip
"""Module -> number of engines of the sweep."""

ROUNDINGS = ('RND_CONV',) * 4 + ('RND', 'TRN')
SATURATIONS = ('SAT',) * 4 + ('SAT_SYM', 'WRAP')


def engines_of_sweep(modules: dict[str, int] | None = None, seed: int = 0) -> list[tuple[str, dict]]:
    """The engines of the sweep, (module, parameters).

    Args:
        modules: Module -> how many; None are :data:`MODULES`.
        seed: An engine depends on it, on its module and on its number there.
    """
    found = []
    for module, count in (modules or MODULES).items():
        draw = GENERATORS[module]
        found += [(module, draw(random.Random(f'{module} {i} {seed}'))) for i in range(count)]
    return found


def engines_of_networks() -> dict[str, list[tuple[str, dict]]]:
    """Name of a network of this repository -> its engines."""
    stored = json.loads(NETWORKS.read_text(encoding='utf-8'))
    return {name: [(module, parameters) for module, parameters in engines] for name, engines in stored.items()}


# ---------------------------------------------------------------------------------------------------------------------
# Draws
# ---------------------------------------------------------------------------------------------------------------------


def bits_for(n: int) -> int:
    """ceil(log2 n)."""
    return max(n - 1, 0).bit_length()


def storage(words: int, r: random.Random, kind: str = 'ram') -> str:
    """The style of a memory: by its depth, now and then another one that a user may choose."""
    from hls4ml_ext.layers.core.memory import Memory
    from hls4ml_ext.rtl.kernel import style

    chosen = r.choice(('auto',) * 9 + ('lutram' if words <= 256 else 'bram',))
    return style(Memory('memory', words, 1, 8, kind, storage=chosen))


def result(r: random.Random, width: int, wide: bool = False) -> dict:
    """The type of a result, from `width` bits."""
    w = r.choice((4, 6, 8, 8, 8, 12) + ((16,) if wide else ()))
    if width < 4 or r.random() < 0.08:
        return {'W_Y': width, 'Y_SIGNED': True, 'SHIFT': 0, 'ROUNDING': 'TRN', 'SATURATION': 'WRAP'}
    signed = r.random() < 0.65
    return {
        'W_Y': w, 'Y_SIGNED': signed, 'SHIFT': max(width - w - r.randint(0, 4), -3),
        'ROUNDING': r.choice(ROUNDINGS), 'SATURATION': r.choice(SATURATIONS),
    }  # fmt: skip


def depth(r: random.Random, pipeline: int) -> int:
    """Of an ``ext_result``."""
    return r.choice((3, 4, 5, 6, pipeline + 6, pipeline + 6, pipeline + 6, pipeline + 9, 20, 31, 40, 80, 200, 516, 1032))


def weighted(r: random.Random, simd: int, pe: int, fold_in: int, fold_out: int) -> dict:
    """What a matrix and a depthwise engine have in common."""
    w_x, w_w = r.choice((4, 6, 8, 8, 8, 8, 10, 12)), r.choice((2, 3, 4, 4, 4, 4, 5, 6, 8))
    x_signed = r.random() < 0.6
    impl = 'dsp' if min(w_x, w_w) > 4 and r.random() < 0.8 else r.choice(('lut',) * 5 + ('dsp',))
    w_s = w_x + (not x_signed) + w_w + bits_for(simd)
    w_a = w_s + r.randint(-2, bits_for(fold_in) + 1)
    w_b = r.choice((1, 6, 8, 12, 12))
    words = fold_in * fold_out
    return {
        'SIMD': simd, 'PE': pe, 'FOLD_IN': fold_in, 'FOLD_OUT': fold_out, 'W_X': w_x, 'X_SIGNED': x_signed, 'W_W': w_w,
        'W_SIGNED': r.random() < 0.95, 'PRODUCT_SHIFT': r.choice((0,) * 5 + (1,)), 'W_B': w_b, 'B_SIGNED': w_b > 1,
        'BIAS_SHIFT': r.randint(0, 5), 'W_A': w_a, **result(r, w_a, wide=True), 'IMPL': impl,
        'DEPTH': depth(r, 8 + (bits_for(simd) + 1) // 2), 'WEIGHT_STYLE': storage(words, r, 'rom'),
        'BIAS_STYLE': storage(fold_out, r, 'rom'),
    }  # fmt: skip


def matvec(r):
    while True:
        simd = r.choice((1, 2, 3, 4, 4, 6, 8, 8, 9, 12, 16, 16, 24, 32, 75))
        pe = r.choice((1, 1, 2, 2, 3, 4, 4, 6, 8, 8, 12, 16, 16))
        if simd * pe <= 256:
            break
    fold_in, fold_out = r.choice((1, 2, 4, 8, 9, 12, 16, 32)), r.choice((1, 2, 4, 5, 8, 10, 16, 16, 32))
    p = weighted(r, simd, pe, fold_in, fold_out)
    return {**p, 'VECTOR_STYLE': storage(fold_in, r)}


def depthwise(r):
    simd, fold_in = r.choice(((9, 1), (9, 1), (9, 1), (1, 9), (1, 9), (3, 3), (25, 1), (49, 1)))
    pe = r.choice((1, 1, 2, 2, 4, 4, 8, 8, 16)) if simd <= 9 else r.choice((1, 2, 4))
    return weighted(r, simd, pe, fold_in, r.choice((1, 2, 4, 8, 16, 16, 32, 64, 128)))


def image(r, parallel: bool) -> dict:
    size, filt = (
        r.choice((4, 6, 8, 8, 12, 16, 16, 24, 32, 48, 96)),
        r.choice((2, 3, 3, 3, 3, 5) + ((7,) if parallel else (1,))),
    )
    filt = min(filt, size - 1)
    stride = r.choice((1, 1, 2)) if filt > 1 else 2
    pad = (filt - 1) // 2 if r.random() < 0.7 else 0
    out = (size + 2 * pad - filt) // stride + 1
    lanes, groups = r.choice((1, 1, 2, 2, 3, 4, 4, 8, 16)), r.choice((1, 1, 2, 4, 8, 16, 32, 64, 128))
    while parallel and filt * filt * lanes > 160:
        lanes = max(lanes // 2, 1)
        if lanes == 1:
            break
    while groups * size > 4096:
        groups //= 2
    w_x = r.choice((4, 6, 8, 8, 8, 12))
    return {
        'HEIGHT': size, 'WIDTH': size, 'GROUPS': groups, 'LANES': lanes, 'W_X': w_x, 'FILT_HEIGHT': filt, 'FILT_WIDTH': filt,
        'STRIDE_HEIGHT': stride, 'STRIDE_WIDTH': stride, 'PAD_TOP': pad, 'PAD_LEFT': pad, 'OUT_HEIGHT': out,
        'OUT_WIDTH': out,
        'BORDER': f"{w_x}'h{r.choice((0, 0, 0, 1 << (w_x - 1))):x}",
    }  # fmt: skip


def window_parallel(r):
    p = image(r, parallel=True)
    late = (p['FILT_HEIGHT'] - 1 - p['PAD_TOP']) * p['WIDTH'] + p['FILT_WIDTH'] - 1 - p['PAD_LEFT']
    last = late + (p['OUT_HEIGHT'] - 1) * p['STRIDE_HEIGHT'] * p['WIDTH'] + (p['OUT_WIDTH'] - 1) * p['STRIDE_WIDTH']
    may = last + 1 - p['HEIGHT'] * p['WIDTH'] < p['HEIGHT'] * p['WIDTH']
    return {
        **p, 'OVERLAP': may and r.random() < 0.8, 'LINE_STYLE': storage(p['WIDTH'] * p['GROUPS'] - 1, r),
        'COLUMN_STYLE': storage(max(p['GROUPS'] - 1, 1), r),
    }  # fmt: skip


def window_serial(r):
    p = image(r, parallel=False)
    if p['FILT_HEIGHT'] == 1 and p['GROUPS'] == 1:
        p['GROUPS'] = 4
    p['RING_ROWS'] = min(p['FILT_HEIGHT'] + p['STRIDE_HEIGHT'], p['HEIGHT'])
    return {**p, 'DEPTH': 8, 'ROW_STYLE': storage(p['RING_ROWS'] * p['WIDTH'] * p['GROUPS'], r)}


def window_subsample(r):
    size = r.choice((4, 8, 16, 32))
    return {
        'HEIGHT': size, 'WIDTH': size, 'GROUPS': r.choice((1, 4, 16, 32)), 'STRIDE_HEIGHT': r.choice((2, 2, 3)),
        'STRIDE_WIDTH': 2, 'W': r.choice((8, 16, 32, 64, 96)),
    }  # fmt: skip


def pool(r):
    op, lanes, w_x, signed = (
        r.choice(('max', 'average')),
        r.choice((1, 1, 2, 4, 8, 16)),
        r.choice((6, 8, 8, 12)),
        r.random() < 0.5,
    )
    taps = r.choice((4, 9)) if r.random() < 0.4 else r.choice((16, 36, 64))
    groups = 1 if taps < 16 else r.choice((1, 2, 8, 32, 96, 256))
    scale = 1 if op == 'max' or taps != 36 and taps != 9 else r.choice((57, 57, 228))
    w_s = w_x + (not signed) + (bits_for(taps) if op == 'average' else 0)
    width = w_s if scale == 1 else w_s + (scale + 1).bit_length()
    return {
        'LANES': lanes, 'TAPS': taps, 'GROUPS': groups, 'OP': op, 'W_X': w_x, 'X_SIGNED': signed, 'W_S': w_s, 'SCALE': scale,
        **result(r, width), 'IMPL': r.choice(('lut', 'dsp')), 'DEPTH': depth(r, 4), 'SUM_STYLE': r.choice(('auto',
        storage(groups, r))),
    }  # fmt: skip


def add(r):
    w, signed = [r.choice((4, 8, 8, 12)) for _ in range(2)], [r.random() < 0.5 for _ in range(2)]
    shifts = r.choice(((0, 0), (0, 2), (1, 0), (0, 4)))
    w_a = max(x + s + (not sign) for x, s, sign in zip(w, shifts, signed)) + 1
    return {
        'LANES': r.choice((1, 2, 4, 8, 16)), 'W_X0': w[0], 'X0_SIGNED': signed[0], 'X0_SHIFT': shifts[0], 'W_X1': w[1],
        'X1_SIGNED': signed[1], 'X1_SHIFT': shifts[1], 'W_A': w_a, **result(r, w_a), 'DEPTH': depth(r, 3),
    }  # fmt: skip


def quantize(r):
    w_x, signed = r.choice((6, 8, 8, 12, 12, 16)), r.random() < 0.5
    shift = r.choice((-3, -2, -1, 0, 1, 2, 3, 4))
    return {
        'LANES': r.choice((1, 1, 2, 4, 4, 8, 16)), 'W_X': w_x, 'X_SIGNED': signed, 'W_Y': r.choice((4, 8, 8, 12)),
        'Y_SIGNED': r.random() < 0.6, 'SHIFT': shift, 'ROUNDING': r.choice(ROUNDINGS), 'SATURATION': r.choice(SATURATIONS),
        'DEPTH': depth(r, 2),
    }  # fmt: skip


def repack(r):
    narrow, slots = r.choice((4, 8, 8, 12, 16, 24, 32, 48)), r.choice((2, 2, 3, 4, 4, 6, 8, 16, 32))
    while narrow * slots > 400:
        slots = max(slots // 2, 2)
        if slots == 2:
            break
    wide = narrow * slots
    widths = {'FROM': narrow, 'TO': wide} if r.random() < 0.5 else {'FROM': wide, 'TO': narrow}
    return {**widths, 'DEPTH': r.choice((2, 2, 2, 3, 5, 9, 25, 60, 432, 1536))}


def fifo(r):
    return {
        'WIDTH': r.choice((4, 8, 12, 16, 24, 36, 48, 96, 128)),
        'DEPTH': r.choice((2, 2, 3, 5, 9, 17, 33, 34, 50, 65, 66, 100, 200, 513, 1025, 2100, 5000)),
    }


def ode_block(r):
    stages, lanes = r.choice((1, 1, 1, 2, 2, 4)), r.choice((1, 2, 4, 8, 8, 12, 16))
    words, w_z, w_k = (
        r.choice((16, 64, 128, 256, 384, 512, 1024, 2304)),
        r.choice((8, 10, 12, 12, 16)),
        r.choice((6, 8, 8, 10)),
    )
    w_c = r.choice((1, 2, 3, 5))
    shifts, kept, coefficients = [], [], []
    for _ in range(stages):
        shifts.append(r.random() < 0.6)
        kept.append(stages > 1 and r.random() < 0.5)
    kept[-1] = False
    for _row in range(stages):
        for j in range(stages):
            coefficients.append(r.choice((0, 1, 1, 2)) if shifts[j] else r.randrange(1 << (w_c - 1)) if w_c > 1 else 0)
    k_shift, z_shift = r.choice((0, 1, 2, 3)), r.choice((0, 0, 0, 1, 4))
    w_a = max(w_z + z_shift, w_k + k_shift + w_c) + 1
    value = sum(c << (32 * i) for i, c in enumerate(coefficients))
    number = lambda bits: f"{len(bits)}'h{sum(b << i for i, b in enumerate(bits)):x}"  # noqa: E731
    return {
        'WORDS': words, 'LANES': lanes, 'N_STEPS': r.choice((1, 2, 2, 4, 10)), 'N_STAGES': stages, 'W_Z': w_z,
        'Z_SIGNED': True,
        'Z_SHIFT': z_shift, 'Z_ROUNDING': r.choice(ROUNDINGS), 'Z_SATURATION': r.choice(SATURATIONS), 'W_K': w_k,
        'K_SIGNED': r.random() < 0.9, 'K_SHIFT': k_shift, 'W_C': w_c, 'COEFFICIENTS': f"{32 * stages * stages}'h{value:x}",
        'SHIFTS': number(shifts), 'KEPT': number(kept), 'IMPL': r.choice(('lut', 'lut', 'dsp')), 'W_A': w_a,
        **result(r, w_z), 'HELD_DEPTH': r.choice((12, 20, 60, 99, 144, 390)), 'INPUT_DEPTH': 7,
        'DEPTH': r.choice((14, 14, 60, 125, 311, 566)), 'STATE_STYLE': storage(words, r), 'KEPT_STYLE': storage(words, r),
    }  # fmt: skip


def ode_time(r):
    channels = r.choice((3, 7, 7, 15, 15, 31))
    beats = [d for d in range(1, channels + 2) if (channels + 1) % d == 0]
    lanes = [d for d in range(1, channels + 1) if channels % d == 0]
    n, w = r.choice((2, 4, 8)), r.choice((8, 12))
    value = sum((i * 37 % (1 << w)) << (w * i) for i in range(n))
    return {
        'PIXELS': r.choice((16, 64, 256)), 'CHANNELS': channels, 'W': w, 'LANES_IN': r.choice(lanes),
        'LANES_OUT': r.choice(beats),
        'N_EVALUATIONS': n, 'TIMES': f"{n * w}'h{value:x}",
    }  # fmt: skip


def attention(r) -> tuple[dict, dict]:
    size = r.choice((3, 4, 4, 6, 8))
    dims, slices = r.choice(((1, 16), (4, 1), (4, 4), (8, 1), (8, 2), (16, 1), (16, 2), (24, 1), (48, 1), (12, 4)))
    heads = r.choice((1, 2, 4)) if slices == 1 and dims <= 8 else 1
    groups = r.choice((1, 2, 4))
    p = {'GROUPS': groups, 'HEADS': heads, 'DIMS': dims, 'SLICES': slices, 'W_X': r.choice((6, 8, 8, 8)), 'X_SIGNED': True}
    return {'HEIGHT': size, 'WIDTH': size}, p


def attention_scores(r):
    image_size, p = attention(r)
    n = image_size['HEIGHT'] ** 2
    position = r.choice(('none', 'relative', 'relative', 'additive'))
    words = n * p['GROUPS'] * p['SLICES']
    w_k = p['W_X'] + (0 if position == 'none' else 1)
    tables = {}
    if position != 'none':
        fold = p['SLICES'] * (p['GROUPS'] if position == 'additive' else 1)
        rows = (image_size['HEIGHT'] if position == 'additive' else 2 * image_size['HEIGHT'] - 1) * fold
        for table in ('ROW', 'COL'):
            tables |= {
                f'{table}_WORDS': rows, f'W_{table}': r.choice((4, 4, 6)), f'{table}_SIGNED': True,
                f'{table}_SHIFT': r.choice((0, 1)),
                f'{table}_STYLE': storage(rows, r, 'rom'),
            }  # fmt: skip
    w_a = w_k + p['W_X'] + bits_for(p['DIMS'] * p['SLICES'])
    return {
        **image_size, **p, 'POSITION': position, 'W_K': w_k, 'KEY_SHIFT': 0,
        'W_STORED': w_k if position == 'additive' else p['W_X'], **tables, 'W_A': w_a, **result(r, w_a),
        'IMPL': r.choice(('dsp', 'dsp', 'dsp', 'lut')), 'DEPTH': r.choice((3, 9, 14, 16)), 'VALUE_DEPTH': r.choice((2, 2,
        6, 20, 40)),
        'QUERY_STYLE': storage(words, r), 'KEY_STYLE': storage(words, r),
    }  # fmt: skip


def attention_context(r):
    image_size, p = attention(r)
    n = image_size['HEIGHT'] ** 2
    w_w = r.choice((6, 8, 8, 10))
    w_a = p['W_X'] + w_w + bits_for(n)
    return {
        'N': n, **p, 'W_W': w_w, 'W_SIGNED': False, 'W_A': w_a, **result(r, w_a), 'IMPL': r.choice(('dsp', 'dsp', 'dsp',
        'lut')),
        'DEPTH': depth(r, 6), 'VALUE_STYLE': storage(n * p['GROUPS'] * p['SLICES'], r), 'SUM_STYLE': storage(p['SLICES'], r),
    }  # fmt: skip


def softmax(r):
    length, w_exp = r.choice((9, 16, 16, 36, 64)), r.choice((10, 12, 12))
    w_sum, w_index, w_r = w_exp + bits_for(length), r.choice((7, 8, 9)), w_exp
    return {
        'LANES': r.choice((1, 1, 2, 4)), 'LENGTH': length, 'W_X': r.choice((6, 8, 8)), 'X_SIGNED': r.random() < 0.8,
        'W_EXP': w_exp,
        'W_SUM': w_sum, 'W_INDEX': w_index, 'W_RECIPROCAL': w_r, 'W_PRODUCT': w_exp + w_r + 1, 'W_Y': r.choice((6, 8, 8)),
        'IMPL': r.choice(('dsp', 'dsp', 'lut')), 'LOGIT_STYLE': 'auto', 'TERM_STYLE': 'auto',
        'EXP_STYLE': r.choice(('block', 'block', 'auto')),
        'RECIPROCAL_STYLE': 'block',
    }  # fmt: skip


def layer_norm(r):
    simd, groups, w_x = r.choice((1, 2, 4, 4, 8, 16)), r.choice((1, 2, 4, 8, 12)), r.choice((6, 8, 8))
    n = simd * groups
    w_sum, w_square = w_x + bits_for(n) + 1, 2 * w_x + bits_for(n)
    w_v, w_d = max(w_square + n.bit_length() + 1, 31), w_x + n.bit_length() + 1
    w_n, w_gamma, w_beta = r.choice((8, 8, 12)), r.choice((4, 8)), 8
    w_a = w_n + w_gamma + 2
    impls = {f'{name}_IMPL': r.choice(('dsp', 'dsp', 'lut')) for name in ('SUM', 'SQUARE', 'GAMMA')}
    return {
        'SIMD': simd, 'GROUPS': groups, 'W_X': w_x, 'X_SIGNED': True, 'OFFSET': r.choice((0, 0, 3)), 'W_C': w_x,
        'W_SUM': w_sum,
        'W_SQUARE': w_square, 'W_V': w_v, 'EPSILON': r.choice((1, 40)), 'W_D': w_d, 'W_P': w_d + 26, 'W_N': w_n,
        'N_SHIFT': 26 - (w_n - 3), 'N_ROUNDING': 'RND_CONV', 'N_SATURATION': 'SAT', 'SCALED': r.random() < 0.8,
        'W_GAMMA': w_gamma,
        'GAMMA_SIGNED': True, 'W_BETA': w_beta, 'BETA_SIGNED': True, 'SCALED_SHIFT': 0, 'BETA_SHIFT': r.choice((0, 3)),
        'W_A': w_a,
        **result(r, w_a), **impls, 'SCALE_IMPL': 'dsp', 'DEPTH': depth(r, 9), 'GAMMA_WORDS': r.choice((1, groups)),
        'BETA_WORDS': r.choice((1, groups)), 'TABLE_STYLE': 'block', 'GAMMA_STYLE': 'distributed',
        'BETA_STYLE': 'distributed',
        'PIXEL_STYLE': r.choice(('auto', 'distributed')),
    }  # fmt: skip


GENERATORS = {
    'ext_matvec': matvec, 'ext_depthwise': depthwise, 'ext_window_parallel': window_parallel,
    'ext_window_serial': window_serial,
    'ext_window_subsample': window_subsample, 'ext_pool': pool, 'ext_add': add, 'ext_quantize': quantize,
    'ext_repack': repack,
    'ext_fifo': fifo, 'ext_ode_block': ode_block, 'ext_ode_time': ode_time, 'ext_attention_scores': attention_scores,
    'ext_attention_context': attention_context, 'ext_softmax': softmax, 'ext_layer_norm': layer_norm,
}  # fmt: skip
