"""Quantized layer normalization: exactness, error against float, gradients, training, serialization."""

import os
import subprocess
import sys

import cpp
import keras
import numpy as np
import pytest
from exactness import ExactnessTest, assert_exact, branches, convert, images, quietly
from qkeras import QActivation, QConv2D

from hls4ml_ext import ConversionError, ODEBlock, PrecisionError, QLayerNormalization, config_from_model
from hls4ml_ext.fixed import FixedType
from hls4ml_ext.layers.core.schedule import process_of
from hls4ml_ext.layers.normalization import tables
from hls4ml_ext.layers.normalization.tables import LayerNormArithmetic

INPUT = 'quantized_bits(8,3,alpha=1)'
OUTPUT = 'quantized_bits(7,2,alpha=1)'
CHANNELS = (1, 3, 8, 48)

INPUTS = {
    'signed': INPUT,
    'symmetric': 'quantized_bits(8,3,1,alpha=1)',
    'unsigned': 'quantized_relu(8,2)',
    'narrow': 'quantized_bits(3,1,alpha=1)',
    'fine': 'quantized_bits(10,0,alpha=1)',
    'coarse': 'quantized_bits(4,6,alpha=1)',
    'only_bits': 'quantized_bits(6,-2,alpha=1)',
}
NORMS = {
    'two_bits': 'quantized_bits(6,2,alpha=1)',
    'saturating': 'quantized_bits(6,0,alpha=1)',
    'symmetric': 'quantized_bits(5,1,1,alpha=1)',
    'fine': 'quantized_bits(14,3,alpha=1)',
    'coarse': 'quantized_bits(3,4,alpha=1)',
}
AFFINES = {
    'no_gamma': {'scale': False},
    'no_beta': {'center': False},
    'neither': {'scale': False, 'center': False},
    'po2': {'gamma_quantizer': 'quantized_po2(4,2)', 'beta_quantizer': 'quantized_bits(12,3,alpha=1)'},
    'binary': {'gamma_quantizer': 'binary(alpha=1)', 'beta_quantizer': 'quantized_bits(4,-3,alpha=1)'},
    'output': {'output_quantizer': OUTPUT},
    'relu': {'output_quantizer': 'quantized_relu(6,2)'},
    'epsilon': {'epsilon': 0.5},
    'tiny_epsilon': {'epsilon': 1e-12},
}


def pixels(n_chan, frac=4, bits=8, n=4000, seed=0):
    """Pixels of all sorts of spreads, constant and saturated ones, on the grid of the type."""
    rng = np.random.default_rng(seed)
    hi = 2 ** (bits - 1)
    parts = [rng.normal(0, s * hi, (n, n_chan)) for s in (0.005, 0.03, 0.3, 3)]
    parts += [rng.normal(0, 0.02 * hi, (n, n_chan)) + rng.uniform(-hi, hi, (n, 1)), rng.choice([-hi, hi - 1], (n, n_chan))]
    parts += [np.where(np.arange(n_chan) == i % n_chan, hi - 1, -hi)[None] for i in range(n_chan)]
    parts += [np.full((1, n_chan), v) for v in (-hi, hi - 1, 0, 1)]
    return np.clip(np.rint(np.concatenate(parts)), -hi, hi - 1) * 2.0**-frac


def both_ends(n_chan):
    """A normalization whose output leaves as it is, and one that rounds it to the quantizer behind it."""
    layers = {'raw': QLayerNormalization(name='raw'), 'fused': [QLayerNormalization(name='fused'), QActivation(OUTPUT)]}
    return branches((5, 7, n_chan), layers, INPUT)


class TestChannels(ExactnessTest):
    models = {str(c): lambda c=c: both_ends(c) for c in CHANNELS}
    quantizer = INPUT
    io_types = ('io_stream',)
    reuse_factors = (1, 'mixed')
    hardware_integers = True


class TestChannelsInParallel(ExactnessTest):
    models = {str(c): lambda c=c: both_ends(c) for c in (3, 8)}
    quantizer = INPUT
    io_types = ('io_parallel',)
    reuse_factors = ('mixed',)
    hardware_integers = True


