"""The residual add."""

import keras
import pytest
from exactness import INPUT, ExactnessTest, branches, convert, randomize
from qkeras import QActivation, QConv2D

import hls4ml_ext

TYPES = {
    'same': INPUT,
    'coarse': 'quantized_bits(4,2,alpha=1)',
    'fine': 'quantized_bits(10,-1,alpha=1)',
    'unsigned': 'quantized_relu(6,2)',
    'symmetric': 'quantized_bits(5,0,1,alpha=1)',
    'wide': 'quantized_bits(14,3,alpha=1)',
    'single_bit': 'quantized_relu(1,1)',
}


def conv(name):
    return QConv2D(3, 1, kernel_quantizer='quantized_bits(5,1,alpha=1)', use_bias=False, name=name)


def adds():
    """The input plus a convolution of each type, with and without a quantizer behind."""

    def branch(name, quantizer):
        def build(x):
            y = QActivation(quantizer, name=f'{name}_q')(conv(f'{name}_c')(x))
            y = keras.layers.Add(name=f'{name}_add')([x, y] if name < 'm' else [y, x])
            return y if name in ('fine', 'wide') else QActivation('quantized_bits(6,1,alpha=1)', name=f'{name}_r')(y)

        return build

    return branches((3, 4, 3), {name: branch(name, q) for name, q in TYPES.items()})


def raw():
    """Adds of unrounded sums, of three tensors, of flat tensors."""

    def three(x):
        return keras.layers.Add(name='three')([x, conv('t1')(x), conv('t2')(x)])

    def flat(x):
        x = QActivation('quantized_bits(6,2,alpha=1)', name='f0')(keras.layers.GlobalMaxPooling2D(name='fg')(x))
        from qkeras import QDense

        y = QDense(3, kernel_quantizer='quantized_bits(5,1,alpha=1)', use_bias=False, name='fd')(x)
        return keras.layers.Add(name='flat')([x, y])

    return branches((3, 4, 3), {'three': three, 'flat': flat})


def chain():
    """Residual blocks in a row, each skip longer than the next."""
    x = inputs = keras.Input((6, 5, 4))
    x = QActivation(INPUT, name='q')(x)
    for i, size in enumerate((1, 3, 5)):
        y = QConv2D(4, size, padding='same', kernel_quantizer='quantized_bits(4,0,alpha=1)', use_bias=False, name=f'c{i}')(x)
        y = QActivation('quantized_bits(6,1,alpha=1)', name=f'a{i}')(y)
        x = keras.layers.Add(name=f'add{i}')([x, y])
        x = QActivation('quantized_relu(7,2)', name=f'r{i}')(x)
    return randomize(keras.Model(inputs, x))


class TestAdd(ExactnessTest):
    models = {'types': adds, 'raw': raw, 'chain': chain}
    hardware_integers = True


def test_broadcasting_is_refused(tmp_path):
    def build(x):
        return keras.layers.Add(name='add')([x, keras.layers.GlobalMaxPooling2D(keepdims=True, name='g')(x)])

    with pytest.raises(hls4ml_ext.ConversionError, match=r"'add': its inputs have shapes .* broadcasting"):
        convert(branches((3, 4, 3), {'a': build}), tmp_path / 'p')


def test_tensor_plus_itself_is_refused(tmp_path):
    model = branches((3, 4, 3), {'a': lambda x: keras.layers.Add(name='add')([x, x])})
    with pytest.raises(hls4ml_ext.ConversionError, match="'add': it adds a tensor to itself"):
        convert(model, tmp_path / 'p')


def test_tensor_plus_itself_behind_a_layer_without_hardware_is_refused(tmp_path):
    model = branches((3, 4, 3), {'a': lambda x: keras.layers.Add(name='add')([x, keras.layers.Dropout(0.1)(x)])})
    with pytest.raises(hls4ml_ext.ConversionError, match="'add': it adds a tensor to itself"):
        convert(model, tmp_path / 'p')
