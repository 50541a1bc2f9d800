"""Folding of batch normalization into convolution and dense layers."""

import warnings

import keras
import numpy as np
import pytest
from exactness import ExactnessTest, assert_exact, convert, images
from qkeras import QActivation, QBatchNormalization, QConv2D, QDense, QDepthwiseConv2D

from hls4ml_ext import ConversionError, ODEBlock, fold_batchnorm

INPUT = 'quantized_bits(8,0,alpha=1)'
KERNEL = 'quantized_bits(4,0,alpha=1)'
BIAS = 'quantized_bits(10,3,alpha=1)'
RELU = 'quantized_relu(6,2)'
STATE = 'quantized_bits(10,3,alpha=1)'


def batchnorm(name, **kwargs):
    return keras.layers.BatchNormalization(name=name, **kwargs)


def conv(name, filters=4, size=3, kernel=KERNEL, bias=None, use_bias=False, **kwargs):
    kwargs = {'padding': 'same', **kwargs}
    return QConv2D(filters, size, kernel_quantizer=kernel, bias_quantizer=bias, use_bias=use_bias, name=name, **kwargs)


def depthwise(name, kernel=KERNEL, bias=None, use_bias=False, **kwargs):
    return QDepthwiseConv2D(
        3, padding='same', depthwise_quantizer=kernel, bias_quantizer=bias, use_bias=use_bias, name=name, **kwargs
    )


def randomize(model, seed=0):
    """Random weights; statistics that keep the scale of the folded kernels near 1."""
    rng = np.random.default_rng(seed)
    for w in model.weights:
        if w.name == 'moving_variance':
            w.assign(rng.uniform(0.6, 2, w.shape))
        elif w.name == 'gamma':
            w.assign(rng.uniform(0.5, 1.2, w.shape) * rng.choice([-1, 1], w.shape))
        elif w.name == 'bias':
            w.assign(rng.normal(0, 1, w.shape))
        elif w.dtype == 'float32':
            w.assign(rng.normal(0, 0.4, w.shape))
    return model


def layers_of(model):
    """All layers that aren't models, those of inner models and of ODE blocks too."""
    return [layer for layer in model._flatten_layers() if not isinstance(layer, keras.Model)]


def has_batchnorm(model):
    return any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers_of(model))


def network(kernel=KERNEL, bias=None, use_bias=False, sequential=False, activations=True):
    """Strided convolution, depthwise, pointwise and dense layers, each with a BatchNormalization."""

    def act(name, quantizer):
        return QActivation(quantizer, name=name) if activations else keras.layers.Activation('tanh', name=name)

    q = {'kernel': kernel, 'bias': bias, 'use_bias': use_bias}
    layers = [
        act('input_quantizer', INPUT),
        conv('c1', 4, 3, strides=2, **q), batchnorm('bn1'), act('relu1', RELU),
        depthwise('dw', **q), batchnorm('bn2', center=False), act('q2', 'quantized_bits(8,3,alpha=1)'),
        conv('pw', 6, 1, **q), batchnorm('bn3', scale=False, epsilon=0.1), act('relu3', RELU),
        keras.layers.GlobalMaxPooling2D(name='gap'),
        QDense(5, kernel_quantizer=kernel, bias_quantizer=bias, use_bias=use_bias, name='fc'), batchnorm('bn4', axis=1),
    ]  # fmt: skip
    if sequential:
        model = keras.Sequential([keras.Input((7, 6, 3), name='image'), *layers], name='network')
    else:
        x = inputs = keras.Input((7, 6, 3), name='image')
        for layer in layers:
            x = layer(x)
        model = keras.Model(inputs, x, name='network')
    return randomize(model)


def data(shape=(7, 6, 3), n=40, seed=0):
    return np.random.default_rng(seed).normal(0, 0.6, (n, *shape)).astype(np.float32)