class TestQuantizers(ExactnessTest):
    models = {
        'inputs': lambda: branches(
            (4, 3, 6), {n: QLayerNormalization(q, name=n) for n, q in INPUTS.items()}, 'quantized_bits(12,3,alpha=1)'
        ),
        'norms': lambda: branches(
            (4, 3, 6), {n: QLayerNormalization(norm_quantizer=q, name=n) for n, q in NORMS.items()}, INPUT
        ),
        'affine': lambda: branches((4, 3, 6), {n: QLayerNormalization(name=n, **k) for n, k in AFFINES.items()}, INPUT),
    }
    quantizer = 'quantized_bits(12,3,alpha=1)'
    io_types = ('io_stream',)
    reuse_factors = ('mixed',)
    hardware_integers = True
    n_random = 20


@pytest.mark.parametrize('source', [INPUT, 'quantized_bits(8,0,1,alpha=1)', 'quantized_relu(8,2)'])
def test_largest_arithmetic(source, tmp_path):
    """256 channels of 8 bits use all of the 32-bit integers: one channel against all others, and spreads in between."""
    inputs = keras.Input((256,))
    x = QActivation(source, name='source')(inputs)
    model = keras.Model(inputs, QLayerNormalization(source, norm_quantizer='quantized_bits(12,4,alpha=1)', name='ln')(x))
    frac = {'3': 4, '0': 7, '2': 6}[source.split(',')[1][0]]
    x = pixels(256, frac, n=20)
    if 'relu' in source:
        x = x + 128 * 2.0**-frac
    hls_model = convert(model, tmp_path, reuse=64)
    assert_exact(model, hls_model, x.astype(np.float32), hardware_integers=True)


def test_after_a_convolution(tmp_path):
    """The convolution rounds to the input quantizer; the normalization to the quantizer behind it."""
    inputs = keras.Input((6, 5, 3), name='input_layer')
    x = QActivation(INPUT, name='input_quantizer')(inputs)
    x = QConv2D(8, 3, padding='same', kernel_quantizer='quantized_bits(4,0,alpha=1)', use_bias=False, name='conv')(x)
    x = QLayerNormalization('quantized_bits(9,4,alpha=1)', name='ln')(x)
    x = QActivation('quantized_relu(6,2)', name='relu')(x)
    model = keras.Model(inputs, x)
    hls_model = convert(model, tmp_path)
    assert [n.name for n in hls_model.get_layers()] == ['input_layer', 'conv', 'ln']
    assert_exact(model, hls_model, images((6, 5, 3), quantizer=INPUT))


def test_inside_an_ode_block(tmp_path):
    layers = [
        QLayerNormalization(name='ln'),
        QActivation('quantized_relu(6,2)', name='relu'),
        QConv2D(5, 1, kernel_quantizer='quantized_bits(4,0,alpha=1)', use_bias=False, name='pw'),
        QActivation(OUTPUT, name='slope'),
    ]
    block = ODEBlock(layers, 3, state_quantizer=INPUT, name='ode')
    model = branches((4, 3, 5), {'ode': block}, INPUT)
    assert_exact(model, convert(model, tmp_path, reuse='mixed'), images((4, 3, 5), 6, INPUT))


def folded(n_chan, foldings):
    """A model with a normalization for each number of SIMD, and its hls_config."""
    layers = {f'simd{n}': QLayerNormalization(name=f'simd{n}') for n in foldings}
    layers['no_gamma'] = QLayerNormalization(scale=False, name='no_gamma')
    config = {f'simd{n}': {'SIMD': n} for n in foldings} | {'no_gamma': {'SIMD': foldings[0]}}
    return branches((5, 4, n_chan), layers, INPUT), {'LayerName': config}


