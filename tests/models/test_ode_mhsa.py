"""The ODE-MHSA builder: shapes and parameter counts are pinned."""

import warnings

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from hls4ml_ext import ODEBlock, fold_batchnorm
from hls4ml_ext.models.knobs import Quantization
from hls4ml_ext.models.ode_mhsa import Knobs, build
from hls4ml_ext.train.calibration import all_layers


@pytest.mark.parametrize(
    ('preset', 'shape', 'parameters', 'folded', 'maps'),
    [
        ('8x8', (8, 8, 1), 9082, 8410, {'ode1': (8, 8, 16), 'ode2': (4, 4, 32), 'mhsa': (4, 4, 32)}),
        ('32x32-dense', (32, 32, 3), 184130, 182594, {'ode1': (32, 32, 16), 'ode3': (8, 8, 80), 'mhsa': (8, 8, 80)}),
        ('96x96', (96, 96, 3), 456234, 447594, {'ode1': (24, 24, 64), 'ode3': (6, 6, 256), 'mhsa': (6, 6, 256)}),
        ('96x96-large', (96, 96, 3), 457386, 448746, {'ode1': (48, 48, 64), 'ode3': (12, 12, 256), 'mhsa': (12, 12, 256)}),
    ],
)
def test_presets(preset, shape, parameters, folded, maps):
    model = build(shape, 10, preset=preset)
    assert model.output_shape == (None, 10)
    assert model.count_params() == parameters
    assert {name: model.get_layer(name).output.shape[1:] for name in maps} == maps
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='.*beyond the range')
        assert fold_batchnorm(model).count_params() == folded


def test_number_of_steps_costs_no_parameters():
    counts = {build((8, 8, 1), 10, preset='8x8', ode={'n_steps': n}).count_params() for n in (1, 3)}
    assert len(counts) == 1


def test_float_and_quantized_model_have_the_same_weights():
    quantized, floating = (build((8, 8, 1), 10, bits, preset='8x8') for bits in (Quantization(), None))
    assert [w.path for w in quantized.weights] == [w.path for w in floating.weights]
    assert [w.shape for w in quantized.weights] == [w.shape for w in floating.weights]
    assert not any(type(layer).__name__ == 'QActivation' for layer in all_layers(floating))
    floating.set_weights(quantized.get_weights())
    x = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 1)).astype('float32')
    assert np.corrcoef(quantized(x).numpy().ravel(), floating(x).numpy().ravel())[0, 1] > 0.5


@pytest.mark.parametrize(
    'knobs',
    [
        {'mhsa': None},
        {'downsample': 'dense', 'widths': [4, 6, 8]},
        {'ode': {'n_steps': [1, 2], 'depth': 2, 'time_channel': True, 'solver': 'heun', 'kernel_size': 5}},
        {'ode': {'convolution': 'dense', 'depth': 2, 'kernel_size': 5}},
        {'mhsa': {'heads': 3, 'key_dim': 5, 'position': 'additive', 'attention': 'softmax', 'n_steps': 1}},
        {'mhsa': {'position': None}},
        {'stem': {'filters': 5, 'kernel_size': 5, 'strides': 2}},
    ],
)  # fmt: skip
def test_knobs(knobs, tmp_path):
    model = build((9, 11, 2), 3, **{'widths': [4, 6], **knobs})
    x = np.random.default_rng(0).uniform(-1, 1, (2, 9, 11, 2)).astype('float32')
    y = model(x).numpy()
    assert y.shape == (2, 3)
    assert np.isfinite(y).all()
    model.save(tmp_path / 'm.keras')
    assert (keras.models.load_model(tmp_path / 'm.keras')(x).numpy() == y).all()
    blocks = [layer for layer in model.layers if isinstance(layer, ODEBlock)]
    assert len(blocks) == len(knobs.get('widths', [4, 6])) + (knobs.get('mhsa', 1) is not None)


def test_mistakes():
    with pytest.raises(ValidationError, match='heads'):
        build((8, 8, 1), 10, mhsa={'heads': 0})
    with pytest.raises(ValidationError, match='width'):
        build((8, 8, 1), 10, width=[3])
    with pytest.raises(ValidationError, match="preset: 'x' is not one of"):
        Knobs(preset='x')
