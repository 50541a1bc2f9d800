"""Activation quantizers, and layers that do nothing at inference."""

import keras
import numpy as np
import pytest
from exactness import INPUT, ExactnessTest, assert_exact, branches, convert, images, randomize
from qkeras import QActivation, QConv2D, QDense

import hls4ml_ext

QUANTIZERS = (
    'quantized_bits(8,0,alpha=1)',
    'quantized_bits(4,0,alpha=1)',
    'quantized_bits(4,0,1,alpha=1)',
    'quantized_bits(3,1,alpha=1)',
    'quantized_bits(2,0,alpha=1)',
    'quantized_bits(2,-3,alpha=1)',
    'quantized_bits(16,2,alpha=1)',
    'quantized_bits(4,0,keep_negative=False,alpha=1)',
    'quantized_bits(1,0,keep_negative=False,alpha=1)',
    'quantized_bits(6,0)',
    'quantized_relu(8,0)',
    'quantized_relu(3,0)',
    'quantized_relu(1,0)',
    'quantized_relu(4,2)',
)


def conv(name, **kwargs):
    return QConv2D(3, 2, kernel_quantizer='quantized_bits(4,0,alpha=1)', use_bias=False, name=name, **kwargs)


class TestStandalone(ExactnessTest):
    """Quantizers that no kernel before them can absorb: each branch starts at the same tensor."""

    models = {'all': lambda: branches((3, 4, 2), {f'q{i}': QActivation(q, name=f'q{i}') for i, q in enumerate(QUANTIZERS)})}
    hardware_integers = True


class TestRelu(ExactnessTest):
    models = {
        'relu': lambda: branches(
            (3, 4, 2),
            {
                'layer': keras.layers.ReLU(name='layer'),
                'activation': keras.layers.Activation('relu', name='activation'),
                'linear': [conv('l'), keras.layers.Activation('linear', name='linear')],
                'fused': [conv('f'), keras.layers.ReLU(name='fused')],
                'twice': [conv('t'), keras.layers.ReLU(name='t1'), keras.layers.ReLU(name='twice')],
                'then_quantizer': [
                    conv('q'),
                    keras.layers.ReLU(name='q1'),
                    QActivation('quantized_bits(5,1,alpha=1)', name='q2'),
                ],
                'pool': [conv('p'), keras.layers.MaxPooling2D(2, name='p1'), keras.layers.ReLU(name='p2')],
            },
        )
    }
    hardware_integers = True


class TestWithoutHardware(ExactnessTest):
    models = {
        'identity': lambda: branches(
            (3, 4, 2),
            {
                'dropout': [
                    conv('a'),
                    keras.layers.Dropout(0.5, name='dropout'),
                    QActivation('quantized_relu(4,1)', name='aq'),
                ],
                'spatial': [conv('b'), keras.layers.SpatialDropout2D(0.5, name='spatial')],
                'identity': [conv('c'), keras.layers.Identity(name='identity')],
                'gaussian': [conv('d'), keras.layers.GaussianDropout(0.5, name='gaussian')],
                'flatten': [conv('e'), keras.layers.Flatten(name='flatten'), QActivation('quantized_relu(4,1)', name='eq')],
            },
        )
    }


def shared():
    """Tensors that a quantizer may not round in place, because others see them unrounded."""
    x = inputs = keras.Input((4, 4, 2))
    x = QActivation(INPUT, name='q')(x)
    y = conv('c1')(x)
    a = QActivation('quantized_bits(3,1,alpha=1)', name='a')(y)
    b = QActivation('quantized_relu(5,1)', name='b')(keras.layers.Dropout(0.2, name='drop')(y))
    z = keras.layers.Add(name='add')([a, y])
    inner_in = keras.Input((3, 3, 3))
    inner_out = QActivation('quantized_bits(4,1,alpha=1)', name='i')(inner_in)
    c = keras.Model(inner_in, inner_out, name='inner')(y)
    return randomize(keras.Model(inputs, [y, a, b, z, c]))


def shared_by_an_identity():
    """Only the identity has two consumers on its own side."""
    x = inputs = keras.Input((4, 4, 2))
    y = conv('c1')(QActivation(INPUT, name='q')(x))
    drop = keras.layers.Dropout(0.2, name='drop')(y)
    return randomize(
        keras.Model(inputs, [QActivation('quantized_bits(3,1,alpha=1)', name='a')(drop), keras.layers.ReLU(name='r')(y)])
    )


class TestShared(ExactnessTest):
    models = {'shared': shared, 'identity': shared_by_an_identity}
    n_random = 4


# ---------------------------------------------------------------------------------------------------------------------
# Models
# ---------------------------------------------------------------------------------------------------------------------

W, B = 'quantized_bits(5,0,alpha=1)', 'quantized_bits(8,2,alpha=1)'