@pytest.mark.parametrize('io_type', ['io_stream', 'io_parallel'])
@pytest.mark.parametrize(('n_chan', 'foldings'), [(12, (1, 2, 3, 4, 6, 12)), (15, (5, 3, 1)), (7, (1, 7))])
def test_any_number_of_lanes(n_chan, foldings, io_type, tmp_path):
    """Beats of all widths, odd ones too, from one channel to all of them."""
    model, config = folded(n_chan, foldings)
    hls_model = convert(model, tmp_path, io_type, hls_config=config)
    for n in foldings:
        node = hls_model.graph[f'simd{n}']
        assert (node.lanes_in(), node.lanes_out, node.reuse) == (n, n, n_chan // n)
    assert_exact(model, hls_model, images((5, 4, n_chan), 4, INPUT), hardware_integers=True)


def test_cycles_multipliers_memories_and_settings(tmp_path):
    model = branches((5, 7, 12), {'ln': QLayerNormalization(name='ln')}, INPUT)
    config = config_from_model(model)
    settings = {'ReuseFactor': 1, 'SIMD': 12, 'WeightStorage': 'auto', 'MultImpl': 'auto'}
    assert config['LayerName']['ln'] == {'Trace': False, **settings}
    del config['LayerName']['ln']['SIMD']
    config['LayerName']['ln'].update(ReuseFactor=4, WeightStorage='lutram', MultImpl='dsp')
    hls_model = convert(model, tmp_path, hls_config=config)
    node = hls_model.graph['ln']
    assert node.settings == {'ReuseFactor': 4, 'SIMD': 3, 'WeightStorage': 'lutram', 'MultImpl': 'dsp'}
    assert node.n_beats == 35 * 4
    assert node.cycles == process_of(node).cycles == (35 + 1) * 4
    assert node.multipliers == 3 * 3 + 1
    assert node.macs == 35 * 12 * 3
    beats = np.arange(35 * 4)
    assert (node.last_input_of() == np.minimum(beats + 4, 35 * 4 - 1)).all()
    memories = {m.name: (m.kind, m.words, m.lanes, m.width, m.impl) for m in node.memories}
    assert memories == {
        'table': ('rom', 768, 1, 12, 'lutram'),
        'gamma': ('rom', 4, 3, 8, 'lutram'),
        'beta': ('rom', 4, 3, 8, 'lutram'),
        'pixel': ('ram', 4, 3, 8, 'lutram'),
    }
    quietly(hls_model.write)
    source = (tmp_path / 'firmware' / 'parameters.h').read_text()
    for name in 'rgb':
        assert f'#pragma HLS BIND_STORAGE variable={name}{node.index} type=rom_1p impl=lutram' in source
    assert '#pragma HLS BIND_STORAGE variable=pixel type=ram_s2p impl=lutram' in source


def test_widths_of_the_products(tmp_path):
    """The square of the sum; x^2, d / sqrt(v), and gamma * y where there is a gamma."""
    model, config = folded(12, (3,))
    hls_model = convert(model, tmp_path, hls_config=config)
    with_gamma, without = (hls_model.graph[name].products for name in ('simd3', 'no_gamma'))
    assert [(p.count, p.widths) for p in with_gamma] == [(1, (12, 12)), (3, (8, 8)), (3, (13, 26)), (3, (8, 8))]
    assert with_gamma[:3] == without
    assert hls_model.graph['no_gamma'].multipliers == 2 * 3 + 1
    assert [m.words for m in hls_model.graph['no_gamma'].memories] == [768, 1, 4, 4]
    # All have factors of more than 4 bits.
    assert [p.uses_dsp for p in with_gamma] == [True] * 4
    hls_model = convert(model, tmp_path, hls_config={'LayerName': {'simd3': {'SIMD': 3, 'MultImpl': 'lut'}}})
    assert not any(p.uses_dsp for p in hls_model.graph['simd3'].products)


def test_a_folding_that_does_not_divide(tmp_path):
    model, _ = folded(12, (1,))
    for settings, message in (
        ({'SIMD': 5}, 'SIMD is 5. Use one of 1, 2, 3, 4, 6, 12'),
        ({'SIMD': 4, 'PE': 2}, 'PE is 2. Use'),
    ):
        with pytest.raises(ConversionError, match=f"layer 'simd1': {message}"):
            convert(model, tmp_path, hls_config={'LayerName': {'simd1': settings}})


@pytest.mark.skipif(cpp.clang_tidy() is None, reason='needs clang-tidy')
@pytest.mark.parametrize('flags', [(), (cpp.HARDWARE_INTEGERS,)])
def test_no_warnings(tmp_path, flags):
    layers = {'a': QLayerNormalization(name='a'), 'b': QLayerNormalization('quantized_relu(6,2)', scale=False, name='b')}
    hls_model = convert(branches((5, 4, 6), layers, INPUT), tmp_path, reuse='mixed')
    quietly(hls_model.write)
    assert cpp.clang_warnings(tmp_path, 'myproject', *flags) == []


# ---------------------------------------------------------------------------------------------------------------------
# Arithmetic
# ---------------------------------------------------------------------------------------------------------------------


def float_norm(x, epsilon):
    x = np.asarray(x, np.float64)
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)


