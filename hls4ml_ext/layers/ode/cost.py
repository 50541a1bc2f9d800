"""What the engines of a Neural-ODE block consist of; see :mod:`hls4ml_ext.cost.structure`."""

from __future__ import annotations

from hls4ml_ext.cost.structure import Structure, bits_for, index_bits, number


def ode_block(s: Structure, p: dict):
    """``ext_ode_block``."""
    words, lanes, steps, n = p['WORDS'], p['LANES'], p['N_STEPS'], p['N_STAGES']
    z, k, w_a = lanes * p['W_Z'], lanes * p['W_K'], p['W_A']
    zs = p['W_Z'] + (not p['Z_SIGNED'])
    shifts, kept, coefficients = (number(p[name]) for name in ('SHIFTS', 'KEPT', 'COEFFICIENTS'))
    t_z = 5 + (bits_for(n + 1) + 1) // 2
    s.add('ode block')
    for _ in range(2):
        for count in (words, steps, n):
            s.counter(bits_for(count))
    s.counter(bits_for(words + 1), 'fifo level bits')
    s.delay(z, 2)
    s.delay(1, 2)
    s.delay(1, 2, reset=True)
    s.delay(1, 2)
    if steps * n > 1:
        s.ram(z, words, p['STATE_STYLE'])
        s.add('mux bits', z)
    s.result(z, p['INPUT_DEPTH'])
    s.result(z, p['HELD_DEPTH'])
    if n > 1:
        s.delay(z, 2)
        s.delay(bits_for(n), 2)
        s.ram(z, words, p['STATE_STYLE'])
        s.add('mux bits', z)
        s.registers(lanes * zs)  # z with the shift
        s.delay(k, 2)
    else:  # it is shifted by wires
        s.delay(z, 3)
    for j in range(n):
        if kept >> j & 1:
            s.ram(k, words, p['KEPT_STYLE'])
            s.add('mux bits', k)
    for j in range(n):
        column = [coefficients >> (32 * (r * n + j)) & 0xFFFFFFFF for r in range(n)]
        if not any(column):
            continue
        if n == 1:
            s.delay(k, 3 if shifts & 1 else 2)
        if n == 1 and shifts & 1:
            continue
        if shifts >> j & 1:
            different = len({c for c in column if c})
            bits = p['W_K'] + max(column).bit_length() - 1
            s.registers(lanes * bits)
            s.add('chosen bits', lanes * bits * (different - 1 + (0 in column)))
        else:
            s.multiply(p['W_K'], p['K_SIGNED'], p['W_C'], True, p['IMPL'], count=lanes)
    s.adder_tree(n + 1, w_a, lanes)
    s.requantize(w_a + bits_for(n + 1), p, 'Z_', lanes, W_Y=p['W_Z'], Y_SIGNED=p['Z_SIGNED'])
    s.requantize(zs, p, '', lanes)
    s.delay(1, t_z, reset=True)
    s.delay(index_bits(words), t_z)
    s.delay(1, t_z + 2, reset=True)
    s.result(lanes * p['W_Y'], p['DEPTH'])


def ode_time(s: Structure, p: dict):
    """``ext_ode_time``."""
    bits = (p['CHANNELS'] + 1) * p['W']
    s.add('ode time')
    s.counter(bits_for(p['CHANNELS'] // p['LANES_IN'] + 1))
    s.counter(bits_for((p['CHANNELS'] + 1) // p['LANES_OUT'] + 1))
    s.counter(bits_for(p['PIXELS']))
    s.counter(bits_for(p['N_EVALUATIONS']))
    s.registers(2 * bits - p['W'])
    s.add('held bits', bits - p['LANES_OUT'] * p['W'])  # zeros follow the last beat
    s.fifo(p['LANES_OUT'] * p['W'])


MODULES = {'ext_ode_block': ode_block, 'ext_ode_time': ode_time}
