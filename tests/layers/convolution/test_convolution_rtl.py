"""Convolutions in RTL."""

from functools import partial

import convolutions
import keras
import numpy as np
import pytest
from convolutions import BIAS, KERNEL, SIZES, STRIDES, conv, depthwise
from exactness import INPUT, randomize
from qkeras import QActivation, QDense
from rtl import (
    PRESSURES,
    RTLTest,
    assert_cycles,
    assert_rtl_exact,
    compiled,
    convert_to_rtl,
    inputs_of,
    separate,
)

geometries = partial(convolutions.geometries, assemble=separate)


class TestGeometry(RTLTest):
    models = {
        f'{shape[0]}x{shape[1]}-{part}': lambda shape=shape, part=part: geometries(SIZES, STRIDES, shape, conv, part, 6)
        for shape, part in zip(((7, 9, 2), (9, 6, 3), (7, 9, 2), (8, 8, 1), (5, 11, 2), (7, 7, 3)), range(6))
    }
    foldings = ('mixed',)


class TestTinyImages(RTLTest):
    """Images that are smaller than the kernel, a single pixel, row or column."""

    models = {
        f'{h}x{w}': lambda h=h, w=w: geometries((1, 3, 5, (1, 2)), (1, 2), (h, w, 2), conv)
        for h, w in ((1, 1), (1, 7), (6, 1), (2, 2))
    }
    foldings = ('mixed',)


class TestDepthwise(RTLTest):
    models = {
        '7x9': lambda: geometries((1, 3, 5, (3, 1), (2, 3)), (1, 2, 3), (7, 9, 4), depthwise, 0, 3),
        '6x5': lambda: geometries((1, 3, 5, (3, 1), (2, 3)), (1, 2, 3), (6, 5, 4), depthwise, 1, 3),
        'small': lambda: separate(
            {'pixel': (1, 1, 6), 'row': (1, 8, 3), 'column': (5, 1, 2)},
            {
                'pixel': depthwise('pixel', 3),
                'row': depthwise('row', 5, 3),
                'column': depthwise('column', (3, 1), 2, use_bias=False),
            },
        ),
    }
    foldings = ('mixed',)


def dense(name, units, kernel=KERNEL, bias=BIAS, **kwargs):
    return QDense(units, kernel_quantizer=kernel, bias_quantizer=bias, name=name, **kwargs)


class TestDense(RTLTest):
    """Vectors, and what a Flatten makes of an image."""

    models = {
        'dense': lambda: separate(
            {'vector': (12,), 'one': (1,), 'image': (3, 4, 2)},
            {
                'vector': dense('vector', 6),
                'one': dense('one', 1, use_bias=False),
                'image': [keras.layers.Flatten(name='flat'), dense('image', 4)],
            },
        )
    }


QUANTIZERS = {
    **{f'bits{b}': f'quantized_bits({b},0,alpha=1)' for b in (1, 2, 4, 8)},
    'integer2': 'quantized_bits(6,2,alpha=1)',
    'negative_integer': 'quantized_bits(5,-2,alpha=1)',
    'symmetric': 'quantized_bits(4,0,1,alpha=1)',
    'unsigned': 'quantized_bits(4,0,keep_negative=False,alpha=1)',
    'alpha_3': 'quantized_bits(4,0,alpha=3)',
    'auto_po2': "quantized_bits(4,0,1,alpha='auto_po2')",
    'binary': 'binary(alpha=1)',
    'ternary': 'ternary(alpha=1)',
    'po2': 'quantized_po2(4,1)',
}
RESULTS = {
    'raw': None,
    'bits8': 'quantized_bits(8,3,alpha=1)',
    'bits4_coarse': 'quantized_bits(4,3,alpha=1)',
    'bits16_fine': 'quantized_bits(16,4,alpha=1)',
    'bits3_saturating': 'quantized_bits(3,-1,alpha=1)',
    'result_symmetric': 'quantized_bits(5,1,1,alpha=1)',
    'result_unsigned': 'quantized_bits(5,1,keep_negative=False,alpha=1)',
    'huge_lsb': 'quantized_bits(3,5,alpha=1)',
    'relu6': 'quantized_relu(6,2)',
    'relu1': 'quantized_relu(1,1)',
}


class TestTypes(RTLTest):
    """Weights and results of every type; inputs at their extremes and on ties are among the images."""

    models = {
        'kernels': lambda: separate((3, 4, 2), {name: conv(name, 2, kernel=q, filters=2) for name, q in QUANTIZERS.items()}),
        'results': lambda: separate((3, 4, 2), {name: conv(name, 2, activation=q) for name, q in RESULTS.items()}),
    }
    foldings = ('mixed',)