def normalized(x, n_chan, **kwargs):
    layer = QLayerNormalization(center=False, scale=False, **kwargs)
    return np.asarray(layer(x.astype(np.float32)), np.float64)


def test_table_is_monotonic_and_near():
    table = tables.rsqrt_table()
    assert table.shape == (768,)
    assert table.dtype == np.int32
    assert (np.diff(table) <= 0).all()
    assert table.min() >= 2**11
    assert table.max() < 2**12
    assert tables.rsqrt_error() < 1.1e-3


@pytest.mark.parametrize('n_chan', [1, 2, 3, 8, 48, 256])
@pytest.mark.parametrize(('norm', 'frac'), [('quantized_bits(8,3,alpha=1)', 4), ('quantized_bits(16,4,alpha=1)', 11)])
def test_error_against_float(n_chan, norm, frac):
    """Half a unit, the table's relative error, and what rounding epsilon does; an independent computation in float64."""
    x = pixels(n_chan)
    y = normalized(x, n_chan, norm_quantizer=norm)
    expected = float_norm(x, 1e-3)
    epsilon = n_chan**2 * 1e-3 * 4.0**4
    variance = n_chan**2 * np.var(x * 16, axis=-1, keepdims=True)
    rounding = np.abs(max(round(epsilon), 1) - epsilon) / 2 / (variance + min(max(round(epsilon), 1), epsilon))
    lsb = 2.0**-frac
    lo, hi = (-128, 127) if frac == 4 else (-(2**15), 2**15 - 1)
    within = np.clip(expected, lo * lsb, hi * lsb)
    bound = lsb / 2 + np.abs(expected) * (1.1e-3 + 1.002 * rounding) + 1e-9
    assert (np.abs(y - within) <= bound).all()


@pytest.mark.parametrize('n_chan', [8, 48])
def test_documented_error(n_chan):
    """What the docstring of QLayerNormalization says."""
    x = np.random.default_rng(0).normal(0, 1, (20000, n_chan))
    x = np.clip(np.rint(x * 16), -128, 127) / 16
    error = normalized(x, n_chan) - float_norm(x, 1e-3)
    assert np.abs(error).max() < 0.036
    assert np.sqrt(np.mean(error**2)) < 0.0185


def test_constant_pixels_give_beta():
    layer = QLayerNormalization()
    layer.build((None, 6))
    beta = np.array([-1, -0.5, 0, 0.25, 1.5, 1.984375])
    layer.beta.assign(beta)
    y = np.asarray(layer(np.repeat(np.array([[-100.0], [-8], [0], [0.1], [7.9375], [100]], np.float32), 6, axis=1)))
    assert (y == beta).all()


SOURCES = (FixedType(8, 4), FixedType(8, 1, False), FixedType(10, 2), FixedType(7, 7), FixedType(16, 4))


