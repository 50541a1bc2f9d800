"""Maximum and average pooling, local and global."""

import itertools

import keras
import pytest
from exactness import ExactnessTest, branches, convert
from qkeras import QActivation, QAveragePooling2D, QGlobalAveragePooling2D

import hls4ml_ext

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
