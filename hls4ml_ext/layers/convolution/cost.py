"""What the engines of convolution and dense layers consist of; see :mod:`hls4ml_ext.cost.structure`."""

from __future__ import annotations

from hls4ml_ext.cost.structure import Structure, bits_for, index_bits

DOT = ('W_X', 'X_SIGNED', 'W_W', 'W_SIGNED', 'IMPL')
ACCUMULATE = (
    'PE', 'PRODUCT_SHIFT', 'W_B', 'B_SIGNED', 'BIAS_SHIFT', 'W_A', 'W_Y', 'Y_SIGNED', 'SHIFT', 'ROUNDING', 'SATURATION',
)  # fmt: skip


def weighted(s: Structure, p: dict, t_dot: int):
    """What ``ext_matvec`` and ``ext_depthwise`` share: counters, ROMs, sums, results.

    Args:
        t_dot: Cycles of the sums.
    """
    simd, pe, fold_in, fold_out = p['SIMD'], p['PE'], p['FOLD_IN'], p['FOLD_OUT']
    words = fold_in * fold_out
    for n in (fold_in, fold_out, words):
        if n > 1:
            s.counter(bits_for(n))
    s.rom(simd * pe * p['W_W'], words, p['WEIGHT_STYLE'], 'WEIGHTS')
    s.delay(simd * p['W_X'] * (pe if s.module == 'ext_depthwise' else 1), 2)
    t_sum = 2 + t_dot
    s.delay(1, t_sum, reset=True)
    if fold_in > 1:
        s.delay(1, t_sum)
        s.delay(1, t_sum + 3, reset=True)
    else:
        s.registers(3)
    if fold_out > 1:
        s.delay(bits_for(fold_out), t_dot)
    s.rom(pe * p['W_B'], fold_out, p['BIAS_STYLE'], 'BIASES')
    s.part('ext_accumulate', {name: p[name] for name in ACCUMULATE})
    s.result(pe * p['W_Y'], p['DEPTH'], p.get('RESULT_STYLE', 'auto'))


def matvec(s: Structure, p: dict):
    """``ext_matvec``."""
    simd, pe, w_x = p['SIMD'], p['PE'], p['W_X']
    ws = p['W_W'] + (not p['W_SIGNED'])
    pair = p['IMPL'] == 'dsp' and pe > 1 and w_x + (not p['X_SIGNED']) + 2 * ws + 1 <= 27
    triple = p['IMPL'] == 'lut' and pe > 1 and p['W_W'] > 2
    weighted(s, p, 1 + pair + (bits_for(simd) + 1) // 2)
    if p['FOLD_OUT'] > 1:
        s.memory('line', simd * w_x, p['FOLD_IN'], p.get('VECTOR_STYLE', 'auto'))  # read where it is written
        s.registers(simd * w_x)
        s.delay(1, 2)
        s.add('mux bits', simd * w_x)
    if triple:
        s.add('triple bits', simd * (w_x + 2))
    dot = {'N': simd, **{name: p[name] for name in DOT}, 'TRIPLE': triple}
    s.part('ext_dot_pair', dot, pe // 2 if pair else 0)
    s.part('ext_dot', dot, pe % 2 if pair else pe)
    if pair and pe % 2:
        s.registers(w_x + (not p['X_SIGNED']) + ws + bits_for(simd))


def depthwise(s: Structure, p: dict):
    """``ext_depthwise``."""
    weighted(s, p, 1 + (bits_for(p['SIMD']) + 1) // 2)
    s.part('ext_dot', {'N': p['SIMD'], **{name: p[name] for name in DOT}, 'TRIPLE': False}, p['PE'])


def window_parallel(s: Structure, p: dict):
    """``ext_window_parallel``."""
    rows, cols, groups, width = p['FILT_HEIGHT'], p['FILT_WIDTH'], p['GROUPS'], p['WIDTH']
    w = p['LANES'] * p['W_X']
    first = (rows - 1 - p['PAD_TOP']) * width + cols - 1 - p['PAD_LEFT']
    last = first + (p['OUT_HEIGHT'] - 1) * p['STRIDE_HEIGHT'] * width + (p['OUT_WIDTH'] - 1) * p['STRIDE_WIDTH']
    position = bits_for(p['HEIGHT'] * width + last + p['STRIDE_HEIGHT'] * width + 1)
    y = bits_for(p['HEIGHT'] + rows + p['STRIDE_HEIGHT'] + p['PAD_TOP'] + 1) + 1
    x = bits_for(width + cols + p['STRIDE_WIDTH'] + p['PAD_LEFT'] + 1) + 1
    s.add('window')
    s.counter(3 * position + index_bits(p['OUT_HEIGHT']) + index_bits(p['OUT_WIDTH']) + y + x, 'window position bits')
    if groups > 1:
        s.counter(bits_for(groups))
    s.registers(3)
    s.add('window coordinate bits', rows * y + cols * x)
    s.shift((rows - 1) * w, width * groups, p['LINE_STYLE'])
    s.shift(rows * (cols - 1) * w, groups, p['COLUMN_STYLE'])
    s.add('masked bits', rows * cols * w)
    s.fifo(rows * cols * w)


def window_serial(s: Structure, p: dict):
    """``ext_window_serial``."""
    rows, cols, groups = p['FILT_HEIGHT'], p['FILT_WIDTH'], p['GROUPS']
    w, row = p['LANES'] * p['W_X'], p['WIDTH'] * groups
    ring = p['RING_ROWS'] * row
    address = index_bits(ring)
    count = bits_for(p['HEIGHT'] * row + ring + (p['STRIDE_HEIGHT'] + rows) * row + 1) + 1
    y = bits_for(p['HEIGHT'] + rows + p['STRIDE_HEIGHT'] + p['PAD_TOP'] + 1) + 1
    x = bits_for(p['WIDTH'] + cols + p['STRIDE_WIDTH'] + p['PAD_LEFT'] + 1) + 1
    words = x + bits_for(groups + 1)
    s.add('serial window')
    indices = (p['OUT_HEIGHT'], p['OUT_WIDTH'], p['OUT_WIDTH'], groups, rows, cols)
    counters = {
        'serial count bits': 6 * count, 'serial address bits': 5 * address, 'serial coordinate bits': 2 * (x + y + words),
        'serial index bits': sum(bits_for(n) for n in indices),
    }  # fmt: skip
    for feature, bits in counters.items():
        s.add(feature, bits)
    s.add('serial registers', sum(counters.values()))  # not all of them change
    s.add('serial product bits', count * max(bin(row).count('1') - 1, 0))
    s.registers(2)  # finished, inside
    s.ram(w, ring, p['ROW_STYLE'])
    s.delay(1, 2)
    s.delay(1, 3, reset=True)
    s.add('masked bits', w)
    s.result(w, p['DEPTH'])


def window_subsample(s: Structure, p: dict):
    """``ext_window_subsample``."""
    s.add('subsampling window')
    for n in (p['HEIGHT'], p['WIDTH'], p['GROUPS'], p['STRIDE_HEIGHT'], p['STRIDE_WIDTH']):
        s.counter(bits_for(n))
    s.fifo(p['W'])


MODULES = {
    'ext_matvec': matvec, 'ext_depthwise': depthwise, 'ext_window_parallel': window_parallel,
    'ext_window_serial': window_serial, 'ext_window_subsample': window_subsample,
}  # fmt: skip
