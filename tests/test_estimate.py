"""Estimates: cycles as the kernels and counted ones, sums, verdicts, and what is not known."""

import json

import keras
import numpy as np
import pytest
from exactness import INPUT, convert, images, randomize
from qkeras import QActivation, QConv2D
from test_tune import network, separable
from typer.testing import CliRunner

import hls4ml_ext
from hls4ml_ext.devices import device_names, device_of_part, load_device
from hls4ml_ext.errors import ExtError
from hls4ml_ext.estimation import layer_cost
from hls4ml_ext.layers.core.node import ExactLayer
from hls4ml_ext.registry import rtl_kernel_of

RESOURCES = ('LUT', 'FF', 'DSP', 'BRAM_18K', 'URAM')


@pytest.fixture(scope='module')
def model():
    return network()


@pytest.fixture(scope='module')
def rtl(model, tmp_path_factory):
    return convert(model, tmp_path_factory.mktemp('estimate') / 'p', backend='RTL', reuse=4)


def test_cycles_are_those_of_the_kernels(rtl):
    found = hls4ml_ext.estimate(rtl)
    nodes = {node.layer_name or node.name: node for node in rtl.get_layers() if isinstance(node, ExactLayer)}
    outer = {layer.name: layer for layer in found.layers if not layer.block}
    assert outer.keys() == nodes.keys()
    for name, layer in outer.items():
        assert layer.cycles == rtl_kernel_of(nodes[name]).interval(nodes[name]) and 0 < layer.busy <= 1
    assert found.max_cycles == max(layer.cycles for layer in outer.values())
    assert outer[found.max_cycles_node_name].cycles == found.max_cycles
    assert found.estimated_throughput_fps == 1e9 / (found.max_cycles * 5)
    inner = [layer for layer in found.layers if layer.block == 'ode']
    assert {layer.name for layer in inner} >= {'ode.dw', 'ode.pw'}


def test_counted_cycles(tmp_path):
    """Of a network without blocks the latency is exact, too."""
    keras_model = separable()
    hls_model = convert(keras_model, tmp_path / 'p', backend='RTL', reuse=4)
    found = hls4ml_ext.estimate(hls_model)
    hls4ml_ext.compile(hls_model)
    counted = hls4ml_ext.measure_cycles(hls_model, images((6, 6, 4), 1)[:4])
    assert (found.max_cycles, found.estimated_latency_cycles) == (counted.interval, counted.latency)


@pytest.mark.slow
def test_counted_cycles_of_blocks(model, rtl):
    hls4ml_ext.compile(rtl)
    found, counted = hls4ml_ext.estimate(rtl), hls4ml_ext.measure_cycles(rtl, images((8, 8, 3), 1)[:4])
    assert found.max_cycles == counted.interval
    assert found.estimated_latency_cycles == pytest.approx(counted.latency, rel=0.02)  # an estimate: docs/estimate.md


def test_totals_and_shares(rtl):
    found = hls4ml_ext.estimate(rtl, 'zcu104', 4)
    for name in RESOURCES:
        assert getattr(found, name) == round(sum(getattr(layer, name) for layer in found.layers))
    assert found.shares['LUT'] == found.LUT / 230400 and found.clock_period == 4
    assert found.fits and found.limiting_resource == max(found.shares, key=found.shares.get)
    assert found.macs == sum(layer.macs for layer in found.layers) > 0
    assert 0 < found.efficiency <= 1
    conv = rtl.graph['stem']
    assert layer_cost(conv, 'xcup').LUT == next(layer.LUT for layer in found.layers if layer.name == 'stem')


def test_json(rtl):
    found = hls4ml_ext.estimate(rtl)
    written = json.loads(json.dumps(found.to_dict()))
    assert written['max_cycles'] == found.max_cycles and written['fits'] is True
    assert len(written['layers']) == len(found.layers) and written['layers'][0]['name'] == found.layers[0].name


def test_what_does_not_fit(tmp_path):
    x = inputs = keras.Input((8, 8, 96), name='image')
    x = QConv2D(96, 3, padding='same', kernel_quantizer='quantized_bits(4,0,alpha=1)', use_bias=False, name='c')(
        QActivation(INPUT, name='q')(x)
    )
    hls_model = convert(randomize(keras.Model(inputs, x)), tmp_path / 'p', backend='RTL', reuse=32)
    small, large = hls4ml_ext.estimate(hls_model, 'pynq-z2'), hls4ml_ext.estimate(hls_model, 'zcu102')
    assert not small.fits and small.shares['LUT'] > 1 and small.limiting_resource == 'LUT'
    assert large.fits and small.max_cycles == large.max_cycles


def test_hls_back_ends(model, tmp_path):
    """LUTs and registers of C++ are not known, and nobody says so by a number."""
    hls_model = convert(model, tmp_path / 'p', reuse=4)
    found = hls4ml_ext.estimate(hls_model)
    assert found.LUT is None and found.FF is None and found.backend == 'Vitis' and found.known_error is None
    assert 'LUT' not in found.shares and found.max_cycles > 0 and found.DSP == sum(layer.DSP for layer in found.layers)
    from rich.console import Console

    console = Console(record=True, width=100, file=open('/dev/null', 'w'))
    console.print(found.table())
    assert 'not known: the model of their cost' in console.export_text()


def test_devices():
    assert device_names() == ['kv260', 'pynq-z2', 'ulx3s-85f', 'zcu102', 'zcu104']
    assert load_device('ulx3s') == load_device('ULX3S-85F')
    for name in device_names():
        assert device_of_part(load_device(name).part) == load_device(name)
    assert device_of_part('xc7z020clg484-1').board == 'PYNQ-Z2' and device_of_part('xc7z010clg400-1') is None


def test_refused(rtl):
    with pytest.raises(ExtError, match="device 'zcu999' is not one of kv260"):
        hls4ml_ext.estimate(rtl, 'zcu999')
    with pytest.raises(ExtError, match='a ndarray was given'):
        hls4ml_ext.estimate(np.zeros(3))


def test_command(tmp_path, monkeypatch):
    from hls4ml_ext.cli import app

    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke(app, ['estimate', 'digits_rtl', '--device', 'zcu104', '--json', 'estimate.json'])
    assert run.exit_code == 0, run.output
    assert 'limits speed' in run.output and 'of the ZCU104' in run.output
    written = json.loads((tmp_path / 'estimate.json').read_text())
    assert written['max_cycles'] == 9728 and written['device'] == 'ZCU104'
