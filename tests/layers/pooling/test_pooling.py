"""Maximum and average pooling, local and global."""

import itertools

import keras
import numpy as np
import pytest
from exactness import INPUT, ExactnessTest, assert_exact, branches, convert, images
from qkeras import QActivation, QAveragePooling2D, QGlobalAveragePooling2D

import hls4ml_ext
from hls4ml_ext.layers.core.schedule import process_of

MAX_SIZES = (1, 2, 3, (1, 2), (3, 2))
MAX_STRIDES = (None, 1, 2, 3, (2, 1))


def max_poolings(shape):
    layers = {}
    for size, strides, padding in itertools.product(MAX_SIZES, MAX_STRIDES, ('same', 'valid')):
        height, width = (size, size) if isinstance(size, int) else size
        if padding == 'same' or (height <= shape[0] and width <= shape[1]):
            name = f'max{len(layers)}'
            layers[name] = keras.layers.MaxPooling2D(size, strides, padding, name=name)
    layers['global_max'] = keras.layers.GlobalMaxPooling2D(name='global_max')
    layers['global_max_dims'] = keras.layers.GlobalMaxPooling2D(keepdims=True, name='global_max_dims')
    return branches(shape, layers)


class TestMaxPooling(ExactnessTest):
    models = {f'{h}x{w}': lambda h=h, w=w: max_poolings((h, w, 3)) for h, w in ((7, 8), (1, 1), (5, 1))}
    io_types = ('io_stream',)


class TestMaxPoolingInParallel(ExactnessTest):
    models = {'4x5': lambda: max_poolings((4, 5, 2))}
    io_types = ('io_parallel',)
    hardware_integers = True


def average_poolings():
    layers = {}
    for i, (size, strides) in enumerate(itertools.product((1, 2, (1, 2), (4, 2), 4), (None, 1, 3))):
        layers[f'average{i}'] = keras.layers.AveragePooling2D(size, strides, name=f'average{i}')
    for i, (size, strides) in enumerate(itertools.product((2, 3, (1, 3), (5, 3)), (None, 2))):
        layers[f'quantized{i}'] = QAveragePooling2D(
            size, strides, average_quantizer='quantized_bits(8,-1,alpha=1)', name=f'quantized{i}'
        )
    layers['same'] = keras.layers.AveragePooling2D(2, padding='same', name='same')
    layers['rounded'] = [
        QAveragePooling2D(3, average_quantizer='quantized_bits(6,-2,alpha=1)', name='r'),
        QActivation('quantized_bits(6,0,alpha=1)', name='rounded'),
    ]
    layers['argument'] = QAveragePooling2D(
        2, average_quantizer='quantized_bits(4,0,alpha=1)', activation='quantized_relu(4,0)', name='argument'
    )
    return branches((8, 6, 3), layers)


def global_average_poolings(shape):
    layers = {
        'narrow': QGlobalAveragePooling2D(average_quantizer='quantized_bits(8,-2,alpha=1)', name='narrow'),
        'wide': QGlobalAveragePooling2D(average_quantizer='quantized_bits(12,0,alpha=1)', name='wide'),
        'unsigned': QGlobalAveragePooling2D(
            average_quantizer='quantized_bits(8,-3,keep_negative=False,alpha=1)', name='unsigned'
        ),
        'rounded': QGlobalAveragePooling2D(
            average_quantizer='quantized_bits(9,-3,alpha=1)', activation='quantized_bits(5,-1,alpha=1)', name='rounded'
        ),
    }
    if shape[0] * shape[1] in (1, 2, 4, 8, 16, 32, 64):
        layers['exact'] = keras.layers.GlobalAveragePooling2D(name='exact')
        layers['dims'] = keras.layers.GlobalAveragePooling2D(keepdims=True, name='dims')
    return branches(shape, layers)


class TestAveragePooling(ExactnessTest):
    models = {
        'local': average_poolings,
        'global-8x4': lambda: global_average_poolings((8, 4, 3)),
        'global-5x7': lambda: global_average_poolings((5, 7, 2)),
        'global-2x3': lambda: global_average_poolings((2, 3, 1)),
    }
    hardware_integers = True


# ---------------------------------------------------------------------------------------------------------------------
# Lanes of global pooling
# ---------------------------------------------------------------------------------------------------------------------


def behind(simd, pool, name):
    """A global pooling behind a layer of so many lanes, which it takes over."""
    norm = hls4ml_ext.QLayerNormalization(INPUT, name=f'{name}_norm')
    return [norm, QActivation('quantized_bits(8,3,alpha=1)', name=f'{name}_q'), pool]


