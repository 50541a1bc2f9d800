"""The phases of training."""

import numpy as np
import pytest

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.project import BuiltModel, Project, Training
from hls4ml_ext.train.calibration import all_layers
from hls4ml_ext.train.data import Dataset
from hls4ml_ext.train.sources import Digits
from hls4ml_ext.train.training import Trainer
from models.ode_mhsa import Knobs

TINY = {'stem': {'filters': 4}, 'widths': [4], 'ode': {'n_steps': 1}, 'mhsa': None}


def project(**training):
    model = BuiltModel(builder='ode_mhsa', knobs=Knobs(**TINY))
    return Project(path='p.yml', name='p', model=model, data=Digits(), training=Training(batch_size=16, **training))


@pytest.fixture
def data():
    """Bright and dark images: two classes that anything can learn."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 160)
    x = (rng.uniform(-0.5, 0.5, (160, 6, 6, 1)) + (y[:, None, None, None] - 0.5)).astype('float32')
    return Dataset('light', x[:128], y[:128], x[128:], y[128:], 2)


def test_three_phases_learn_and_repeat(data):
    phases = {name: {'epochs': 3, 'learning_rate': 0.02} for name in ('pretrain', 'qat', 'finetune')}
    shown = []
    trainers = [Trainer(project(**phases), data, lambda log, steps: shown.append((log.name, steps)) or []) for _ in range(2)]
    first, second = (trainer.run() for trainer in trainers)
    assert shown == [(name, 3 * 8) for name in phases] * 2  # 10 % of 128 images are held out
    assert not any('BatchNormalization' in type(layer).__name__ for layer in all_layers(first))
    assert (first.predict(data.x_test, verbose=0).argmax(-1) == data.y_test).mean() > 0.9
    for a, b in zip(first.get_weights(), second.get_weights()):
        np.testing.assert_array_equal(a, b)
    for log in trainers[0].logs:
        assert len(log.history['loss']) == len(log.history['val_accuracy']) == log.epochs
        assert log.seconds > 0


def test_random_weights_need_no_labels(data):
    unlabelled = Dataset('light', data.x_train, None, data.x_test, None, 2)
    model = Trainer(project(), unlabelled).run()
    assert model.predict(data.x_test, verbose=0).std() > 0.01
    with pytest.raises(ProjectError, match="light has no labels to train on. Use 'training: none'"):
        Trainer(project(qat={'epochs': 1}), unlabelled).run()


def test_a_loss_that_is_not_a_number_ends_training(data):
    data.x_train[5] = np.nan
    message = r'the loss is nan in epoch 1 of pretrain, step \d+. Lower training.pretrain.learning_rate'
    with pytest.raises(ProjectError, match=message):
        Trainer(project(pretrain={'epochs': 1}), data).run()
