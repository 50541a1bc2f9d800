"""The Keras side of the ODE block: shapes, training, serialization, backends."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from qkeras import QActivation, QConv2D, QDepthwiseConv2D

from hls4ml_ext import ODEBlock

WEIGHTS = 'quantized_bits(4,0,alpha=1)'
STATE = 'quantized_bits(10,3,alpha=1)'


def layers(channels=4):
    return [
        QActivation('quantized_relu(8,2)', name='relu'),
        QDepthwiseConv2D(3, padding='same', depthwise_quantizer=WEIGHTS, use_bias=False, name='dw'),
        QActivation('quantized_bits(8,2,alpha=1)', name='round'),
        QConv2D(channels, 1, kernel_quantizer=WEIGHTS, bias_quantizer='quantized_bits(8,2,alpha=1)', name='pw'),
    ]


def model_of(block, shape=(6, 5, 4)):
    inputs = keras.Input(shape)
    return keras.Model(inputs, block(inputs))


@pytest.mark.parametrize('n_steps', [0, -1, 2.5, True, '3'])
def test_number_of_steps(n_steps):
    with pytest.raises(ValueError, match='ODEBlock ode: n_steps is .* at least 1'):
        ODEBlock(layers(), n_steps, name='ode')


def test_dynamics_that_change_the_shape():
    with pytest.raises(
        ValueError, match=r'ODEBlock ode: the dynamics gives shape \(6, 5, 3\), but the state has \(6, 5, 4\)'
    ):
        model_of(ODEBlock(layers(3), 2, name='ode'))


def test_dynamics_of_another_input_shape():
    inner = keras.Sequential([keras.Input((6, 5, 3)), *layers(4)])
    with pytest.raises(
        ValueError, match=r'ODEBlock ode: the dynamics takes shape \(6, 5, 3\), but the state has \(6, 5, 4\)'
    ):
        model_of(ODEBlock(inner, 2, name='ode'))


def test_not_an_image():
    with pytest.raises(ValueError, match=r'ODEBlock ode: its input has shape \(7,\)'):
        model_of(ODEBlock([keras.layers.Identity()], 2, name='ode'), (7,))


@pytest.mark.parametrize('dynamics, message', [([], 'dynamics is empty'), (3, 'dynamics is a int')])
def test_dynamics_that_are_none(dynamics, message):
    with pytest.raises(ValueError, match=message):
        ODEBlock(dynamics, 2)


def test_weights_are_shared_by_all_steps():
    assert model_of(ODEBlock(layers(), 1)).count_params() == model_of(ODEBlock(layers(), 10, solver='rk4')).count_params()


def test_one_euler_step_is_a_residual_block():
    block = ODEBlock(layers(), 1)
    model = model_of(block)
    x = np.random.default_rng(0).normal(size=(3, 6, 5, 4)).astype('float32')
    assert np.array_equal(np.asarray(model(x)), x + np.asarray(block.dynamics(x)))


def test_rounded_coefficients():
    block = ODEBlock(layers(), 10, solver='rk4', coefficient_bits=5)
    _, b = block.tableau()
    assert b == [17 / 1024, 17 / 512, 17 / 512, 17 / 1024]  # 1/60 and 1/30 with five significant bits
    assert ODEBlock(layers(), 8).tableau()[1] == [0.125]


@pytest.mark.parametrize('solver', ['euler', 'rk4'])
@pytest.mark.parametrize('time_channel', [False, True])
def test_round_trip(tmp_path, solver, time_channel):
    block = ODEBlock(
        layers(), 3, solver=solver, state_quantizer=STATE, time_channel=time_channel, coefficient_bits=6, name='ode'
    )
    model = model_of(block)
    x = np.random.default_rng(0).normal(size=(5, 6, 5, 4)).astype('float32')
    model.save(tmp_path / 'model.keras')
    again = keras.models.load_model(tmp_path / 'model.keras')
    assert np.array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))
    config, loaded = block.get_config(), again.get_layer('ode').get_config()
    assert {k: v for k, v in config.items() if k != 'dynamics'} == {k: v for k, v in loaded.items() if k != 'dynamics'}


def test_functional_dynamics_round_trip(tmp_path):
    inputs = keras.Input((6, 5, 4))
    x = inputs
    for layer in layers():
        x = layer(x)
    skip = keras.layers.Add(name='skip')([x, inputs])
    model = model_of(ODEBlock(keras.Model(inputs, skip, name='branches'), 2, state_quantizer=STATE))
    model.save(tmp_path / 'model.keras')
    x = np.random.default_rng(0).normal(size=(5, 6, 5, 4)).astype('float32')
    again = keras.models.load_model(tmp_path / 'model.keras')
    assert np.array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))


def test_it_learns():
    """Gradients go through the quantizers and all steps: an ODE block fits a target that its shape can express."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 4, 4, 4)).astype('float32')
    model = model_of(ODEBlock(layers(), 3, solver='heun', state_quantizer=STATE), (4, 4, 4))
    model.compile(optimizer=keras.optimizers.Adam(0.02), loss='mse')
    history = model.fit(x, 0.5 * x, epochs=8, batch_size=32, verbose=0).history['loss']
    assert history[-1] < 0.6 * history[0]


SCRIPT = """
import json, sys, numpy as np, keras
from qkeras import QActivation, QConv2D, QDepthwiseConv2D
from hls4ml_ext import ODEBlock
assert keras.backend.backend() == sys.argv[1]
model = keras.models.load_model(sys.argv[2])
x = np.load(sys.argv[3])
y = keras.ops.convert_to_numpy(model(x))
np.save(sys.argv[4], y)
model.compile(optimizer=keras.optimizers.Adam(0.01), loss='mse')
history = model.fit(x, 0.5 * x, epochs=4, verbose=0).history['loss']
print(json.dumps(history))
"""


@pytest.mark.slow
def test_jax_computes_the_same_numbers_and_trains(tmp_path):
    pytest.importorskip('jax')
    keras.utils.set_random_seed(0)
    block = ODEBlock(layers(), 3, solver='rk4', state_quantizer=STATE, time_channel=True, name='ode')
    model = model_of(block)
    model.save(tmp_path / 'model.keras')
    x = np.random.default_rng(0).normal(size=(64, 6, 5, 4)).astype('float32')
    np.save(tmp_path / 'x.npy', x)
    outputs = []
    for backend in ('tensorflow', 'jax'):
        out = tmp_path / f'{backend}.npy'
        arguments = [backend, str(tmp_path / 'model.keras'), str(tmp_path / 'x.npy'), str(out)]
        env = {**os.environ, 'KERAS_BACKEND': backend, 'TF_CPP_MIN_LOG_LEVEL': '3'}
        run = subprocess.run([sys.executable, '-c', SCRIPT, *arguments], env=env, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        history = json.loads(run.stdout.strip().splitlines()[-1])
        assert history[-1] < history[0]
        outputs.append(np.load(out))
    assert np.array_equal(*outputs)
