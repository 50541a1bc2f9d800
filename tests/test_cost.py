"""What engines cost: rules against counts, the fit against its data, errors of what was not in the fit, and reports."""

import json

import pytest

from hls4ml_ext.cost import Resources, engine_cost, families, known_error
from hls4ml_ext.cost.calibration import (
    calibrate_to_reports,
    counts_in_report,
    make_fit,
    read_data,
    rules_broken,
    synthesize_engines,
)
from hls4ml_ext.cost.engine import fitted, forget
from hls4ml_ext.cost.fit import errors_of
from hls4ml_ext.devices import device_names, load_device
from hls4ml_ext.errors import ExtError
from hls4ml_ext.rtl.build import family_of


@pytest.fixture(scope='module')
def data():
    return read_data('xcup')


def test_all_devices_have_costs():
    assert {family_of(load_device(name).part) for name in device_names()} <= set(families())


def test_rules_of_memories_and_multipliers(data):
    """Block RAMs, UltraRAMs and DSPs are those of synthesis, but for few engines of the sweep, and none of the networks."""
    broken = [b for b in rules_broken(data['engines'], 'xcup') if ' LUTRAM, ' not in b]
    of_networks = [row for row in data['engines'] if row['source'] != 'sweep']
    assert len(data['engines']) > 300 and len(of_networks) > 100
    assert len(broken) <= 0.015 * len(data['engines']), '\n'.join(broken)
    assert not [b for b in rules_broken(of_networks, 'xcup') if ' LUTRAM, ' not in b]


def test_rules_of_the_ecp5():
    """Those of its memories hold, LUTs included, but for an ODE block that has slopes without coefficients."""
    rows = read_data('ecp5')['engines']
    broken = rules_broken(rows, 'ecp5')
    assert len(rows) > 150 and len(broken) <= 0.025 * len(rows), '\n'.join(broken)
    assert not [b for b in broken if ' DSP, ' not in b and not b.startswith('ext_ode_block')]


@pytest.mark.parametrize('family', ['xcup', 'ecp5'])
def test_the_fit_is_that_of_the_data(family):
    made, stored = make_fit(read_data(family), family), fitted(family)
    assert json.loads(json.dumps(made)) == stored


def test_errors_of_what_was_not_in_the_fit():
    found = known_error('xcup')
    for resource in ('LUT', 'FF'):
        assert found['engines'][resource]['median'] <= 0.05 and found['engines'][resource]['engines'] > 150
        assert found['engines'][resource]['worst'] <= 0.25 and found['large'][resource]['worst'] <= 0.2
        assert known_error('ecp5')['engines'][resource]['median'] <= 0.1
    assert known_error('ecp5')['engines']['FF']['worst'] <= 0.25
    assert found['networks'] and all(abs(e) <= 0.1 for of in found['networks'].values() for e in of.values())


def test_an_engine(tmp_path):
    """More products, wider ones, and products in DSPs."""
    (row,) = [r for r in read_data('xcup')['engines'] if r['module'] == 'ext_matvec' and r['source'] == 'cifar10_rtl'][:1]
    base = {**row['parameters'], 'SIMD': 8, 'PE': 4, 'FOLD_IN': 4, 'FOLD_OUT': 4, 'IMPL': 'lut', 'W_X': 8, 'W_W': 4}
    one = engine_cost('ext_matvec', base, 'xcup')
    double, wide = (engine_cost('ext_matvec', {**base, **more}, 'xcup') for more in ({'PE': 8}, {'W_W': 8}))
    dsp = engine_cost('ext_matvec', {**base, 'IMPL': 'dsp'}, 'xcup')
    assert 1.7 * one.LUT < double.LUT < 2.1 * one.LUT and wide.LUT > 1.3 * one.LUT
    assert (one.DSP, dsp.DSP) == (0, 16) and dsp.LUT < one.LUT  # two products share one
    assert sum([one, one], Resources()) == 2 * one and set(one.asdict()) == {
        'LUT',
        'LUTRAM',
        'FF',
        'DSP',
        'BRAM_18K',
        'URAM',
    }


def test_what_has_no_cost():
    with pytest.raises(ExtError, match="cost of the module 'ext_mine' is not known"):
        engine_cost('ext_mine', {}, 'xcup')
    with pytest.raises(ExtError, match="costs of the family 'versal' are not known; there are those of"):
        engine_cost('ext_fifo', {'WIDTH': 8}, 'versal')
    with pytest.raises(ExtError, match='depends on its parameter .WIDTH., which is missing'):
        engine_cost('ext_fifo', {}, 'xcup')


LONG_LINES = {
    'HEIGHT': 4, 'WIDTH': 80, 'GROUPS': 8, 'LANES': 1, 'W_X': 4, 'FILT_HEIGHT': 2, 'FILT_WIDTH': 2, 'STRIDE_HEIGHT': 1,
    'STRIDE_WIDTH': 1, 'PAD_TOP': 0, 'PAD_LEFT': 0, 'OUT_HEIGHT': 3, 'OUT_WIDTH': 79, 'BORDER': "4'h0", 'OVERLAP': True,
    'LINE_STYLE': 'distributed', 'COLUMN_STYLE': 'distributed',
}  # fmt: skip
"""Lines of 640 words, more than a RAM of LUTs has."""


