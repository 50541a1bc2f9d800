"""Ranges of activations from what a float model computes."""

import keras
import numpy as np
import pytest
from qkeras import QActivation, QConv2D

from hls4ml_ext import ODEBlock
from hls4ml_ext.models.ode_mhsa import build
from hls4ml_ext.quantizers import resolve
from hls4ml_ext.train.ranges import (
    Recorder,
    activation_quantizers,
    best_range,
    choose_activation_ranges,
    record,
)


def recorder(quantizer: str, values) -> Recorder:
    result = Recorder(resolve(quantizer))
    result(np.asarray(values, np.float32))
    return result


@pytest.mark.parametrize(
    ('quantizer', 'largest', 'integer'),
    [
        ('quantized_bits(8,2,alpha=1)', 0.9, 0),
        ('quantized_bits(8,2,alpha=1)', 0.2, -2),
        ('quantized_bits(8,2,alpha=1)', 5.0, 3),
        ('quantized_relu(8,2)', 5.0, 3),
        ('quantized_relu(8,2)', 0.2, 0),  # QKeras's quantized_relu has no negative ones
    ],
)
@pytest.mark.parametrize('method', ['minmax', 'mse'])
def test_evenly_spread_numbers_fill_the_range(quantizer, largest, integer, method):
    assert best_range(recorder(quantizer, np.linspace(-largest, largest, 10001)), method) == integer


def test_methods_differ_in_what_they_clip():
    values = np.concatenate([np.random.default_rng(0).normal(0, 0.25, 20000), [30.0]])
    seen = recorder('quantized_bits(4,2,alpha=1)', values)
    assert best_range(seen, 'minmax') == 5
    assert best_range(seen, 'percentile') == 0
    assert best_range(seen, 'mse') <= 1
    with pytest.raises(ValueError, match="method is 'entropy'. Use one of minmax, percentile, mse"):
        choose_activation_ranges(keras.Sequential([]), np.zeros((1, 2, 2, 1)), 'entropy')


def test_minmax_clips_nothing_and_wastes_no_bit():
    for largest in (0.3, 1.0, 3.7, 100.0):
        integer = best_range(recorder('quantized_bits(8,0,alpha=1)', [-largest, largest / 3]), 'minmax')
        assert 2.0 ** (integer - 1) < largest <= 2.0**integer


def test_every_quantizer_of_a_network_is_found_and_left_as_it_was():
    model = build((8, 8, 1), 10, preset='8x8')
    x = np.random.default_rng(0).uniform(-1, 1, (8, 8, 8, 1)).astype(np.float32)
    before = model(x).numpy()
    places = [(owner.name, name) for owner, name in activation_quantizers(model.layers)]
    assert ('mhsa', 'state_quantizer') in places and ('attention', 'qkv_quantizer') in places
    assert ('input_quantizer', 'activation') in places and ('slope', 'activation') in places
    seen = record(model, x)
    assert all(len(r.values) for owner, name, r in seen if getattr(owner, name) is not None)
    assert not any(isinstance(getattr(owner, name), Recorder) for owner, name, _ in seen)
    assert (model(x).numpy() == before).all()


def test_a_recorder_in_a_block_sees_all_steps():
    dynamics = [QActivation('quantized_bits(8,2,alpha=1)', name='slope')]
    inputs = keras.Input((2, 2, 1))
    block = ODEBlock(dynamics, n_steps=3, step_size=1.0, state_quantizer='quantized_bits(12,3,alpha=1)')
    model = keras.Model(inputs, block(inputs))
    x = np.full((1, 2, 2, 1), 0.75, np.float32)
    seen = {name: r for _, name, r in record(model, x)}
    assert sorted(set(seen['activation'].values)) == [0.75, 1.5, 3.0]  # each step doubles the state
    assert (seen['state_quantizer'].lowest, seen['state_quantizer'].highest) == (0.75, 6.0)


def test_ranges_reach_the_hardware_types():
    inputs = keras.Input((4, 4, 1))
    x = QActivation('quantized_bits(8,0,alpha=1)', name='a')(inputs)
    x = QConv2D(2, 1, kernel_quantizer='quantized_bits(8,4,alpha=1)', use_bias=False, name='c')(x)
    x = QActivation('quantized_bits(8,0,alpha=1)', name='b')(x)
    model = keras.Model(inputs, x)
    model.get_layer('c').kernel.assign(np.full((1, 1, 1, 2), 6.0))
    x = np.random.default_rng(0).uniform(-1, 1, (16, 4, 4, 1)).astype(np.float32)
    clipped = model(x).numpy()
    choose_activation_ranges(model, x, 'minmax')
    assert int(model.get_layer('b').activation.integer) == 3
    assert np.abs(clipped).max() <= 1 < np.abs(model(x).numpy()).max()
