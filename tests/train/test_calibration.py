"""Binary points of weights, and statistics of batch normalization."""

import warnings

import keras
import numpy as np
import pytest

from hls4ml_ext import fold_batchnorm
from hls4ml_ext.models.ode_mhsa import build
from hls4ml_ext.train.calibration import all_layers, best_integer, calibrate_batchnorm, choose_binary_points


@pytest.mark.parametrize(('scale', 'integer'), [(1.0, 0), (0.25, -2), (8.0, 3)])
def test_best_integer_scales_with_the_values(scale, integer):
    values = np.linspace(-1, 7 / 8, 16) * scale
    assert best_integer(values, 4) == integer


def test_best_integer_clips_an_outlier_rather_than_coarsen_all():
    values = np.concatenate([np.random.default_rng(0).normal(0, 0.1, 10000), [0.9]])
    assert best_integer(values, 4) < 0
    assert best_integer(np.zeros(5), 4) == 0


def test_binary_points_survive_folding_and_saving(tmp_path):
    model = build((8, 8, 1), 10, preset='8x8')
    for layer in all_layers(model):
        if layer.name == 'pw1':
            layer.kernel.assign(layer.kernel / 50)
    choose_binary_points(model)
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='.*beyond the range')
        folded = fold_batchnorm(model)
    folded.save(tmp_path / 'm.keras')
    loaded = keras.models.load_model(tmp_path / 'm.keras')
    points = [int(layer.kernel_quantizer_internal.integer) for layer in all_layers(loaded) if layer.name == 'pw1']
    assert len(points) == 2
    assert max(points) <= -5


def test_batchnorm_of_random_weights_normalizes():
    model = build((8, 8, 1), 10, preset='8x8', mhsa=None)
    x = np.random.default_rng(0).uniform(-1, 1, (32, 8, 8, 1)).astype('float32')
    choose_binary_points(model)
    momenta = [layer.momentum for layer in all_layers(model) if hasattr(layer, 'momentum')]
    calibrate_batchnorm(model, x)
    assert [layer.momentum for layer in all_layers(model) if hasattr(layer, 'momentum')] == momenta
    stem = keras.Model(model.input, model.get_layer('stem_bn').output)(x).numpy()
    assert np.abs(stem.mean((0, 1, 2))).max() < 0.1
    assert np.abs(stem.std((0, 1, 2)) - 1).max() < 0.1


@pytest.mark.parametrize(
    ('arguments', 'starts'),
    [({}, [0, 16, 32, 0, 16, 32]), ({'batches': 2}, [0, 16]), ({'batches': None, 'batch_size': 20}, [0, 20])],
)
def test_batches_of_calibration(arguments, starts):
    """Images are shown in order, and from the first one on again where there are not enough."""

    class Model:
        layers = [keras.layers.BatchNormalization()]

        def __call__(self, images, training):
            assert training
            seen.append(int(images[0]))

    seen, advanced = [], []
    calibrate_batchnorm(Model(), np.arange(40), progress=lambda: advanced.append(1), **arguments)
    assert seen == starts
    assert len(advanced) == len(starts)


def test_training_keeps_weights_within_the_range_that_was_chosen():
    """QKeras clips weights to the range of the layer's first quantizer, whatever range it has later."""
    model = build((8, 8, 1), 10, preset='8x8', mhsa=None)
    layers = {layer.name: layer for layer in all_layers(model) if layer.name in ('dw1', 'pw1')}
    layers['dw1'].depthwise_kernel.assign(layers['dw1'].depthwise_kernel * 0 + 3.5)
    layers['pw1'].kernel.assign(layers['pw1'].kernel * 0 + 0.1)
    choose_binary_points(model)
    model.compile(keras.optimizers.SGD(0.0), 'mse')
    x = np.zeros((4, 8, 8, 1), 'float32')
    model.fit(x, np.zeros((4, 10)), verbose=0)
    assert layers['dw1'].depthwise_kernel.numpy().max() == 3.5
    layers['pw1'].kernel.assign(layers['pw1'].kernel * 0 + 5)
    model.fit(x, np.zeros((4, 10)), verbose=0)
    assert layers['pw1'].kernel.numpy().max() == 2.0 ** int(layers['pw1'].kernel_quantizer_internal.integer)
