"""The modules that all engines share, each against NumPy. One top holds many instances: one build tests them all."""

import itertools

import numpy as np
import pytest
from verilate import Module, signed

from hls4ml_ext.fixed import FixedType


def top(instances, inputs: dict[str, int], reset: bool = False, **options) -> Module:
    """A top of many instances, which all see the same inputs.

    Args:
        instances: SystemVerilog of each one; ``OUT`` is its output of at most 64 bits, ``I`` its number.
        inputs: Port -> bits.
    """
    ports = ['input logic clk', *(['input logic rst'] if reset else [])]
    ports += [f'input logic [{width - 1}:0] {name}' for name, width in inputs.items()]
    ports += [f'output logic [63:0] out{i}' for i in range(len(instances))]
    body = '\n'.join(text.replace('OUT', f'out{i}').replace('I_', f'i{i}_') for i, text in enumerate(instances))
    text = f'module tested ({", ".join(ports)});\n{body}\nendmodule\n'
    return Module('tested', inputs, [f'out{i}' for i in range(len(instances))], text=text, reset=reset, **options)


# ---------------------------------------------------------------------------------------------------------------------
# Arithmetic
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('rounding', ['TRN', 'RND', 'RND_CONV'])
def test_requantize(rounding):
    """Every number of every width, to every type."""
    kinds = list(itertools.product((1, 2, 5, 8), (1, 3, 6), (False, True), (-2, 0, 1, 2, 4, 9), ('WRAP', 'SAT', 'SAT_SYM')))
    instances = [
        f"""ext_requantize #(.W_X({wx}), .W_Y({wy}), .Y_SIGNED({int(s)}), .SHIFT({shift}), .ROUNDING("{rounding}"),
        .SATURATION("{saturation}")) I_q (.clk, .x(x[{wx - 1}:0]), .y(OUT[{wy - 1}:0])); assign OUT[63:{wy}] = '0;"""
        for wx, wy, s, shift, saturation in kinds
    ]
    x = np.arange(-128, 128)
    found = top(instances, {'x': 8})(x=np.append(x, [0, 0]))
    wrong = []
    for i, (wx, wy, s, shift, saturation) in enumerate(kinds):
        t = FixedType(wy, wy, s, rounding, saturation)
        want = t.quantize(signed(x, wx) * 2.0**-shift).astype(np.int64)
        got = found[f'out{i}'][2:].astype(np.int64)
        if saturation == 'WRAP':  # the reference leaves these as they are
            want &= (1 << wy) - 1
        elif s:
            got = signed(got, wy)
        if (got != want).any():
            wrong.append((kinds[i], x[got != want][:3].tolist()))
    assert not wrong, f'{len(wrong)} of {len(kinds)}: {wrong[:5]}'


@pytest.mark.parametrize('booth', [False, True])
def test_multiply(booth):
    """Every pair of numbers of up to five bits, as rows of Booth's digits and as the simulation has it."""
    kinds = list(itertools.product((1, 2, 4, 5), (1, 2, 3, 5), (False, True), (False, True)))
    instances = [
        f"""wire signed [{wx + ww + 1 - xs + 1 - ws}-1:0] I_y; assign OUT = 64'(I_y);
        ext_multiply #(.W_X({wx}), .X_SIGNED({int(xs)}), .W_W({ww}), .W_SIGNED({int(ws)})) I_m (
        .clk, .x(x[{wx - 1}:0]), .w(w[{ww - 1}:0]), .y(I_y));"""
        for wx, ww, xs, ws in kinds
    ]
    x, w = (a.ravel() for a in np.meshgrid(np.arange(32), np.arange(32)))
    found = top(instances, {'x': 5, 'w': 5}, defines=('EXT_BOOTH',) if booth else ())(x=np.append(x, 0), w=np.append(w, 0))
    for i, (wx, ww, xs, ws) in enumerate(kinds):
        a, b = (signed(v, n) if s else v & ((1 << n) - 1) for v, n, s in ((x, wx, xs), (w, ww, ws)))
        assert (found[f'out{i}'][1:].astype(np.int64) == a * b).all(), kinds[i]