def dense(name, n=5, **kwargs):
    return QDense(n, kernel_quantizer=W, bias_quantizer=B, name=name, **kwargs)


def denses():
    relu = 'quantized_relu(6,1)'
    return branches(
        (3, 4, 2),
        {
            'flat': [keras.layers.Flatten(name='f1'), dense('flat')],
            'flat_conv': [conv('c2', activation=relu), keras.layers.Flatten(name='f2'), dense('flat_conv', 6)],
            'global': [
                conv('c3'),
                keras.layers.GlobalMaxPooling2D(name='g3'),
                QActivation(relu, name='q3'),
                dense('global'),
            ],
            'pixels': [dense('pixels', 4, activation=relu)],
            'pixels_flat': [dense('p5', 4, activation=relu), keras.layers.Flatten(name='f5'), dense('pixels_flat')],
            'two': [keras.layers.Flatten(name='f6'), dense('d6', 8, activation=relu), dense('two', use_bias=False)],
        },
    )


class TestDense(ExactnessTest):
    models = {'all': denses}
    reuse_factors = ('mixed',)
    hardware_integers = True


class TestVector(ExactnessTest):
    """A model without images."""

    models = {
        'vector': lambda: branches(
            (12,), {'a': [dense('d1', 8, activation='quantized_relu(6,1)'), dense('a')], 'b': dense('b', 1)}
        )
    }
    reuse_factors = (1, 'mixed')


def nested():
    inner_in = keras.Input((5, 5, 3))
    y = QActivation('quantized_bits(6,1,alpha=1)', name='qi')(conv('c1')(inner_in))
    inner = keras.Model(inner_in, conv('c2')(y), name='inner')
    sequence = keras.Sequential(
        [keras.Input((3, 3, 3)), QActivation('quantized_relu(5,1)', name='r'), conv('c1')], name='sequence'
    )
    x = inputs = keras.Input((6, 6, 2))
    x = QActivation('quantized_bits(7,1,alpha=1)', name='q1')(conv('c1')(QActivation(INPUT, name='q')(x)))
    return randomize(keras.Model(inputs, QActivation('quantized_bits(5,1,alpha=1)', name='last')(sequence(inner(x)))))


def sequential():
    layers = [keras.Input((5, 4, 2)), QActivation(INPUT, name='q'), conv('c1', activation='quantized_relu(4,1)')]
    return randomize(keras.Sequential([*layers, keras.layers.Flatten(), dense('d1'), keras.layers.Dropout(0.3)]))


def intermediate_outputs():
    x = inputs = keras.Input((5, 4, 2))
    x = QActivation(INPUT, name='q')(x)
    a = conv('c1')(x)
    b = QActivation('quantized_relu(4,1)', name='r1')(a)
    c = conv('c2')(b)
    return randomize(keras.Model(inputs, [a, b, c]))


class TestModels(ExactnessTest):
    models = {'nested': nested, 'sequential': sequential, 'intermediate_outputs': intermediate_outputs}


@pytest.mark.parametrize('name', ['my-input', 'in.put', '3d', 'double', 'data', 'image input'])
def test_any_name_of_an_input(name, tmp_path):
    inputs = keras.Input((4, 4, 2), name=name)
    model = randomize(keras.Model(inputs, conv('conv-1.x')(QActivation(INPUT, name='class')(inputs))))
    assert_exact(model, convert(model, tmp_path / 'p'), images((4, 4, 2), 2))


def test_two_inputs(tmp_path):
    a, b = keras.Input((3, 3, 2), name='a'), keras.Input((3, 3, 2), name='b')
    y = keras.layers.Add(name='add')([QActivation(INPUT, name='qa')(a), QActivation('quantized_relu(4,1)', name='qb')(b)])
    model = randomize(keras.Model([a, b], conv('c')(y)))
    for io_type in ('io_stream', 'io_parallel'):
        hls_model = convert(model, tmp_path / io_type, io_type)
        hls4ml_ext.compile(hls_model)
        x = [images((3, 3, 2), 3), images((3, 3, 2), 3, 'quantized_relu(4,1)', 1)]
        expected = model.predict(x, verbose=0)
        assert (np.asarray(hls_model.predict(x)).reshape(expected.shape) == expected).all()


def test_values_far_outside_saturate_in_hardware(tmp_path):
    """Keras's straight-through ``x + (q - x)`` loses q's bits for |x| beyond 2^24 steps; the hardware saturates."""
    model = branches((3, 4, 2), {'q': QActivation('quantized_bits(4,0,alpha=1)', name='a')})
    hls_model = convert(model, tmp_path / 'p')
    hls4ml_ext.compile(hls_model)
    x = np.float32([1e9, -1e9]).reshape(2, 1, 1, 1) * np.ones((2, 3, 4, 2), np.float32)
    y = hls4ml_ext.simulate(hls_model, x)
    assert (y[0] == 0.875).all()
    assert (y[1] == -1).all()