@pytest.mark.parametrize('source', SOURCES, ids=str)
def test_widths_hold_the_worst_case(source):
    """The integers of the kernel, with Python's: pixels at the ends of the type make them as large as they get."""
    n_chan = 2 ** (16 - source.width)
    a = LayerNormArithmetic('ln', source, n_chan, 1e-3, FixedType(8, 4, True, 'RND_CONV', 'SAT'))
    rng = np.random.default_rng(0)
    x = [rng.choice([source.lo, source.hi], n_chan, p=[p, 1 - p]) for p in (0, 1, 0.5, 0.1) for _ in range(20)]
    x += [np.where(np.arange(n_chan) == 0, source.lo, source.hi), np.where(np.arange(n_chan) == 0, source.hi, source.lo)]
    table = tables.rsqrt_table()

    def fits(value, width):
        assert -(2 ** (width - 1)) <= value < 2 ** (width - 1)

    for row in x:
        row = [int(v) - a.offset for v in row]
        total, squares = sum(row), sum(v * v for v in row)
        fits(total, a.widths['sum_width'])
        fits(squares, a.widths['square_width'])
        for v in (n_chan * squares, total**2, n_chan * squares - total**2 + a.epsilon_stored):
            fits(v, a.widths['variance_width'])
        v = n_chan * squares - total**2 + a.epsilon_stored
        shift = (30 - v.bit_length()) // 2
        assert 2**28 <= v << (2 * shift) < 2**30
        scale = int(table[(v << (2 * shift) >> 20) - 256]) << shift
        for c in row:
            fits(c, a.widths['x_width'])
            fits(n_chan * c, a.widths['deviation_width'])
            fits(n_chan * c - total, a.widths['deviation_width'])
            fits((n_chan * c - total) * scale, a.widths['product_width'])
    assert max(a.widths.values()) <= 32


# ---------------------------------------------------------------------------------------------------------------------
# Gradients, training, serialization
# ---------------------------------------------------------------------------------------------------------------------


def gradients(layer, x, weights):
    import tensorflow as tf

    x = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x) * weights)
    return [np.asarray(g) for g in tape.gradient(loss, [x, *layer.trainable_variables])]


def test_gradient_is_that_of_layer_normalization():
    rng = np.random.default_rng(0)
    x = np.rint(rng.normal(0, 16, (20, 6))) / 16
    weights = rng.normal(size=(20, 6)).astype(np.float32)
    gamma, beta = rng.integers(-64, 64, (2, 6)) / 64
    ours, reference, plain = QLayerNormalization(), keras.layers.LayerNormalization(epsilon=1e-3), QLayerNormalization(None)
    for layer in (ours, reference, plain):
        layer.build((None, 6))
        layer.gamma.assign(gamma)
        layer.beta.assign(beta)
    expected = gradients(reference, x, weights)
    for got, want in zip(gradients(plain, x, weights), expected):
        assert np.allclose(got, want, atol=1e-5)
    of_x, of_gamma, of_beta = gradients(ours, x, weights)
    assert np.allclose(of_x, expected[0], atol=1e-5)
    assert np.allclose(of_beta, expected[2], atol=1e-5)
    assert np.allclose(of_gamma, expected[1], atol=0.05 * np.abs(weights).sum(0).max())  # with the rounded values as factor
    assert not np.array_equal(of_gamma, expected[1])


def test_float_mode_is_layer_normalization():
    x = np.random.default_rng(0).normal(0, 3, (20, 5, 6)).astype(np.float32)
    ours = QLayerNormalization(None, None, None, norm_quantizer=None)
    assert np.allclose(ours(x), keras.layers.LayerNormalization(epsilon=1e-3)(x), atol=1e-6)


def trainable_model():
    inputs = keras.Input((4, 3, 6))
    x = QActivation(INPUT)(inputs)
    x = QConv2D(6, 1, kernel_quantizer='quantized_bits(6,1,alpha=1)', bias_quantizer='quantized_bits(8,2,alpha=1)')(x)
    x = QLayerNormalization(name='ln')(x)
    return keras.Model(inputs, QActivation(INPUT)(x))


def test_it_learns_and_converts(tmp_path):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(0, 2, (512, 4, 3, 6)).astype(np.float32)
    target = (float_norm(x, 1e-3) * rng.uniform(0.3, 1, 6) + rng.uniform(-1, 1, 6)).astype(np.float32)
    model = trainable_model()
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss='mse')
    loss = model.fit(x, target, epochs=10, verbose=0).history['loss']
    assert loss[-1] < 0.4 * loss[0]
    assert_exact(model, convert(model, tmp_path), x[:50])