@pytest.mark.parametrize(
    'quantizer',
    [
        'quantized_relu(8,0)',
        'quantized_bits(2,0,alpha=1)',
        'quantized_relu(1,0)',
        pytest.param('quantized_bits(12,3,1,alpha=1)', marks=pytest.mark.slow),
        pytest.param('quantized_bits(4,8,alpha=1)', marks=pytest.mark.slow),
    ],
)
def test_types_of_the_input(quantizer, tmp_path):
    layers = {'c': conv('c', 3), 'p': conv('p', 1, use_bias=False), 'd': depthwise('d', 3)}
    model = separate((5, 4, 2), layers, quantizer)
    hls_model = compiled(model, tmp_path / 'p', 'mixed')
    assert_rtl_exact(model, hls_model, inputs_of(model, 1, quantizer), PRESSURES[:2])


def test_worst_case_sums(tmp_path):
    """All inputs and all weights at their extremes: the sum reaches the end of its range and doesn't wrap."""
    model = separate((3, 3, 4), {name: conv(name, 3, padding='valid', filters=2) for name in ('high', 'low')})
    for name, value in (('high', -1.0), ('low', 15 / 16)):
        layer = model.get_layer(name)
        layer.kernel.assign(np.full(layer.kernel.shape, value))
        layer.bias.assign(np.full(layer.bias.shape, 4 * np.sign(-value)))
    hls_model = compiled(model, tmp_path / 'project')
    assert_rtl_exact(model, hls_model, inputs_of(model, 2))
    y = hls_model.run_batch([np.full((2, 3, 3, 4), -1, np.float32)] * 2)[0]
    assert (y == 36 + 3.96875).all()


class TestFoldings:
    """Every way to fold a layer: all SIMD and PE, windows in parallel and in series."""

    @pytest.mark.parametrize(
        ('make', 'stride'),
        [(conv, 2), (depthwise, 1), pytest.param(conv, 1, marks=pytest.mark.slow),
         pytest.param(depthwise, 2, marks=pytest.mark.slow)],
    )  # fmt: skip
    def test_rtl(self, make, stride, tmp_path):
        shape = (5, 6, 4)
        one = convert_to_rtl(separate(shape, {'l': make('l', 3, stride)}), tmp_path / 'one')
        possible = one.graph['l'].possible_foldings()
        layers = {f'fold{i}': make(f'fold{i}', 3, stride) for i in range(len(possible))}
        config = {'LayerName': {f'fold{i}': {'SIMD': f.simd, 'PE': f.pe} for i, f in enumerate(possible)}}
        model = separate(shape, layers)
        hls_model = compiled(model, tmp_path / 'project', hls_config=config)
        assert [hls_model.graph[f'fold{i}'].reuse for i in range(len(possible))] == [f.reuse for f in possible]
        x = inputs_of(model)
        assert_rtl_exact(model, hls_model, x, PRESSURES[:2])
        assert_cycles(hls_model, x)


@pytest.mark.slow
class TestManyGeometries(RTLTest):
    """All geometries, folded as far as possible, and not at all."""

    models = {
        f'{make.__name__}-{shape[0]}x{shape[1]}-{part}': lambda shape=shape, part=part, make=make: geometries(
            (1, 2, 3, 5, (3, 1), (2, 3)), (1, 2, 3), shape, make, part, 3
        )
        for make in (conv, depthwise)
        for shape in ((7, 9, 2), (4, 3, 4))
        for part in range(3)
    }
    foldings = (1, 'largest')
    pressures = PRESSURES[:2]


def test_one_engine_feeds_the_next(tmp_path):
    """Layers in a row, with other lanes between them: a network as a whole."""
    inputs = keras.Input((9, 8, 3), name='image')
    x = QActivation(INPUT, name='input_quantizer')(inputs)
    for i, (make, size, stride) in enumerate(((conv, 3, 1), (depthwise, 3, 2), (conv, 1, 1), (conv, (2, 3), 2))):
        kwargs = {'filters': 6 - i} if make is conv else {}
        x = QActivation('quantized_relu(6,2)', name=f'q{i}')(make(f'l{i}', size, stride, **kwargs)(x))
    x = dense('logits', 5)(keras.layers.Flatten(name='flat')(x))
    model = randomize(keras.Model(inputs, x))
    hls_model = compiled(model, tmp_path / 'p', 'mixed')
    assert_rtl_exact(model, hls_model, inputs_of(model, 2))