# ---------------------------------------------------------------------------------------------------------------------
# The function does not change
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('sequential', [False, True])
@pytest.mark.parametrize('use_bias', [False, True])
def test_float_layers_compute_the_same(sequential, use_bias):
    model = network(None, None, use_bias, sequential, activations=False)
    before = [w.copy() for w in model.get_weights()]
    folded = fold_batchnorm(model)
    assert type(folded) is type(model)
    assert folded.name == model.name
    assert [layer.name for layer in folded.layers] == [x.name for x in model.layers if not x.name.startswith('bn')]
    assert all(folded.get_layer(name).use_bias for name in ('c1', 'dw', 'pw', 'fc'))
    x = data()
    expected = model.predict(x, verbose=0)
    assert np.allclose(folded.predict(x, verbose=0), expected, atol=2e-5 * np.abs(expected).max())
    # The input model is as it was, and shares nothing with the new one.
    assert has_batchnorm(model)
    assert not has_batchnorm(folded)
    assert not {id(layer) for layer in layers_of(model)} & {id(layer) for layer in layers_of(folded)}
    for w in folded.weights:
        w.assign(w + 1)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
    assert np.array_equal(model.predict(x, verbose=0), expected)


def test_wide_quantizers_compute_nearly_the_same():
    wide = 'quantized_bits(22,3,alpha=1)'
    model = network(wide, wide, True, activations=False)
    folded = fold_batchnorm(model)
    x = data()
    expected = model.predict(x, verbose=0)
    assert np.abs(folded.predict(x, verbose=0) - expected).max() < 1e-4 * np.abs(expected).max()


def fold_by_hand(layer, kernel, bn):
    """Kernel, bias: in NumPy, channel by channel."""
    kernel = np.array(kernel, np.float64)
    bias = np.array(layer.bias, np.float64) if layer.use_bias else np.zeros(bn.moving_mean.shape)
    n = len(bias)
    gamma = np.array(bn.gamma) if bn.scale else np.ones(n)
    beta = np.array(bn.beta) if bn.center else np.zeros(n)
    for c in range(n):
        s = float(gamma[c]) / np.sqrt(float(bn.moving_variance[c]) + bn.epsilon)
        if isinstance(layer, QDepthwiseConv2D):
            kernel[:, :, c // layer.depth_multiplier, c % layer.depth_multiplier] *= s
        else:
            kernel[..., c] *= s
        bias[c] = (bias[c] - float(bn.moving_mean[c])) * s + float(beta[c])
    return kernel, bias


@pytest.mark.parametrize('use_bias', [False, True])
def test_only_the_quantizers_make_a_difference(use_bias):
    """The weights are those folded by hand; with 4 bits, the layer is a convolution with them, rounded by its quantizers."""
    model = network(KERNEL, BIAS, use_bias)
    folded = fold_batchnorm(model)
    x = np.round(data((7, 6, 3), 5) * 128) / 128
    for name, bn in (('c1', 'bn1'), ('dw', 'bn2'), ('pw', 'bn3'), ('fc', 'bn4')):
        old, new = model.get_layer(name), folded.get_layer(name)
        kernel, bias = fold_by_hand(old, old.depthwise_kernel if name == 'dw' else old.kernel, model.get_layer(bn))
        new_kernel = np.asarray(new.depthwise_kernel if name == 'dw' else new.kernel)
        assert np.allclose(new_kernel, kernel, rtol=1e-6, atol=1e-7)
        assert np.allclose(new.bias, bias, rtol=1e-6, atol=1e-7)
        assert str(new.bias_quantizer_internal) == str(old.bias_quantizer_internal)
    by_hand = network(KERNEL, BIAS, True)
    stripped = keras.Model(by_hand.inputs, by_hand.get_layer('c1').output)
    kernel, bias = fold_by_hand(model.get_layer('c1'), model.get_layer('c1').kernel, model.get_layer('bn1'))
    rounded = np.clip(np.rint(new_kernel_of(kernel) * 8), -8, 7) / 8
    stripped.get_layer('c1').set_weights([rounded, np.clip(np.rint(bias * 64), -512, 511) / 64])
    got = keras.Model(folded.inputs, folded.get_layer('c1').output).predict(x, verbose=0)
    assert np.array_equal(got, stripped.predict(x, verbose=0))


def new_kernel_of(kernel):
    return kernel.astype(np.float32).astype(np.float64)  # the weights are float32


def test_depth_multiplier():
    inputs = keras.Input((5, 4, 3))
    x = batchnorm('bn')(depthwise('dw', None, depth_multiplier=2)(inputs))
    model = randomize(keras.Model(inputs, x))
    images_ = data((5, 4, 3))
    assert np.allclose(fold_batchnorm(model).predict(images_, verbose=0), model.predict(images_, verbose=0), atol=1e-5)


def test_two_in_a_row():
    inputs = keras.Input((5, 4, 3))
    x = batchnorm('bn2')(batchnorm('bn1')(conv('c', kernel=None)(inputs)))
    model = randomize(keras.Model(inputs, x))
    images_ = data((5, 4, 3))
    assert np.allclose(fold_batchnorm(model).predict(images_, verbose=0), model.predict(images_, verbose=0), atol=1e-5)


def test_branches_and_unchanged_layers():
    """A skip connection, two outputs, and a layer without batch normalization, which keeps its weights and no bias."""
    inputs = keras.Input((6, 5, 3), name='image')
    x = skip = keras.layers.ReLU(name='relu')(batchnorm('bn1')(conv('c1', kernel=None)(inputs)))
    x = batchnorm('bn2')(depthwise('dw', None)(x))
    x = keras.layers.Add(name='add')([conv('c2', kernel=None)(x), skip])
    model = randomize(keras.Model(inputs, {'x': x, 'skip': skip}))
    folded = fold_batchnorm(model)
    assert not folded.get_layer('c2').use_bias
    assert np.array_equal(folded.get_layer('c2').kernel, model.get_layer('c2').kernel)
    images_ = data((6, 5, 3))
    a, b = model.predict(images_, verbose=0), folded.predict(images_, verbose=0)
    assert set(a) == set(b) == {'x', 'skip'}
    assert all(np.allclose(a[k], b[k], atol=1e-5) for k in a)


def test_model_without_batchnorm():
    inputs = keras.Input((5, 4, 3))
    model = randomize(keras.Model(inputs, conv('c', use_bias=True, bias=BIAS)(inputs)))
    images_ = data((5, 4, 3))
    assert np.array_equal(fold_batchnorm(model).predict(images_, verbose=0), model.predict(images_, verbose=0))


# ---------------------------------------------------------------------------------------------------------------------
# Models within models
# ---------------------------------------------------------------------------------------------------------------------


def dynamics(kernel, sequential, channels=4):
    layers = [
        keras.layers.ReLU(name='act') if kernel is None else QActivation(RELU, name='act'),
        depthwise('dw', kernel), batchnorm('bn_dw'),
        keras.layers.ReLU(name='mid') if kernel is None else QActivation(RELU, name='mid'),
        conv('pw', channels, 1, kernel), batchnorm('bn_pw'),
    ]  # fmt: skip
    if kernel is not None:
        layers.append(QActivation('quantized_bits(8,2,alpha=1)', name='slope'))
    if sequential:
        return layers
    x = inputs = keras.Input((6, 5, channels))
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x, name='inner')