def test_forward_is_exact_when_compiled():
    """Eager, as a graph, and with XLA, alone and with its gradient."""
    import tensorflow as tf

    layer = QLayerNormalization()
    layer.build((None, 48))
    rng = np.random.default_rng(0)
    layer.gamma.assign(rng.uniform(-2, 2, 48))
    layer.beta.assign(rng.uniform(-2, 2, 48))
    x = tf.constant(pixels(48, n=500), tf.float32)

    def with_gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(y * y)
        return y, tape.gradient(loss, x)

    expected = np.asarray(layer(x))
    assert (expected * 2**10 == np.rint(expected * 2**10)).all()
    for jit in (False, True):
        assert np.array_equal(tf.function(layer, jit_compile=jit)(x), expected)
        assert np.array_equal(tf.function(with_gradient, jit_compile=jit)(x)[0], expected)


def test_round_trip(tmp_path):
    layers = {
        'default': QLayerNormalization(name='default'),
        'other': QLayerNormalization(
            'quantized_relu(6,2)', None, 'quantized_bits(6,1,alpha=1)', 'quantized_bits(9,3,1,alpha=1)', OUTPUT,
            epsilon=0.01, axis=3, gamma_initializer='zeros', beta_regularizer='l2', name='other',
        ),
        'float': QLayerNormalization(None, None, None, norm_quantizer=None, scale=False, name='float'),
    }  # fmt: skip
    model = branches((4, 3, 6), layers, INPUT)
    model.save(tmp_path / 'model.keras')
    again = keras.models.load_model(tmp_path / 'model.keras')
    x = images((4, 3, 6), quantizer=INPUT)
    for a, b in zip(model.predict(x, verbose=0), again.predict(x, verbose=0)):
        assert np.array_equal(a, b)
    for name in layers:
        assert model.get_layer(name).get_config() == again.get_layer(name).get_config()


SCRIPT = """
import sys, numpy as np, keras, qkeras
from hls4ml_ext import QLayerNormalization
assert keras.backend.backend() == sys.argv[1]
model = keras.models.load_model(sys.argv[2])
x = np.load(sys.argv[3])
np.save(sys.argv[4], model.predict(x, verbose=0))
model.compile(optimizer=keras.optimizers.Adam(0.01), loss='mse')
loss = model.fit(x, np.clip(0.2 * x, -1, 1), epochs=5, verbose=0).history['loss']
assert loss[-1] < 0.9 * loss[0], loss
y = model.predict(x, verbose=0)
model.save(sys.argv[4] + '.keras')
assert np.array_equal(keras.models.load_model(sys.argv[4] + '.keras').predict(x, verbose=0), y)
np.save(sys.argv[4] + '.trained.npy', y)
"""