def on_lanes(shape, lanes):
    """Average and maximum of an image, on beats of each of the lanes, and the settings for them."""
    layers, config = {}, {}
    for n in lanes:
        average = QGlobalAveragePooling2D(average_quantizer='quantized_bits(8,-2,alpha=1)', name=f'average{n}')
        layers[f'average{n}'] = behind(n, average, f'average{n}')
        layers[f'max{n}'] = behind(n, keras.layers.GlobalMaxPooling2D(keepdims=True, name=f'max{n}'), f'max{n}')
        config |= {f'{op}{n}_norm': {'SIMD': n} for op in ('average', 'max')}
    return branches(shape, layers), {'LayerName': config}


@pytest.mark.parametrize('io_type', ['io_stream', 'io_parallel'])
@pytest.mark.parametrize(
    ('shape', 'lanes'), [((3, 5, 12), (1, 2, 3, 4, 6, 12)), ((1, 1, 15), (5, 3)), ((3, 2, 7), (1, 7)), ((2, 2, 66), (1, 2))]
)
def test_global_pooling_on_any_number_of_lanes(shape, lanes, io_type, tmp_path):
    model, config = on_lanes(shape, lanes)
    hls_model = convert(model, tmp_path / 'p', io_type, hls_config=config)
    n_pixels, n_chan = shape[0] * shape[1], shape[2]
    for n in lanes:
        for op in ('average', 'max'):
            node = hls_model.graph[f'{op}{n}']
            assert (node.lanes_in(), node.lanes_out, node.n_beats) == (n, n, n_chan // n)
            assert node.cycles == process_of(node).cycles == (n_pixels + 1) * n_chan // n
            assert (node.last_input_of() == np.full(n_chan // n, n_pixels * n_chan // n - 1)).all()
            assert node.multipliers == (n if op == 'average' else 0)
            (sums,) = node.memories
            assert (sums.words, sums.lanes, sums.width) == (n_chan // n, n, node.get_attr('sum_width'))
            assert sums.impl == {1: 'registers', 66: 'bram'}.get(n_chan // n, 'lutram')
    assert_exact(model, hls_model, images(shape, 4), hardware_integers=True)


def test_widths_of_the_product_of_an_average(tmp_path):
    """A sum of 15 numbers of 8 bits has 12; the quantizer rounds 1/15 to 34/512, which is 17/256."""
    model, config = on_lanes((3, 5, 12), (4,))
    (products,) = convert(model, tmp_path / 'p', hls_config=config).graph['average4'].products
    assert (products.count, products.widths) == (4, (12, 5))


def test_a_power_of_two_needs_no_multiplier(tmp_path):
    model = branches((4, 8, 6), {'pool': keras.layers.GlobalAveragePooling2D(name='pool')})
    hls_model = convert(model, tmp_path / 'p')
    assert hls_model.graph['pool'].products == []
    assert hls_model.graph['pool'].multipliers == 0


# ---------------------------------------------------------------------------------------------------------------------
# Refusals
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('layer', 'problem'),
    [
        (lambda: keras.layers.AveragePooling2D(3, name='pool'), 'the average of 9 elements is not a fixed-point number'),
        (lambda: keras.layers.GlobalAveragePooling2D(name='pool'), 'the average of 35 elements is not a fixed-point number'),
        (lambda: keras.layers.AveragePooling2D(2, padding='same', name='pool'), 'windows at the border'),
        (
            lambda: QAveragePooling2D(2, padding='same', average_quantizer='quantized_bits(8,0,alpha=1)', name='pool'),
            'windows at the border',
        ),
        (lambda: QGlobalAveragePooling2D(name='pool'), 'the average of 35 elements'),
        (  # 1/35 rounds to 0
            lambda: QGlobalAveragePooling2D(average_quantizer='quantized_bits(3,0,alpha=1)', name='pool'),
            'the average of 35 elements',
        ),
        (lambda: keras.layers.MaxPooling2D(2, data_format='channels_first', name='pool'), "data_format is 'channels_first'"),
        (lambda: keras.layers.GlobalMaxPooling2D(data_format='channels_first', name='pool'), 'channels_first'),
    ],
)
def test_refusals(layer, problem, tmp_path):
    model = branches((5, 7, 4), {'pool': layer()})
    with pytest.raises(hls4ml_ext.ConversionError, match=f"layer 'pool': .*{problem}"):
        convert(model, tmp_path / 'p')


def test_sum_of_a_quantized_average_is_too_wide(tmp_path):
    """Keras multiplies by the pool area before it averages: more bits than the sum has."""
    pool = QAveragePooling2D(7, average_quantizer='quantized_bits(8,-4,alpha=1)', name='pool')
    model = branches((7, 7, 1), {'pool': pool}, 'quantized_bits(16,0,alpha=1)')
    with pytest.raises(hls4ml_ext.PrecisionError, match="layer 'pool': .*bits in the worst case"):
        convert(model, tmp_path / 'p')
