"""What can't be converted is refused in plain words, before anything is written."""

import copy
import os
import shutil

import keras
import numpy as np
import pytest
from exactness import INPUT, branches, convert, images
from qkeras import QActivation, QConv2D, QDense, QDepthwiseConv2D
from qkeras.qconv2d_batchnorm import QConv2DBatchnorm

import hls4ml_ext
from hls4ml_ext import ConversionError, PrecisionError, ProjectError

W, B = 'quantized_bits(4,0,alpha=1)', 'quantized_bits(8,2,alpha=1)'


def conv(name='layer', filters=4, size=3, **kwargs):
    return QConv2D(filters, size, **{'kernel_quantizer': W, 'bias_quantizer': B, 'name': name, **kwargs})


def model_of(*layers, shape=(6, 6, 4), quantizer=INPUT):
    return branches(shape, {'only': list(layers)}, quantizer)


def nan_weights():
    model = model_of(conv())
    kernel = np.array(model.get_layer('layer').kernel)
    kernel[0, 0, 0, :2] = np.nan
    model.get_layer('layer').kernel.assign(kernel)
    return model


def infinite_bias():
    model = model_of(conv())
    model.get_layer('layer').bias.assign([0, 1, 2, np.inf])
    return model


def unquantized_input():
    inputs = keras.Input((6, 6, 4), name='image')
    return keras.Model(inputs, conv()(inputs))


def input_used_unquantized():
    inputs = keras.Input((6, 6, 4), name='image')
    return keras.Model(inputs, [QActivation(q, name=n)(inputs) for n, q in (('a', INPUT), ('layer', INPUT))])


def twice():
    x = inputs = keras.Input((6, 6, 4))
    x = QActivation(INPUT, name='q')(x)
    shared = conv(padding='same')
    x = QActivation(INPUT, name='q1')(shared(x))
    return keras.Model(inputs, shared(x))


def dynamic_shape():
    inputs = keras.Input((None, None, 4), name='layer')
    return keras.Model(inputs, conv('c')(QActivation(INPUT, name='q')(inputs)))


class Squared(keras.layers.Layer):
    def call(self, x):
        return x * x


class DoubledConv(QConv2D):
    def call(self, x):
        return 2 * super().call(x)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name='layer')
        self.conv = conv('c')

    def call(self, x):
        return self.conv(x)


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 6, 6, 4), np.float32))
    return model


def nested_subclassed():
    return model_of(QActivation(INPUT, name='q'), Subclassed())


def two_equal_outputs():
    x = inputs = keras.Input((6, 6, 4))
    x = conv()(QActivation(INPUT, name='q')(x))
    return keras.Model(inputs, [x, keras.layers.Dropout(0.1)(x)], name='layer')


def input_is_output():
    inputs = keras.Input((6, 6, 4), name='layer')
    return keras.Model(inputs, QActivation(INPUT, name='q')(inputs))


def wide_activation(quantizer):
    return lambda: model_of(conv('c'), QActivation(quantizer, name='layer'))


