"""Pooling in SystemVerilog."""

import itertools

import keras
import pytest
from exactness import INPUT
from qkeras import QActivation, QAveragePooling2D, QConv2D, QGlobalAveragePooling2D
from rtl import RTLTest, assert_rtl_exact, compiled, inputs_of, separate

import hls4ml_ext

MAX, AVERAGE = keras.layers.MaxPooling2D, keras.layers.AveragePooling2D
GLOBAL_MAX, GLOBAL_AVERAGE = keras.layers.GlobalMaxPooling2D, keras.layers.GlobalAveragePooling2D
NARROW = 'quantized_bits(8,-2,alpha=1)'
UNSIGNED = 'quantized_relu(6,2)'


def average(size, strides=None, quantizer=NARROW, **kwargs):
    return QAveragePooling2D(size, strides, average_quantizer=quantizer, **kwargs)


def global_average(quantizer=NARROW, **kwargs):
    return QGlobalAveragePooling2D(average_quantizer=quantizer, **kwargs)


def max_poolings(shape, sizes, strides, paddings=('same', 'valid'), quantizer=INPUT):
    cases = itertools.product(sizes, strides, paddings)
    return separate(shape, {f'max{i}': MAX(*case, name=f'max{i}') for i, case in enumerate(cases)}, quantizer)


class TestMaxPooling(RTLTest):
    models = {
        'squares': lambda: max_poolings((7, 8, 2), (2, 3), (1, 2, 3)),
        'rows_and_columns': lambda: max_poolings((7, 8, 2), ((1, 2), (3, 1)), (1, (3, 2), (1, 3)), ('valid',)),
        'narrow': lambda: max_poolings((7, 1, 1), ((2, 1), (1, 3)), ((2, 3), (3, 2)), ('same',)),  # the ring has no room
        'pixels': lambda: max_poolings((7, 8, 2), (1,), (1, 2, 3, (2, 1))),
    }
    foldings = (1,)


class TestMaxPoolingOfUnsigned(RTLTest):
    models = {'5x3': lambda: max_poolings((5, 3, 3), (2, (1, 3)), (1, (3, 2)), ('same',), UNSIGNED)}
    foldings = (1,)
    quantizer = UNSIGNED


class TestAveragePooling(RTLTest):
    models = {
        'local': lambda: separate(
            (6, 6, 3),
            {
                'exact': AVERAGE(2), 'one': AVERAGE(1, 3), 'wide': average(3, 1), 'rows': average((1, 3)),
                'rounded': [average(3), QActivation('quantized_bits(4,-2,alpha=1)')],
                'relu': average(2, quantizer='quantized_bits(4,0,alpha=1)', activation='quantized_relu(4,0)'),
            },
        ),
        'global': lambda: separate(
            {'max': (4, 5, 3), 'wide': (4, 5, 3), 'rounded': (5, 7, 2), 'exact': (4, 2, 5), 'pixel': (1, 1, 4)},
            {
                'max': GLOBAL_MAX(keepdims=True), 'wide': global_average(),
                'rounded': global_average(activation='quantized_bits(5,-1,alpha=1)'), 'exact': GLOBAL_AVERAGE(),
                'pixel': GLOBAL_MAX(),
            },
        ),
    }  # fmt: skip
    foldings = (1,)


@pytest.mark.parametrize('lanes', [1, 2, 3])
def test_lanes(lanes, tmp_path):
    """Behind a layer of so many lanes, which it takes over where another layer leaves it the time."""
    pools = {'max': MAX(2, name='max'), 'global_max': GLOBAL_MAX(name='global_max')}
    pools['global_average'] = global_average(name='global_average')
    layers = {}
    for name, pool in pools.items():
        norm = hls4ml_ext.QLayerNormalization(INPUT, output_quantizer='quantized_bits(8,3,alpha=1)', name=f'{name}_norm')
        layers[name] = [norm, pool]
    slow = QConv2D(6, 3, padding='same', kernel_quantizer='quantized_bits(4,0,alpha=1)', use_bias=False, name='slow')
    model = separate((3, 5, 6), {**layers, 'slow': slow})
    config = {'LayerName': {f'{name}_norm': {'SIMD': lanes} for name in layers} | {'slow': {'SIMD': 1, 'PE': 1}}}
    hls_model = compiled(model, tmp_path / 'project', hls_config=config)
    assert all(hls_model.graph[name].lanes_out == lanes for name in layers)
    assert_rtl_exact(model, hls_model, inputs_of(model))
