"""Tuning: the target is kept, nothing is cheaper, the bound holds, and what is impossible is said to be so."""

import itertools

import keras
import pytest
import yaml
from exactness import INPUT, convert, randomize
from qkeras import QActivation, QConv2D, QDepthwiseConv2D
from typer.testing import CliRunner

import hls4ml_ext
from hls4ml_ext.devices import RESOURCES, load_device
from hls4ml_ext.errors import ExtError
from hls4ml_ext.settings import Hardware
from hls4ml_ext.tuning import pareto
from hls4ml_ext.tuning.problem import share_sum

W, A = 'quantized_bits(4,0,alpha=1)', 'quantized_bits(8,1,alpha=1)'


def separable(channels=4):
    """A depthwise and a pointwise convolution: few enough foldings to try them all."""
    x = inputs = keras.Input((6, 6, channels), name='image')
    x = QActivation(INPUT, name='q')(x)
    x = QDepthwiseConv2D(3, padding='same', depthwise_quantizer=W, use_bias=False, name='d')(x)
    x = QConv2D(channels, 1, kernel_quantizer=W, use_bias=False, name='p')(QActivation(A, name='a')(x))
    return randomize(keras.Model(inputs, QActivation(A, name='b')(x)))


def network():
    """Residual, with an ODE block and attention."""
    x = inputs = keras.Input((8, 8, 3), name='image')
    x = QActivation(INPUT, name='q')(x)
    x = QActivation(A, name='sa')(QConv2D(8, 3, padding='same', kernel_quantizer=W, use_bias=False, name='stem')(x))
    dynamics = [
        QDepthwiseConv2D(3, padding='same', depthwise_quantizer=W, use_bias=False, name='dw'),
        QActivation(A, name='dwa'),
        QConv2D(8, 1, kernel_quantizer=W, use_bias=False, name='pw'),
        QActivation(A, name='slope'),
    ]
    x = hls4ml_ext.ODEBlock(dynamics, 2, state_quantizer='quantized_bits(12,3,alpha=1)', name='ode')(x)
    x = QActivation(A, name='da')(QConv2D(8, 1, 2, kernel_quantizer=W, use_bias=False, name='down')(x))
    y = hls4ml_ext.MultiHeadSelfAttention2D(2, 4, kernel_quantizer=W, use_bias=False, output_quantizer=A, name='mhsa')(x)
    return randomize(keras.Model(inputs, keras.layers.Add(name='add')([x, y])))


@pytest.fixture(scope='module')
def model():
    return network()


AVAILABLE = {'LUT': 230400, 'FF': 460800, 'DSP': 1728, 'BRAM_18K': 624, 'URAM': 96}


def test_nothing_is_cheaper(tmp_path):
    """Of all foldings and multipliers of two layers."""
    keras_model, interval = separable(), 40 * 9
    found = hls4ml_ext.tune(keras_model, target_fps=1e9 / (interval * 5))
    first = convert(keras_model, tmp_path / 'p', backend='RTL')
    choices = [
        [
            {'SIMD': f.simd, 'PE': f.pe, 'MultImpl': impl}
            for f in first.graph[name].possible_foldings()
            for impl in ('lut', 'dsp')
        ]
        for name in ('d', 'p')
    ]
    costs, slow = [], 0
    for d, p in itertools.product(*choices):
        hls_model = convert(
            keras_model, tmp_path / 'p', backend='RTL', hls_config={'Model': {}, 'LayerName': {'d': d, 'p': p}}
        )
        other = hls4ml_ext.estimate(hls_model)
        if other.max_cycles <= interval:
            costs.append(share_sum(other, AVAILABLE))
        else:
            slow += 1
    assert len(costs) > 20 and slow > 20
    assert found.value <= min(costs) * 1.02  # the solver's own gap, and what it doesn't see of FIFOs
    assert found.bound <= min(costs)


@pytest.mark.parametrize(
    'target', [{'target_fps': 20_000}, {'target_fps': 300_000}, {'max_latency_ms': 0.05}, {'fit': True}]
)
def test_what_was_asked_for(target, model, tmp_path):
    found = hls4ml_ext.tune(model, **target)
    estimate = found.estimate
    assert estimate.estimated_throughput_fps >= target.get('target_fps', 0)
    assert estimate.estimated_latency_ns / 1e6 <= target.get('max_latency_ms', 1e9)
    assert all(estimate.shares.get(name, 0) <= 0.7 for name in RESOURCES)
    assert 0 < found.bound <= found.value and 0 <= found.distance
    assert found.seconds > 0
    again = convert(model, tmp_path / 'p', backend='RTL', hls_config=found.hls_config)
    assert hls4ml_ext.estimate(again) == estimate