MODELS = {
    'depth_multiplier': (
        lambda: model_of(QDepthwiseConv2D(3, depth_multiplier=2, depthwise_quantizer=W, bias_quantizer=B, name='layer')),
        'depth_multiplier is 2. Use depth_multiplier=1',
    ),
    'groups': (lambda: model_of(conv(groups=2)), 'it has 2 groups. Use groups=1'),
    'dilation': (lambda: model_of(conv(dilation_rate=2)), r'dilation_rate is \(2, 2\). Use a dilation rate of 1'),
    'channels_first': (
        lambda: model_of(conv(data_format='channels_first')),
        "data_format is 'channels_first'. Use 'channels_last'",
    ),
    'mask': (lambda: model_of(conv(mask=np.ones((3, 3)))), 'it has a weight mask'),
    'unquantized_input': (unquantized_input, "the model's input 'image' reaches it without a quantizer. Put a QActivation"),
    'second_input_quantizer': (input_used_unquantized, "the model's input 'image' is also used without this quantizer"),
    'no_kernel_quantizer': (
        lambda: model_of(conv(kernel_quantizer=None)),
        'kernel has no quantizer. Give the layer a kernel_quantizer',
    ),
    'no_bias_quantizer': (lambda: model_of(conv(bias_quantizer=None)), 'bias has no quantizer'),
    'nan': (nan_weights, '2 of 144 values of kernel are NaN or infinite. Train it again'),
    'infinite': (infinite_bias, '1 of 4 values of bias are NaN or infinite'),
    'scaled_by_data': (
        lambda: model_of(conv(kernel_quantizer="quantized_bits(4,0,1,alpha='auto')")),
        'alpha=1 or alpha=.auto_po2',
    ),
    'scale_of_a_third': (lambda: model_of(conv(kernel_quantizer='quantized_bits(4,0,alpha=0.3)')), 'of kernel'),
    'softmax': (
        lambda: model_of(keras.layers.Flatten(), keras.layers.Activation('softmax', name='layer')),
        'softmax is not exact. End the',
    ),
    'softmax_layer': (lambda: model_of(keras.layers.Softmax(name='layer')), 'no exact hardware for layers of class Softmax'),
    'softmax_argument': (
        lambda: model_of(
            keras.layers.Flatten(), QDense(3, kernel_quantizer=W, bias_quantizer=B, activation='softmax', name='layer')
        ),
        'softmax is not exact',
    ),
    'sigmoid': (lambda: model_of(conv(activation='sigmoid')), 'activation sigmoid is not exact. Use quantized_relu'),
    'relu6': (lambda: model_of(keras.layers.ReLU(max_value=6, name='layer')), 'max_value is 6'),
    'leaky': (lambda: model_of(keras.layers.ReLU(negative_slope=0.1, name='layer')), 'negative_slope is 0.1'),
    'unknown_class': (
        lambda: model_of(Squared(name='layer')),
        'there is no exact hardware for layers of class Squared. Use one of Activation,',
    ),
    'batchnorm': (lambda: model_of(keras.layers.BatchNormalization(name='layer')), 'BatchNormalization'),
    'subclass_with_a_call': (
        lambda: model_of(DoubledConv(2, 1, kernel_quantizer=W, bias_quantizer=B, name='layer')),
        'no exact hardware for layers of class DoubledConv',
    ),
    'batchnorm_in_a_convolution': (
        lambda: model_of(QConv2DBatchnorm(2, 1, kernel_quantizer=W, bias_quantizer=B, name='layer')),
        'no exact hardware for layers of class QConv2DBatchnorm',
    ),
    'stock_convolution': (
        lambda: model_of(keras.layers.Conv2D(2, 3, name='layer')),
        'no exact hardware for layers of class Conv2D',
    ),
    'twice': (twice, 'it is called 2 times.*ODEBlock'),
    'dynamic_shape': (dynamic_shape, r'its shape \(None, None, 4\) is not fixed. Give the Input a full shape'),
    'subclassed': (subclassed, 'Subclassed is a subclassed model.*Use the functional API'),
    'nested_subclassed': (nested_subclassed, 'Subclassed is a subclassed model'),
    'unbuilt_sequential': (
        lambda: keras.Sequential([conv('c')], name='layer'),
        'the Sequential model is not built. Start it with keras.Input',
    ),
    'equal_outputs': (two_equal_outputs, 'two outputs of the model are the same tensor'),
    'input_is_output': (input_is_output, "the model's input is its output"),
    'stochastic': (wide_activation('quantized_bits(4,0,alpha=1,use_stochastic_rounding=True)'), 'rounds at random'),
    'alpha_auto': (wide_activation("quantized_bits(4,0,1,alpha='auto')"), "scales by the data .alpha='auto'"),
    'alpha_auto_po2': (wide_activation("quantized_bits(4,0,1,alpha='auto_po2')"), 'scales by the data'),
    'alpha_2': (wide_activation('quantized_bits(4,0,alpha=2)'), 'scales by alpha=2'),
    'one_bit': (wide_activation('quantized_bits(1,0,alpha=1)'), 'has no bit besides the sign'),
    'noise': (wide_activation('quantized_bits(4,0,alpha=1,qnoise_factor=0.5)'), 'has a qnoise_factor other than 1'),
    'negative_slope': (wide_activation('quantized_relu(4,0,negative_slope=0.25)'), 'has a negative slope of 0.25'),
    'sigmoid_relu': (wide_activation('quantized_relu(4,0,use_sigmoid=1)'), 'applies a sigmoid'),
    'upper_bound': (
        wide_activation('quantized_relu(4,2,relu_upper_bound=3,is_quantized_clip=False)'),
        'has an upper bound of 3',
    ),
    'tanh': (
        wide_activation('quantized_tanh(4)'),
        'quantized_tanh is not a rounding to a fixed-point type. Use quantized_bits',
    ),
    'binary': (wide_activation('binary(alpha=1)'), 'binary is not a rounding'),
    'relu_below_zero_bits': (
        wide_activation('quantized_relu(8,-1)'),
        '-1 integer bits, and Keras itself cannot evaluate it',
    ),
}