@pytest.mark.parametrize('booth', [False, True])
def test_dot(booth):
    """Sums of 1 to 9 products: all at their extremes, and any."""
    kinds = list(itertools.product((1, 2, 3, 4, 7, 9), (True, False), (True, False)))
    wx, ww = 6, 4
    instances = [
        f"""wire signed [{wx + ww + 2 - xs - ws + (n - 1).bit_length()}-1:0] I_y; assign OUT = 64'(I_y);
        ext_dot #(.N({n}), .W_X({wx}), .X_SIGNED({int(xs)}), .W_W({ww}), .W_SIGNED({int(ws)})) I_d (
        .clk, .x(x[{n * wx - 1}:0]), .w(w[{n * ww - 1}:0]), .sum(I_y));"""
        for n, xs, ws in kinds
    ]
    rng = np.random.default_rng(0)
    x, w = rng.integers(0, 1 << wx, (300, 9)), rng.integers(0, 1 << ww, (300, 9))
    corners = [(a, b) for a in (0, 31, 32, 63) for b in (0, 7, 8, 15)]
    x[: len(corners)], w[: len(corners)] = (np.array([c[i] for c in corners])[:, None] for i in (0, 1))
    words = [(v << np.arange(9) * n).sum(axis=1) for v, n in ((x, wx), (w, ww))]
    late = 3
    module = top(instances, {'x': 54, 'w': 36}, defines=('EXT_BOOTH',) if booth else ())
    found = module(x=np.append(words[0], [0] * late), w=np.append(words[1], [0] * late))
    for i, (n, xs, ws) in enumerate(kinds):
        latency = 1 + ((n - 1).bit_length() + 1) // 2
        a, b = (signed(v, m) if s else v for v, m, s in ((x, wx, xs), (w, ww, ws)))
        want = (a[:, :n] * b[:, :n]).sum(axis=1)
        assert (found[f'out{i}'][latency : latency + len(want)].astype(np.int64) == want).all(), kinds[i]


# ---------------------------------------------------------------------------------------------------------------------
# Storage
# ---------------------------------------------------------------------------------------------------------------------

DEPTHS = (2, 3, 4, 5, 8, 9, 17)