@pytest.mark.slow
def test_jax_computes_the_same_numbers_and_trains(tmp_path):
    model = trainable_model()
    ln = model.get_layer('ln')
    rng = np.random.default_rng(0)
    ln.gamma.assign(rng.uniform(-2, 2, 6))
    ln.beta.assign(rng.uniform(-2, 2, 6))
    model.save(tmp_path / 'model.keras')
    x = images((4, 3, 6), 200, INPUT)
    np.save(tmp_path / 'x.npy', x)
    for backend in ('tensorflow', 'jax'):
        arguments = [backend, *(str(tmp_path / f) for f in ('model.keras', 'x.npy', f'{backend}.npy'))]
        env = {**os.environ, 'KERAS_BACKEND': backend}
        run = subprocess.run([sys.executable, '-c', SCRIPT, *arguments], env=env, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
    assert np.array_equal(np.load(tmp_path / 'tensorflow.npy'), np.load(tmp_path / 'jax.npy'))
    # What JAX has trained, TensorFlow computes alike.
    trained = keras.models.load_model(tmp_path / 'jax.npy.keras')
    assert np.array_equal(trained.predict(x, verbose=0), np.load(tmp_path / 'jax.npy.trained.npy'))


# ---------------------------------------------------------------------------------------------------------------------
# Refusals
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('axis', [1, 2, -2, (1, 2), None, True])
def test_other_axes(axis):
    with pytest.raises(ConversionError, match=r"layer 'ln': axis is .*\. Use axis=-1"):
        QLayerNormalization(axis=axis, name='ln').build((None, 4, 3, 6))


@pytest.mark.parametrize('axis', [-1, 3, [-1], (3,)])
def test_last_axis(axis):
    QLayerNormalization(axis=axis, name='ln').build((None, 4, 3, 6))


@pytest.mark.parametrize('epsilon', [0, -1e-3, float('nan'), float('inf')])
def test_epsilon(epsilon):
    with pytest.raises(ValueError, match='QLayerNormalization ln: epsilon is .* Use a positive number'):
        QLayerNormalization(epsilon=epsilon, name='ln')


def test_norm_quantizer():
    with pytest.raises(ValueError, match='it has an input_quantizer but no norm_quantizer'):
        QLayerNormalization(norm_quantizer=None, name='ln')
    for quantizer in ('quantized_relu(8,3)', 'quantized_bits(32,3,alpha=1)'):
        with pytest.raises(ConversionError, match="layer 'ln': norm_quantizer rounds to .* Use a signed type"):
            QLayerNormalization(norm_quantizer=quantizer, name='ln').build((None, 6))


@pytest.mark.parametrize(('n_chan', 'bits', 'most'), [(260, 8, 7), (512, 8, 7), (256, 9, 8), (48, 16, 10), (1, 17, 16)])
def test_too_large_for_32_bits(n_chan, bits, most):
    message = rf"layer 'ln': the statistics of {n_chan} channels of {bits} bits .* here {most} bits"
    with pytest.raises(ConversionError, match=message):
        QLayerNormalization(f'quantized_bits({bits},3,alpha=1)', name='ln').build((None, n_chan))
    QLayerNormalization(f'quantized_bits({most},3,alpha=1)', name='ln').build((None, n_chan))


def test_too_many_channels():
    layer = QLayerNormalization('quantized_bits(4,1,alpha=1)', name='ln')
    layer.build((None, 1000))
    with pytest.raises(ConversionError, match="layer 'ln': the normalized values of 1100 channels .* Use at most 1000"):
        QLayerNormalization('quantized_bits(4,1,alpha=1)', name='ln').build((None, 1100))


def test_too_large_an_epsilon():
    layer = QLayerNormalization('quantized_bits(8,-2,alpha=1)', name='ln')
    with pytest.raises(ConversionError, match=r"layer 'ln': epsilon is 0.001, too large .* an epsilon of at most 0.00049"):
        layer.build((None, 256))
    QLayerNormalization('quantized_bits(8,-2,alpha=1)', epsilon=4.8e-4, name='ln').build((None, 256))


def refused(layer, tmp_path, **kwargs):
    model = branches((4, 3, 6), {'x': layer}, INPUT)
    return convert(model, tmp_path, **kwargs)


def test_conversion_needs_quantizers(tmp_path):
    with pytest.raises(ConversionError, match="layer 'ln': it has no input_quantizer and computes in float"):
        refused(QLayerNormalization(None, name='ln'), tmp_path)
    with pytest.raises(ConversionError, match="layer 'ln': gamma has no quantizer. Give the layer a gamma_quantizer"):
        refused(QLayerNormalization(gamma_quantizer=None, name='ln'), tmp_path)
    with pytest.raises(ConversionError, match="layer 'ln': beta has no quantizer. Give the layer a beta_quantizer"):
        refused(QLayerNormalization(beta_quantizer=None, name='ln'), tmp_path)
    with pytest.raises(ConversionError, match='is not a rounding to a fixed-point type'):
        QLayerNormalization('ternary(alpha=1)', name='ln').build((None, 6))


def test_conversion_refuses_what_float_cannot_hold(tmp_path):
    with pytest.raises(PrecisionError, match="layer 'ln': gamma times the normalized value plus beta needs 29 bits"):
        refused(QLayerNormalization(gamma_quantizer='quantized_bits(20,-5,alpha=1)', name='ln'), tmp_path)


def test_flattened_pixels(tmp_path):
    with pytest.raises(ConversionError, match="layer 'ln': it normalizes 72 values, but a pixel of its input has 6"):
        refused([keras.layers.Flatten(), QLayerNormalization(name='ln')], tmp_path)