@pytest.mark.parametrize(('build', 'message'), list(MODELS.values()), ids=list(MODELS))
@pytest.mark.parametrize('io_type', ['io_stream', 'io_parallel'])
def test_models(build, message, io_type, tmp_path):
    with pytest.raises(ConversionError, match=rf"^layer '(layer|only|layer\.activation)': .*{message}") as error:
        convert(build(), tmp_path / 'p', io_type)
    assert error.value.remedy
    assert error.value.problem
    assert list(tmp_path.iterdir()) == []


def test_config_from_model_refuses_too():
    with pytest.raises(ConversionError, match="layer 'layer': depth_multiplier is 2"):
        hls4ml_ext.config_from_model(MODELS['depth_multiplier'][0]())


@pytest.mark.parametrize(
    ('layers', 'quantizer', 'bits'),
    [
        ([conv(size=1, kernel_quantizer='quantized_bits(16,0,alpha=1)')], 'quantized_bits(12,0,alpha=1)', r'2[5-9]'),
        (
            [
                conv('c', activation='quantized_bits(16,0,alpha=1)'),
                QActivation('quantized_bits(4,20,alpha=1)', name='layer'),
            ],
            INPUT,
            '3[0-9]',
        ),
    ],
)
def test_sums_too_wide_for_float32(layers, quantizer, bits, tmp_path):
    with pytest.raises(
        PrecisionError,
        match=f"layer 'layer': .* needs {bits} bits in the worst case, .*float32.*24 bits exactly. Use fewer bits",
    ):
        convert(model_of(*layers, quantizer=quantizer), tmp_path / 'p')
    assert list(tmp_path.iterdir()) == []


def test_widest_sum_that_float32_holds(tmp_path):
    """One bit less than what is refused converts, and is exact at its extremes."""
    from exactness import assert_exact

    layer = conv(filters=1, size=1, kernel_quantizer='quantized_bits(13,0,1,alpha=1)', use_bias=False)
    model = branches((2, 2, 1), {'only': layer}, 'quantized_bits(13,0,1,alpha=1)')
    layer.kernel.assign(np.full(layer.kernel.shape, 2.0))
    x = images((2, 2, 1), 4, 'quantized_bits(13,0,1,alpha=1)')
    hls_model = convert(model, tmp_path / 'p')
    assert_exact(model, hls_model, x[np.abs(x).max(axis=(1, 2, 3)) < 2**10], hardware_integers=True)


# ---------------------------------------------------------------------------------------------------------------------
# Arguments
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'io_type': 'io_serial'}, "io_type is 'io_serial'. Use 'io_stream' or 'io_parallel'"),
        ({'backend': 'Quartus'}, "backend is 'Quartus'. Use one of Vivado, Vitis, RTL"),
        ({'backend': 'gcc'}, "backend is 'gcc'. Use one of"),
        ({'project_name': 'my project'}, "project_name is 'my project'"),
        ({'project_name': '1st'}, "project_name is '1st'"),
        ({'project_name': 'class'}, "project_name is 'class'"),
        (
            {'hls_config': {'LayerName': {'conf': {'ReuseFactor': 2}}}},
            "layer 'conf': hls_config sets it, but the model has no such layer. Use one of layer",
        ),
    ],
)
def test_arguments(arguments, message, tmp_path):
    with pytest.raises(ConversionError, match=message):
        hls4ml_ext.convert(model_of(conv()), output_dir=str(tmp_path / 'p'), **arguments)
    assert list(tmp_path.iterdir()) == []