def test_faster_costs_more(model):
    slow, fast = (hls4ml_ext.tune(model, target_fps=fps) for fps in (10_000, 200_000))
    assert slow.value < fast.value and slow.estimate.LUT < fast.estimate.LUT
    assert slow.estimate.max_cycles > fast.estimate.max_cycles


def test_a_section_of_a_project(model):
    found = hls4ml_ext.tune(model, 'kv260', 4, target_fps=50_000)
    section = yaml.safe_load(found.yaml())['hls']
    assert section == found.hls_section()
    hardware = Hardware.model_validate(section)
    assert hardware.hls_config()['LayerName'] == found.hls_config['LayerName']
    assert (hardware.backend, hardware.part, hardware.clock_period) == ('RTL', 'xck26-sfvc784-2lv-c', 4)


def test_settings_that_stay(model):
    kept = {'stem': {'SIMD': 9, 'PE': 2}, 'ode.pw': {'MultImpl': 'dsp'}}
    found = hls4ml_ext.tune(model, target_fps=20_000, keep=kept)
    layers = found.hls_config['LayerName']
    assert (layers['stem']['SIMD'], layers['stem']['PE'], layers['ode.pw']['MultImpl']) == (9, 2, 'dsp')
    free = hls4ml_ext.tune(model, target_fps=20_000)
    assert free.value <= found.value


def test_no_ultraram(model):
    """A state that would go to UltraRAM goes to block RAM on a device that has none."""
    assert not load_device('zcu102').uram
    found = hls4ml_ext.tune(model, 'zcu102', target_fps=20_000)
    assert found.estimate.URAM == 0 and found.hls_config['LayerName']['ode']['StateStorage'] == 'bram'


def test_a_sweep(model):
    points = pareto(model, points=4)
    speeds = [p.estimate.estimated_throughput_fps for p in points]
    costs = [share_sum(p.estimate, AVAILABLE) for p in points]
    assert len(points) == 4
    assert speeds == sorted(speeds, reverse=True) and costs == sorted(costs, reverse=True)


@pytest.mark.parametrize(
    'arguments, message',
    [
        ({}, 'one target is needed'),
        ({'target_fps': 10, 'fit': True}, 'one target is needed'),
        ({'target_fps': 0}, 'target_fps is 0. Use a positive number'),
        ({'fit': True, 'share': 1.5}, 'share is 1.5. Use a number above 0'),
        ({'fit': True, 'device': 'zcu999'}, "device 'zcu999' is not one of"),
        ({'target_fps': 1e7}, "layer '.*' can't do an image in 20 cycles. The fastest network that fits does"),
        ({'target_fps': 300_000, 'share': 0.01}, 'do not fit in 1% of the ZCU104. The fastest network that fits does'),
        ({'fit': True, 'share': 0.001}, 'the network does not fit in 0% of the ZCU104: folded as far as it goes it takes'),
        ({'max_latency_ms': 0.0005}, 'a latency of 0.0005 ms is not possible in 70% of the ZCU104: the fastest'),
    ],
)
def test_impossible(arguments, message, model):
    with pytest.raises(ExtError, match=message):
        hls4ml_ext.tune(model, **arguments)


def test_command(tmp_path, monkeypatch):
    from hls4ml_ext.cli import app

    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke(
        app, ['tune', 'digits_rtl', '--device', 'zcu104', '--target-fps', '10000', '--write', 'hls.yml']
    )
    assert run.exit_code == 0, run.output
    assert 'at most' in run.output and 'from the best' in run.output
    written = yaml.safe_load((tmp_path / 'hls.yml').read_text())
    assert set(written) == {'hls'} and written['hls']['layers']['ode1.pw1']['simd'] >= 1
    again = CliRunner().invoke(app, ['tune', 'digits_rtl', '--target-fps', '1', '--write', 'hls.yml'])
    assert again.exit_code == 2 and 'is there already' in again.output