def ode_model(kernel, sequential, state=None, solver='heun'):
    inputs = keras.Input((6, 5, 3))
    x = inputs if kernel is None else QActivation(INPUT, name='input_quantizer')(inputs)
    x = batchnorm('bn')(conv('stem', kernel=kernel)(x))
    if kernel is not None:
        x = QActivation(STATE, name='stem_quantizer')(x)
    x = ODEBlock(dynamics(kernel, sequential), 3, solver=solver, state_quantizer=state, step_size=0.25, name='ode')(x)
    return randomize(keras.Model(inputs, x))


@pytest.mark.parametrize('sequential', [False, True])
def test_ode_block(sequential):
    model = ode_model(None, sequential)
    before = model.get_weights()
    folded = fold_batchnorm(model)
    assert not has_batchnorm(folded)
    assert has_batchnorm(model)
    assert folded.layers[0].name == model.layers[0].name
    block = folded.get_layer('ode')
    assert (block.n_steps, block.solver.name, block.step_size) == (3, 'heun', 0.25)
    assert block.dynamics is not model.get_layer('ode').dynamics
    assert [layer.name for layer in block.dynamics.layers][-4:] == ['act', 'dw', 'mid', 'pw']
    x = data((6, 5, 3))
    assert np.allclose(folded.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-4, atol=1e-4)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