def test_fifo():
    """Every word once and in order, however it is pushed and pulled; data stay while nobody takes them."""
    instances = [
        f"""wire [15:0] I_d; wire I_v, I_r; assign OUT = {{46'd0, I_r, I_v, I_d}};
        ext_fifo #(.WIDTH(16), .DEPTH({depth})) I_f (.clk, .rst, .s_data, .s_valid, .s_ready(I_r),
        .m_data(I_d), .m_valid(I_v), .m_ready);"""
        for depth in DEPTHS
    ]
    module = top(instances, {'s_data': 16, 's_valid': 1, 'm_ready': 1}, reset=True)
    rng = np.random.default_rng(1)
    n = 4000
    data = rng.integers(0, 1 << 16, n)
    often = np.repeat(rng.choice([0.05, 0.5, 1], (40, 2)), n // 40, axis=0)
    valid, ready = (rng.random((n, 2)) < often).T
    for v, r in ((valid, ready), (np.ones(n, bool), np.ones(n, bool)), (np.ones(n, bool), np.arange(n) > 100)):
        found = module(s_data=data, s_valid=v, m_ready=r)
        for i, depth in enumerate(DEPTHS):
            words = found[f'out{i}'].astype(np.int64)
            s_ready, m_valid, m_data = words >> 17 & 1, words >> 16 & 1, words & 0xFFFF
            pushed, pulled = data[(v & s_ready).astype(bool)], m_data[(m_valid & r).astype(bool)]
            assert (pulled == pushed[: len(pulled)]).all()
            held = np.append(0, np.cumsum(v & s_ready) - np.cumsum(m_valid & r))[:-1]
            assert held.min() >= 0 and (held[s_ready == 0] >= depth).all() and held.max() <= max(depth, 3)
            waits = (m_valid & ~r)[:-1].astype(bool)
            assert m_valid[1:][waits].all() and (m_data[1:][waits] == m_data[:-1][waits]).all()
            if v.all() and r.all():  # two cycles of latency, then a word a cycle
                assert s_ready.all() and not m_valid[:2].any() and m_valid[2:].all()
            if v.all() and not r[0]:
                assert held[100] == max(depth, 3) and s_ready[102:].all()


def test_result():
    """A free-running pipeline of any latency in front of it: nothing is lost, and nothing waits if nobody makes it wait."""
    latencies = (1, 2, 5, 9)
    instances = [
        f"""wire [15:0] I_d, I_q; wire I_v, I_o, I_t, I_w; assign OUT = {{45'd0, I_o, I_t, I_v, I_d}};
        assign I_t = want && I_o;
        ext_delay #(.WIDTH(16), .CYCLES({latency})) I_a (.clk, .rst, .d(data), .q(I_q));
        ext_delay #(.WIDTH(1), .CYCLES({latency}), .RESET(1)) I_b (.clk, .rst, .d(I_t), .q(I_w));
        ext_result #(.WIDTH(16), .DEPTH({latency + 4})) I_r (.clk, .rst, .take(I_t), .room(I_o), .s_data(I_q),
        .s_valid(I_w), .m_data(I_d), .m_valid(I_v), .m_ready);"""
        for latency in latencies
    ]
    module = top(instances, {'data': 16, 'want': 1, 'm_ready': 1}, reset=True)
    rng = np.random.default_rng(2)
    n = 3000
    data = rng.integers(0, 1 << 16, n)
    always = np.ones(n, bool)
    for want, ready in ((rng.random(n) < 0.7, rng.random(n) < 0.4), (always, always), (always, np.arange(n) > 99)):
        found = module(data=data, want=want, m_ready=ready)
        for i, latency in enumerate(latencies):
            words = found[f'out{i}'].astype(np.int64)
            room, take, m_valid, m_data = words >> 18 & 1, words >> 17 & 1, words >> 16 & 1, words & 0xFFFF
            taken, given = data[take.astype(bool)], m_data[(m_valid & ready).astype(bool)]
            assert len(given) > 0.3 * n and (given == taken[: len(given)]).all()
            assert (np.cumsum(take) - np.cumsum(m_valid & ready)).max() <= latency + 4
            if want.all() and ready.all():
                assert room.all() and m_valid[latency + 2 :].all()


def test_shift():
    depths = (1, 2, 3, 4, 7, 16, 257, 258, 600)
    instances = [
        f'ext_shift #(.WIDTH(16), .DEPTH({d}), .STYLE("distributed")) I_s (.clk, .rst, .move, .d, .q(OUT[15:0]));'
        ' assign OUT[63:16] = 0;'
        for d in depths
    ]
    rng = np.random.default_rng(3)
    d, move = rng.integers(0, 1 << 16, 1500), rng.random(1500) < 0.6
    found = top(instances, {'move': 1, 'd': 16}, reset=True)(move=move, d=d)
    moved = d[move]
    before = np.cumsum(move) - move  # moves before each cycle
    for i, depth in enumerate(depths):
        known = before >= depth
        assert known.sum() > 200
        assert (found[f'out{i}'][known] == moved[before[known] - depth]).all(), depth


def test_delay():
    kinds = [(cycles, reset) for cycles in (0, 1, 2, 5) for reset in (0, 1)]
    instances = [
        f'ext_delay #(.WIDTH(8), .CYCLES({c}), .RESET({r})) I_d (.clk, .rst, .d, .q(OUT[7:0])); assign OUT[63:8] = 0;'
        for c, r in kinds
    ]
    d = np.random.default_rng(4).integers(0, 256, 100)
    found = top(instances, {'d': 8}, reset=True)(d=d)
    for i, (cycles, reset) in enumerate(kinds):
        assert (found[f'out{i}'][cycles:] == d[: len(d) - cycles]).all()
        assert not reset or not found[f'out{i}'][:cycles].any()


def test_memories(tmp_path):
    """A RAM reads what was there before the write of the same cycle; a ROM its file; both two cycles after the address."""
    rng = np.random.default_rng(5)
    depths = (1, 2, 5, 64)
    words = rng.integers(0, 1 << 16, 64)
    (tmp_path / 'words.hex').write_text('\n'.join(f'{w:04x}' for w in words) + '\n')
    instances = []
    for d in depths:
        bits = max((d - 1).bit_length(), 1)
        instances.append(
            f"""ext_ram #(.WIDTH(16), .DEPTH({d})) I_m (.clk, .write, .write_at(write_at[{bits - 1}:0]), .write_data,
            .read_at(read_at[{bits - 1}:0]), .read_data(OUT[15:0])); assign OUT[63:16] = 0;"""
        )
    instances.append(
        f"""ext_rom #(.WIDTH(16), .DEPTH(64), .FILE("{tmp_path / 'words.hex'}")) I_m (.clk, .read_at,
        .read_data(OUT[15:0])); assign OUT[63:16] = 0;"""
    )
    n = 2000
    module = top(instances, {'write': 1, 'write_at': 6, 'write_data': 16, 'read_at': 6})
    for i, depth in enumerate(depths):
        write = rng.random(n) < 0.5
        write[:depth] = True
        write_at = np.append(np.arange(depth), rng.integers(0, depth, n - depth))
        data, read_at = rng.integers(0, 1 << 16, n), rng.integers(0, depth, n)
        found = module(write=write, write_at=write_at, write_data=data, read_at=read_at)
        memory, want = np.zeros(depth, np.int64), []
        for cycle in range(n - 2):
            want.append(memory[read_at[cycle]])
            if write[cycle]:
                memory[write_at[cycle]] = data[cycle]
        assert (found[f'out{i}'][2:][depth:] == want[depth:]).all(), depth
        assert (found[f'out{len(depths)}'][2:] == words[read_at[:-2]]).all()
