"""Accuracies: float, quantized after training, and with other numbers of steps."""

import keras
import numpy as np
import pytest

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.layers.ode.keras import ode_blocks
from hls4ml_ext.models.knobs import Quantization
from hls4ml_ext.models.ode_mhsa import Knobs, build
from hls4ml_ext.project import BuiltModel, Project, Training
from hls4ml_ext.train.calibration import all_layers
from hls4ml_ext.train.data import Dataset
from hls4ml_ext.train.evaluation import post_training_quantized, steps, top1, top1_by_steps
from hls4ml_ext.train.sources import Digits

TINY = {'stem': {'filters': 4}, 'widths': [4], 'ode': {'n_steps': 2}, 'mhsa': {'heads': 1, 'key_dim': 3, 'n_steps': 2}}


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, (64, 6, 6, 1)).astype('float32'), rng.integers(0, 3, 64)
    return Dataset('noise', x, y, x[:40], y[:40], 3)


def test_top1_is_the_share_of_largest_logits(data):
    inputs = keras.Input((6, 6, 1))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
    expected = np.mean([model(x[None]).numpy().argmax() == y for x, y in zip(data.x_test, data.y_test)])
    assert top1(model, data) == expected


def test_post_training_quantization_needs_no_training(data):
    project = Project(
        path='p.yml', name='p', model=BuiltModel(builder='ode_mhsa', knobs=Knobs(**TINY)), data=Digits(),
        training=Training(), quantization=Quantization(weights=8, activations=8),
    )  # fmt: skip
    floating = build((6, 6, 1), 3, None, **TINY)
    expected = floating.predict(data.x_test, verbose=0)
    points = {}
    for method in ('minmax', 'percentile', 'mse'):
        model = post_training_quantized(project, data, floating, method)
        assert not any('BatchNormalization' in type(layer).__name__ for layer in all_layers(model))
        logits = model.predict(data.x_test, verbose=0)
        assert np.corrcoef(logits.ravel(), expected.ravel())[0, 1] > 0.95
        points[method] = [int(layer.activation.integer) for layer in all_layers(model) if 'act' in layer.name]
    assert points['minmax'] != points['mse'] or points['minmax'] != points['percentile']


def test_other_numbers_of_steps_integrate_over_the_same_time(data):
    model = build((6, 6, 1), 3, None, **TINY)
    before = model.predict(data.x_test, verbose=0)
    outputs = {}
    for n in (2, 8, 64, 128):
        with steps(model, n):
            assert [(b.n_steps, b.step_size) for b in ode_blocks(model)] == [(n, 1 / n)] * 2
            outputs[n] = model.predict(data.x_test, verbose=0)
    assert (outputs[2] == before).all()
    assert not (outputs[8] == before).all()
    # Euler's method converges with the first order: what is left to go at 64 steps is about what 128 still halve.
    assert np.abs(outputs[128] - outputs[64]).max() < 0.2 * np.abs(outputs[64] - outputs[8]).max()
    assert (model.predict(data.x_test, verbose=0) == before).all()


def test_accuracy_by_steps(data):
    model = build((6, 6, 1), 3, None, **TINY)
    found = top1_by_steps(model, data, [1, 2])
    assert list(found) == [1, 2] and found[2] == top1(model, data)
    without = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3)], name='plain')
    with pytest.raises(ProjectError, match="model 'plain' has no ODE block"):
        top1_by_steps(without, data, [1])
    unlabelled = Dataset('noise', data.x_train, None, data.x_test, None, 3)
    with pytest.raises(ProjectError, match='the test images of noise have no labels'):
        top1(without, unlabelled)