WEIGHTS_IN_LUTS = {
    'SIMD': 4, 'PE': 2, 'FOLD_IN': 8, 'FOLD_OUT': 8, 'W_X': 8, 'X_SIGNED': True, 'W_W': 4, 'W_SIGNED': True,
    'PRODUCT_SHIFT': 0, 'W_B': 12, 'B_SIGNED': True, 'BIAS_SHIFT': 3, 'W_A': 15, 'W_Y': 8, 'Y_SIGNED': True, 'SHIFT': 5,
    'ROUNDING': 'RND_CONV', 'SATURATION': 'SAT', 'IMPL': 'lut', 'DEPTH': 4, 'WEIGHT_STYLE': 'distributed',
    'BIAS_STYLE': 'distributed', 'VECTOR_STYLE': 'distributed',
}  # fmt: skip
"""64 words of 32 bits: 32 LUTs, unless Yosys maps them together with the counter of their address."""


def test_engines_synthesized_here():
    """A few small ones, as the sweep is made."""
    engines = [
        ('ext_fifo', {'WIDTH': 24, 'DEPTH': 40}),
        ('ext_repack', {'FROM': 8, 'TO': 32, 'DEPTH': 2}),
        ('ext_window_subsample', {'HEIGHT': 8, 'WIDTH': 8, 'GROUPS': 4, 'STRIDE_HEIGHT': 2, 'STRIDE_WIDTH': 2, 'W': 32}),
        ('ext_window_parallel', LONG_LINES),
        ('ext_matvec', WEIGHTS_IN_LUTS),
    ]
    rows = synthesize_engines(engines, 'xcup')
    assert not rules_broken(rows, 'xcup')
    errors = errors_of(rows, 'xcup', fitted('xcup')['coefficients'])
    assert max(map(abs, errors['LUT'] + errors['FF'])) < 0.25, errors


REPORT = """
+----------------+------------+------------+------------+---------+------+------+--------+--------+------+------------+
|    Instance    |   Module   | Total LUTs | Logic LUTs | LUTRAMs | SRLs |  FFs | RAMB36 | RAMB18 | URAM | DSP Blocks |
+----------------+------------+------------+------------+---------+------+------+--------+--------+------+------------+
| top            |      (top) |       1000 |        900 |     100 |    0 | 1200 |      1 |      1 |    0 |          2 |
|   c            | ext_matvec |        {c} |        200 |      40 |    8 |  260 |      1 |      1 |    0 |          0 |
|   q            | ext_add    |        {q} |         30 |       0 |    8 |   60 |      0 |      0 |    0 |          0 |
+----------------+------------+------------+------------+---------+------+------+--------+--------+------+------------+
"""
"""As Vivado writes it, made by hand."""


def test_a_report_of_vivado(tmp_path, monkeypatch):
    import keras
    from exactness import INPUT, convert, randomize
    from qkeras import QActivation, QConv2D

    x = inputs = keras.Input((5, 5, 4), name='image')
    x = QConv2D(4, 1, kernel_quantizer='quantized_bits(4,0,alpha=1)', use_bias=False, name='c')(
        QActivation(INPUT, name='q')(x)
    )
    hls_model = convert(randomize(keras.Model(inputs, x)), tmp_path / 'p', backend='RTL', reuse=2)
    hls_model.write()
    filled = REPORT.replace('{c}', '248').replace('{q}', '38')
    counts = counts_in_report(filled)
    assert counts['c'] == {'LUT': 248, 'LUTRAM': 48, 'FF': 260, 'DSP': 0, 'URAM': 0, 'BRAM_18K': 3}
    node = hls_model.graph['c']
    before = hls4ml_ext_cost(node)
    text = REPORT.replace('{c}', str(round(2 * before))).replace('{q}', '38').replace(' c  ', f' {node.identifier}'.ljust(4))
    monkeypatch.setenv('HLS4ML_EXT_COSTS', str(tmp_path / 'costs'))
    made = calibrate_to_reports('xcup', [(text, tmp_path / 'p')])
    try:
        assert made['reports'] == 1
        assert hls4ml_ext_cost(node) == pytest.approx(2 * before, rel=0.25)
    finally:
        monkeypatch.undo()
        forget()
    assert hls4ml_ext_cost(node) == before
    with pytest.raises(ExtError, match='names no engine of the project'):
        calibrate_to_reports('xcup', [(filled.replace(' c ', ' x ').replace(' q ', ' z '), tmp_path / 'p')], tmp_path)
    with pytest.raises(ExtError, match='has no table'):
        counts_in_report('nothing')


def hls4ml_ext_cost(node) -> float:
    from hls4ml_ext.estimation import layer_cost

    return layer_cost(node, 'xcup').LUT