@pytest.mark.parametrize('sequential', [False, True])
def test_nested_model(sequential):
    inner = keras.Sequential(dynamics(None, True), name='inner') if sequential else dynamics(None, False)
    inputs = keras.Input((6, 5, 4))
    block = ODEBlock(dynamics(None, True), 2, name='ode')
    model = randomize(keras.Model(inputs, batchnorm('bn')(conv('last', kernel=None)(block(inner(inputs))))))
    folded = fold_batchnorm(model)
    assert not has_batchnorm(folded)
    x = data((6, 5, 4))
    assert np.allclose(folded.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------------------------------------------------------------
# After folding
# ---------------------------------------------------------------------------------------------------------------------


def folded_network(**kwargs):
    return fold_batchnorm(network(**kwargs))


class TestFoldedModels(ExactnessTest):
    """A folded model converts, and its C simulation equals it."""

    models = {
        'functional': folded_network,
        'sequential': lambda: folded_network(sequential=True, use_bias=True, bias=BIAS),
        'po2': lambda: folded_network(kernel="quantized_bits(4,0,alpha='auto_po2')"),
        'ode': lambda: fold_batchnorm(ode_model(KERNEL, True, STATE, solver='euler')),
    }
    quantizer = INPUT
    io_types = ('io_stream',)
    n_random = 10


def test_fine_tuning_and_round_trip(tmp_path):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.5, (256, 7, 6, 3)).astype(np.float32)
    labels = (x.mean((1, 2)) @ rng.normal(size=(3, 5))).argmax(-1)
    model = network(sequential=True)
    model.compile(optimizer='adam', loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, labels, epochs=1, verbose=0)
    folded = fold_batchnorm(model)
    assert folded.compiled
    folded.compile(optimizer=keras.optimizers.Adam(0.01), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = folded.get_weights()
    loss = folded.fit(x, labels, epochs=6, verbose=0).history['loss']
    assert loss[-1] < loss[0]
    assert all(not np.array_equal(a, b) for a, b in zip(before, folded.get_weights()))
    folded.save(tmp_path / 'model.keras')
    again = keras.models.load_model(tmp_path / 'model.keras')
    y = folded.predict(x, verbose=0)
    assert np.array_equal(again.predict(x, verbose=0), y)
    assert_exact(again, convert(again, tmp_path / 'project'), images((7, 6, 3), 5, INPUT))


def test_bias_quantizers():
    given = fold_batchnorm(network(), bias_quantizer='quantized_bits(12,4,alpha=1)').get_layer('c1')
    assert str(given.bias_quantizer_internal) == 'quantized_bits(12,4,0,alpha=1)'
    default = fold_batchnorm(network()).get_layer('c1')
    assert str(default.bias_quantizer_internal) == 'quantized_bits(16,6,0,alpha=1)'
    assert fold_batchnorm(network(), bias_quantizer=None).get_layer('c1').bias_quantizer_internal is None
    own = fold_batchnorm(network(bias=BIAS)).get_layer('c1')
    assert str(own.bias_quantizer_internal) == 'quantized_bits(10,3,0,alpha=1)'
    assert fold_batchnorm(network(None)).get_layer('c1').bias_quantizer_internal is None


def test_warning_of_saturation():
    model = network()
    with warnings.catch_warnings():
        warnings.filterwarnings('error', message=r'.*folded values.*')
        model.get_layer('c1').kernel.assign(model.get_layer('c1').kernel * 0.1)
        model.get_layer('dw').depthwise_kernel.assign(model.get_layer('dw').depthwise_kernel * 0.1)
        model.get_layer('pw').kernel.assign(model.get_layer('pw').kernel * 0.1)
        model.get_layer('fc').kernel.assign(model.get_layer('fc').kernel * 0.1)
        fold_batchnorm(model)
    model.get_layer('bn1').moving_variance.assign(np.full(4, 1e-6))
    model.get_layer('bn1').moving_mean.assign(np.full(4, 1e3))
    with pytest.warns(UserWarning, match=r"layer 'c1': .* folded values of its kernel are beyond the range") as warned:
        fold_batchnorm(model)
    messages = [str(w.message) for w in warned]
    for what, quantizer in (('kernel', 'quantized_bits(4,0'), ('bias', 'quantized_bits(16,6')):
        assert any(f'folded values of its {what} are beyond the range of {quantizer}' in m for m in messages)


# ---------------------------------------------------------------------------------------------------------------------
# Refusals
# ---------------------------------------------------------------------------------------------------------------------


def of(build, shape=(6, 5, 4)):
    inputs = keras.Input(shape, name='image')
    return keras.Model(inputs, build(inputs))


def shared(x):
    layer = conv('c')
    return batchnorm('bn')(layer(layer(x)))


def shared_bn(x):
    bn = batchnorm('bn')
    return bn(conv('c2')(bn(conv('c')(x))))


def forked(x):
    x = conv('c')(x)
    return keras.layers.Add()([batchnorm('bn')(x), x])


def added(x):
    return batchnorm('bn')(keras.layers.Add(name='add')([conv('c')(x), x]))


def activated(x):
    return batchnorm('bn')(QActivation(RELU, name='relu')(conv('c')(x)))


REFUSED = {
    'first': (lambda x: batchnorm('bn')(x), "its input comes from 'image' of class InputLayer. Put it directly behind"),
    'add': (added, "its input comes from 'add' of class Add. Put it directly behind"),
    'activation_layer': (activated, "its input comes from 'relu' of class QActivation. Put it"),
    'activation': (lambda x: batchnorm('bn')(conv('c', activation=RELU)(x)), "the layer before it, 'c', has an activation"),
    'relu': (lambda x: batchnorm('bn')(conv('c', activation='relu')(x)), "the layer before it, 'c', has an activation"),
    'fork': (forked, "the output of the layer before it, 'c', has 2 consumers. Put it"),
    'shared': (shared, "'c' is called 2 times. Give each call a layer of its own"),
    'shared_bn': (shared_bn, "'bn' is called 2 times. Give each call a layer of its own"),
    'axis': (lambda x: batchnorm('bn', axis=1)(conv('c')(x)), 'it normalizes axis 1, not the last one'),
    'training': (lambda x: batchnorm('bn')(conv('c')(x), training=True), 'it is called with training=True'),
    'qkeras': (lambda x: QBatchNormalization(name='bn')(conv('c')(x)), 'it is a QBatchNormalization, which rounds'),
    'keras': (lambda x: batchnorm('bn')(keras.layers.Conv2D(4, 3, name='c')(x)), "its input comes from 'c' of class Conv2D"),
}


@pytest.mark.parametrize('case', REFUSED)
def test_refusals(case):
    build, message = REFUSED[case]
    with pytest.raises(ConversionError) as e:
        fold_batchnorm(of(build))
    assert str(e.value).startswith("layer 'bn': ")
    assert message in str(e.value)


def test_conv_output_that_is_an_output():
    inputs = keras.Input((6, 5, 4))
    x = conv('c')(inputs)
    with pytest.raises(ConversionError, match="layer 'bn': the output of the layer before it, 'c', has 2 consumers"):
        fold_batchnorm(keras.Model(inputs, [x, batchnorm('bn')(x)]))


def test_refusals_name_the_enclosing_layers():
    layers = [batchnorm('bn'), conv('c')]
    model = of(lambda x: ODEBlock(layers, 2, name='ode')(x))
    with pytest.raises(ConversionError, match=r"layer 'ode\.bn': its input comes from"):
        fold_batchnorm(model)
    inner = of(lambda x: batchnorm('bn')(QActivation(RELU)(x)))
    model = of(lambda x: keras.Model(inner.inputs, inner.outputs, name='inner')(x))
    with pytest.raises(ConversionError, match=r"layer 'inner\.bn': its input comes from"):
        fold_batchnorm(model)


def test_batchnorm_in_an_unknown_wrapper():
    model = of(lambda x: keras.layers.TimeDistributed(batchnorm('bn'))(x))
    with pytest.raises(ConversionError, match="layer 'bn': it is inside of a layer that fold_batchnorm does not know"):
        fold_batchnorm(model)


def test_models_without_a_graph():
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ConversionError, match='is a subclassed model'):
        fold_batchnorm(Subclassed())
    with pytest.raises(ConversionError, match='is not built'):
        fold_batchnorm(keras.Sequential([conv('c'), batchnorm('bn')]))


def test_conversion_points_to_folding(tmp_path):
    with pytest.raises(ConversionError, match=r"layer 'bn1': .* BatchNormalization\. .* hls4ml_ext\.fold_batchnorm\(model"):
        convert(network(), tmp_path)
    model = of(lambda x: QBatchNormalization(name='bn')(conv('c')(QActivation(INPUT)(x))))
    with pytest.raises(ConversionError, match=r"layer 'bn': .* QBatchNormalization\. .* hls4ml_ext\.fold_batchnorm\(model"):
        convert(model, tmp_path)