def test_granularity():
    with pytest.raises(ConversionError, match="granularity is 'type'"):
        hls4ml_ext.config_from_model(model_of(conv()), granularity='type')
    assert 'LayerName' not in hls4ml_ext.config_from_model(model_of(conv()), granularity='model')


def test_hls_config_is_not_modified(tmp_path):
    model = model_of(conv())
    config = hls4ml_ext.config_from_model(model, default_reuse_factor=4)
    config['LayerName']['layer']['ReuseFactor'] = 5
    before = copy.deepcopy(config)
    with pytest.warns(UserWarning, match='ReuseFactor 5'):
        hls4ml_ext.convert(model, output_dir=str(tmp_path / 'p'), hls_config=config)
    assert config == before
    assert hls4ml_ext.config_from_model(model, default_reuse_factor=4)['LayerName']['layer']['ReuseFactor'] == 4


def test_model_is_not_modified(tmp_path):
    model = model_of(conv())
    before, weights = model.to_json(), [np.array(w) for w in model.weights]
    convert(model, tmp_path / 'p')
    assert model.to_json() == before
    assert all((np.array(w) == b).all() for w, b in zip(model.weights, weights))


# ---------------------------------------------------------------------------------------------------------------------
# Output directories and tools
# ---------------------------------------------------------------------------------------------------------------------


def test_output_dir_is_a_file(tmp_path):
    (tmp_path / 'p').write_text('mine')
    with pytest.raises(ProjectError, match='is a file. Choose another one'):
        convert(model_of(conv()), tmp_path / 'p')
    assert (tmp_path / 'p').read_text() == 'mine'


def test_output_dir_below_a_file(tmp_path):
    (tmp_path / 'p').write_text('mine')
    with pytest.raises(ProjectError, match='output directory'):
        convert(model_of(conv()), tmp_path / 'p' / 'q')


def test_output_dir_with_other_files(tmp_path):
    (tmp_path / 'thesis.tex').write_text('mine')
    with pytest.raises(ProjectError, match='has files in it and is not an hls4ml project'):
        convert(model_of(conv()), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ['thesis.tex']


def test_output_dir_that_got_files_after_the_conversion(tmp_path):
    hls_model = convert(model_of(conv()), tmp_path / 'p')
    (tmp_path / 'p').mkdir()
    (tmp_path / 'p' / 'thesis.tex').write_text('mine')
    with pytest.raises(ProjectError, match='is not an hls4ml project'):
        hls4ml_ext.compile(hls_model)


def test_output_dir_without_permission(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'access', lambda path, mode: False)
    with pytest.raises(ProjectError, match="can't be written: no permission for"):
        convert(model_of(conv()), tmp_path / 'deep' / 'p')


def test_empty_and_own_output_dirs_are_used_again(tmp_path):
    (tmp_path / 'p').mkdir()
    convert(model_of(conv()), tmp_path / 'p').write()
    convert(model_of(conv()), tmp_path / 'p').write()


def test_conversion_writes_nothing(tmp_path):
    model = model_of(conv())
    hls4ml_ext.config_from_model(model)
    convert(model, tmp_path / 'p')
    assert list(tmp_path.iterdir()) == []


def test_no_compiler(tmp_path, monkeypatch):
    hls_model = convert(model_of(conv()), tmp_path / 'p')
    monkeypatch.setenv('PATH', str(tmp_path))
    assert shutil.which('g++') is None
    with pytest.raises(ProjectError, match=r'needs g\+\+, which is not on PATH. Install it'):
        hls4ml_ext.compile(hls_model)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.stock_compiler
def test_compiler_that_fails(tmp_path, monkeypatch):
    (tmp_path / 'bin').mkdir()
    fake = tmp_path / 'bin' / 'g++'
    fake.write_text('#!/bin/sh\necho "kernel.cpp:1: error: out of cheese"\nexit 1\n')
    fake.chmod(0o755)
    hls_model = convert(model_of(conv()), tmp_path / 'p')
    monkeypatch.setenv('PATH', f'{tmp_path / "bin"}:{os.environ["PATH"]}')
    with pytest.raises(
        ProjectError, match=r'failed: kernel.cpp:1: error: out of cheese. All of the output is in .*compile.log'
    ):
        hls4ml_ext.compile(hls_model)
    assert 'out of cheese' in (tmp_path / 'p' / 'compile.log').read_text()
