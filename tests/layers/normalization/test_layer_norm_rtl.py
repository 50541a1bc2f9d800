"""Layer normalization in SystemVerilog."""

import numpy as np
import pytest
from exactness import INPUT
from qkeras import QActivation
from rtl import RTLTest, assert_cycles, assert_rtl_exact, compiled, inputs_of, separate

from hls4ml_ext import QLayerNormalization
from hls4ml_ext.layers.normalization.node import ExactLayerNorm

NORM = 'quantized_bits(8,3,alpha=1)'
OUTPUT = 'quantized_bits(7,2,alpha=1)'
WIDE = 'quantized_bits(12,3,alpha=1)'


class TestQuantizers(RTLTest):
    models = {
        'inputs': lambda: separate(
            (4, 3, 6),
            {
                'signed': QLayerNormalization(NORM),
                'symmetric': QLayerNormalization('quantized_bits(8,3,1,alpha=1)'),
                'unsigned': QLayerNormalization('quantized_relu(8,2)'),
                'narrower': [QActivation('quantized_relu(7,3)'), QLayerNormalization(NORM)],
                'coarse': QLayerNormalization('quantized_bits(4,6,alpha=1)'),
            },
            WIDE,
        ),
        'norms': lambda: separate(
            (4, 3, 6),
            {
                'saturating': QLayerNormalization(norm_quantizer='quantized_bits(6,0,alpha=1)'),
                'symmetric': QLayerNormalization(norm_quantizer='quantized_bits(5,1,1,alpha=1)'),
                'fine': QLayerNormalization(norm_quantizer='quantized_bits(14,3,alpha=1)'),
                'tiny_epsilon': QLayerNormalization(epsilon=1e-12),
            },
            WIDE,
        ),
        'affine': lambda: separate(
            (4, 3, 6),
            {
                'no_gamma': QLayerNormalization(scale=False),
                'no_beta': QLayerNormalization(center=False),
                'neither': QLayerNormalization(scale=False, center=False),
                'binary': QLayerNormalization(
                    gamma_quantizer='binary(alpha=1)', beta_quantizer='quantized_bits(4,-3,alpha=1)'
                ),
                'rounded': QLayerNormalization(output_quantizer=OUTPUT),
                'relu': QLayerNormalization(output_quantizer='quantized_relu(6,2)'),
            },
            WIDE,
        ),
    }
    foldings = (3,)
    quantizer = WIDE
    cycles = False


FOLDINGS = [(1, 1), (5, 5), (6, 1), (6, 2), (6, 6), (48, 4)]


def test_foldings(tmp_path):
    """All at once, each with its own input; those whose beats are whole pixels have no repack around them to wait for."""
    names = {f'ln{c}_{simd}': (c, simd) for c, simd in FOLDINGS}
    layers = {name: QLayerNormalization(NORM, output_quantizer=OUTPUT, name=name) for name in names}
    model = separate({name: (3, 4, c) for name, (c, _) in names.items()}, layers, NORM)
    config = {'LayerName': {name: {'SIMD': simd} for name, (_, simd) in names.items()}}
    hls_model = compiled(model, tmp_path / 'project', hls_config=config)
    x = inputs_of(model, 1, NORM)
    assert_rtl_exact(model, hls_model, x)
    assert_cycles(hls_model, x, of=ExactLayerNorm)


@pytest.mark.parametrize('source', [NORM, 'quantized_relu(8,2)'])
def test_largest_arithmetic(source, tmp_path):
    """256 channels of 8 bits, a channel against all others, and constant pixels."""
    layers = {'ln': QLayerNormalization(source, norm_quantizer='quantized_bits(12,4,alpha=1)', name='ln')}
    model = separate((1, 1, 256), layers, source)
    lsb, lo, hi = (2.0**-6, 0, 255) if 'relu' in source else (2.0**-4, -128, 127)
    rng = np.random.default_rng(0)
    pixels = [rng.choice([lo, hi], 256, p=[p, 1 - p]) for p in (0, 1, 0.5, 0.1) for _ in range(5)]
    pixels += [np.where(np.arange(256) == i, a, b) for i in (0, 255) for a, b in ((lo, hi), (hi, lo), (1, 0))]
    pixels += [rng.integers(lo, hi + 1, 256) for _ in range(5)]
    x = np.array(pixels).reshape(-1, 1, 1, 256) * lsb
    hls_model = compiled(model, tmp_path / 'project', 64)
    assert_rtl_exact(model, hls_model, [x.astype(np.float32)])


def test_type_of_normalized_values(tmp_path):
    """It is kept as C++."""
    from rtl import convert_to_rtl

    layer = QLayerNormalization(norm_quantizer='quantized_bits(5,1,1,alpha=1)', name='ln')
    (normal,) = [
        n.normal_type for n in convert_to_rtl(separate((2, 2, 4), {'ln': layer}, INPUT), tmp_path / 'p').get_layers()
        if isinstance(n, ExactLayerNorm)
    ]  # fmt: skip
    assert (normal.width, normal.integer, normal.signed) == (5, 2, True)
    assert (normal.rounding, normal.saturation) == ('RND_CONV', 'SAT_SYM')
