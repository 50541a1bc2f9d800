"""The phases of training, and how they go on after an interrupt."""

import csv
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.models.ode_mhsa import Knobs
from hls4ml_ext.project import BuiltModel, Project, Training
from hls4ml_ext.train.calibration import all_layers
from hls4ml_ext.train.checkpoint import Checkpoint, assign, values
from hls4ml_ext.train.data import Dataset
from hls4ml_ext.train.quantization import has_batchnorm
from hls4ml_ext.train.sources import Digits
from hls4ml_ext.train.training import Trainer

TINY = {'stem': {'filters': 4}, 'widths': [4], 'ode': {'n_steps': 1}, 'mhsa': None}


def project(knobs=TINY, **training):
    model = BuiltModel(builder='ode_mhsa', knobs=Knobs(**knobs))
    return Project(path='p.yml', name='p', model=model, data=Digits(), training=Training(batch_size=16, **training))


@pytest.fixture
def data():
    """Bright and dark images: two classes that anything can learn."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 160)
    x = (rng.uniform(-0.5, 0.5, (160, 6, 6, 1)) + (y[:, None, None, None] - 0.5)).astype('float32')
    return Dataset('light', x[:128], y[:128], x[128:], y[128:], 2)


def same(a, b) -> bool:
    return all((x == y).all() for x, y in zip(a.get_weights(), b.get_weights(), strict=True))


def test_three_phases_learn_and_repeat(data):
    phases = {name: {'epochs': 3, 'learning_rate': 0.02} for name in ('pretrain', 'qat', 'finetune')}
    shown = []
    trainers = [Trainer(project(**phases), data, lambda log, steps: shown.append((log.name, steps)) or []) for _ in range(2)]
    first, second = (trainer.run() for trainer in trainers)
    assert shown == [(name, 3 * 7) for name in phases] * 2  # 13 of 128 images are held out; the last 3 don't fill a batch
    assert not any('BatchNormalization' in type(layer).__name__ for layer in all_layers(first))
    assert (first.predict(data.x_test, verbose=0).argmax(-1) == data.y_test).mean() > 0.9
    assert same(first, second)
    for log in trainers[0].logs:
        assert len(log.history['loss']) == len(log.history['val_accuracy']) == log.epochs
        assert log.seconds > 0
        accuracies = log.history['val_accuracy']
        assert accuracies[log.best_epoch - 1] == max(accuracies)
    assert not any(thread.name == 'batches' for thread in threading.enumerate())


def test_random_weights_need_no_labels(data):
    unlabelled = dataclasses.replace(data, y_train=None, y_test=None)
    model = Trainer(project(), unlabelled).run()
    assert model.predict(data.x_test, verbose=0).std() > 0.01
    with pytest.raises(ProjectError, match="light has no labels to train on. Use 'training: none'"):
        Trainer(project(qat={'epochs': 1}), unlabelled).run()


def test_a_loss_that_is_not_a_number_ends_training(data, tmp_path):
    message = r'the loss is nan in epoch 1 of pretrain, step \d+. Lower training.pretrain.learning_rate'
    broken = dataclasses.replace(data, x_train=data.x_train.copy())
    broken.x_train[5] = np.nan
    with pytest.raises(ProjectError, match=message):
        Trainer(project(pretrain={'epochs': 1}), broken).run()

    class Poison(keras.callbacks.Callback):
        """Spoils the weights in the third epoch."""

        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                self.model.get_layer('logits').bias.assign(np.full(2, np.nan))

    trainer = Trainer(project(pretrain={'epochs': 3}), data, lambda log, steps: [Poison()], tmp_path)
    with pytest.raises(ProjectError, match=r'in epoch 3 of pretrain, step 1\..*The weights of epoch 2 are kept in'):
        trainer.run()
    kept = Checkpoint.load(tmp_path / 'training' / 'pretrain.npz')
    assert kept.epoch == 2
    assert all(np.isfinite(array).all() for array in kept.groups['model'])
    Trainer(project(pretrain={'epochs': 3}), data, None, tmp_path).run()  # goes on from there


class Interrupt(keras.callbacks.Callback):
    """Ends training in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.at, self.epoch = epoch, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == self.at and batch == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize(('phase', 'epoch'), [('pretrain', 0), ('pretrain', 2), ('qat', 1), ('finetune', 1)])
def test_resumed_is_as_if_it_had_not_been_interrupted(phase, epoch, data, tmp_path):
    recipe = {
        **{name: {'epochs': 3, 'learning_rate': 0.02} for name in ('pretrain', 'qat', 'finetune')},
        'ema': 0.9, 'weight_decay': 0.01, 'optimizer': 'sgd', 'augmentation': {'crop': 1, 'flip': True},
    }  # fmt: skip
    straight = Trainer(project(**recipe), data).run()
    callbacks = lambda log, steps: [Interrupt(epoch)] if log.name == phase else []  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        Trainer(project(**recipe), data, callbacks, tmp_path).run()
    begun = []
    trainer = Trainer(project(**recipe), data, lambda log, steps: begun.append((log.name, steps)) or [], tmp_path)
    assert same(trainer.run(), straight)
    assert begun[0] == (phase, 7 * (3 - epoch))
    assert [len(log.history['loss']) for log in trainer.logs] == [3, 3, 3]
    with open(tmp_path / 'training.csv') as file:
        rows = list(csv.DictReader(file))
    assert [(row['phase'], row['epoch']) for row in rows] == [(log.name, str(e)) for log in trainer.logs for e in (1, 2, 3)]
    assert float(rows[0]['loss']) == trainer.logs[0].history['loss'][0]


def test_a_checkpoint_of_an_interrupted_other_training_is_not_lost(data, tmp_path):
    phases = {'pretrain': {'epochs': 2}}
    with pytest.raises(KeyboardInterrupt):
        Trainer(project(**phases), data, lambda log, steps: [Interrupt(1)], tmp_path).run()
    file = tmp_path / 'training' / 'pretrain.npz'
    before = file.read_bytes()
    with pytest.raises(ProjectError, match='is of an interrupted training of another model, .* after epoch 1 of 2'):
        Trainer(project({**TINY, 'widths': [8]}, **phases), data, None, tmp_path).run()
    assert file.read_bytes() == before
    Trainer(project(**phases), data, None, tmp_path).run()
    Trainer(project({**TINY, 'widths': [8]}, **phases), data, None, tmp_path).run()  # the other one was complete
    file.write_bytes(b'nothing')
    with pytest.raises(ProjectError, match='is damaged .* Remove it, or train from the start with --retrain'):
        Trainer(project(**phases), data, None, tmp_path).run()


def test_weights_of_another_architecture():
    layer = keras.layers.Dense(3)
    layer.build((None, 2))
    with pytest.raises(ProjectError, match=r'x: .*kernel has shape \(2, 4\), but in the model \(2, 3\)'):
        assign(layer.weights, [np.zeros((2, 4)), np.zeros(3)], 'x')
    with pytest.raises(ProjectError, match='x has 1 arrays, but the model has 2'):
        assign(layer.weights, [np.zeros((2, 3))], 'x')


def test_training_starts_from_another_float_model(data, tmp_path):
    first = Trainer(project(pretrain={'epochs': 2, 'learning_rate': 0.02}), data, None, tmp_path)
    expected = first.run()
    second = Trainer(project(initial=tmp_path / 'float.keras'), data)
    assert same(second.run(), expected)
    with pytest.raises(ProjectError, match='there is no float model'):
        Trainer(project(initial=tmp_path / 'none.keras'), data).run()
    with pytest.raises(ProjectError, match="float.keras' has .* is of another architecture"):
        Trainer(project({**TINY, 'widths': [8]}, initial=tmp_path / 'float.keras'), data).run()


def test_the_average_is_what_is_kept(data):
    """With a long memory the average stays near the start, which the weights themselves have long left."""
    distances = []
    for ema in (0, 0.999):
        trainer = Trainer(project(ema=ema, validation_fraction=0, pretrain={'epochs': 3, 'learning_rate': 0.1}), data)
        model = trainer.build(None)
        start = values(model.trainable_variables)
        trainer._fit(model, 'pretrain', trainer.project.training.pretrain)
        end = values(model.trainable_variables)
        distances.append(sum(float(((a - b) ** 2).sum()) for a, b in zip(start, end)))
    assert 0 < distances[1] < 0.05 * distances[0]


def test_gradients_are_clipped(data):
    """By stochastic gradient descent with momentum 0.9, weights then go at most ten rates times the norm in a step."""
    for clip_norm, far in ((0, True), (1e-3, False)):
        phase = {'epochs': 3, 'learning_rate': 0.1, 'clip_norm': clip_norm}
        trainer = Trainer(project(optimizer='sgd', validation_fraction=0, pretrain=phase), data)
        model = trainer.build(None)
        start = values(model.trainable_variables)
        trainer._fit(model, 'pretrain', trainer.project.training.pretrain)
        pairs = zip(start, values(model.trainable_variables))
        distance = sum(float(((a - b) ** 2).sum()) for a, b in pairs) ** 0.5
        assert (distance > 3 * 8 * 10 * 0.1 * 1e-3) == far, distance


def test_refining_folds_first_and_serves_quantization(data, tmp_path):
    phases = {name: {'epochs': 2, 'learning_rate': 0.02} for name in ('pretrain', 'refine', 'finetune')}
    trainer = Trainer(project(**phases), data, None, tmp_path)
    model = trainer.run()
    assert [log.name for log in trainer.logs] == list(phases)
    refined = keras.models.load_model(tmp_path / 'float.keras')
    assert not has_batchnorm(refined)
    assert [w.shape for w in refined.weights] == [w.shape for w in model.weights]
    assert (model.predict(data.x_test, verbose=0).argmax(-1) == data.y_test).mean() > 0.9
    # Without training, the quantized model has the refined weights.
    again = Trainer(project(initial=tmp_path / 'float.keras'), data).run()
    assert same(again, refined)


@pytest.mark.slow
def test_killed_and_resumed_on_the_command_line(tmp_path):
    """kill -9 in the middle of training, twice; the end is the same as of a training that was left alone."""
    content = {
        'seed': 1,
        'data': {'source': 'digits', 'limit': 20},
        'model': {'builder': 'ode_mhsa', **TINY},
        'training': {'batch_size': 64, 'pretrain': {'epochs': 12, 'learning_rate': 0.01}, 'finetune': {'epochs': 2}},
    }
    (tmp_path / 'p.yml').write_text(yaml.safe_dump(content))
    environment = {**os.environ, 'KERAS_BACKEND': 'tensorflow', 'COLUMNS': '100'}

    def start(run):
        command = [sys.executable, '-c', 'from hls4ml_ext.cli import main; main()', 'train', 'p.yml', '-o', run]
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)

    killed = 0
    file = tmp_path / 'killed' / 'training' / 'pretrain.npz'
    for epoch in (2, 5):
        process = start('killed')
        while process.poll() is None and not (file.is_file() and _epoch(file) >= epoch):
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed += process.returncode == -signal.SIGKILL
    assert killed == 2
    assert not (tmp_path / 'killed' / 'model.keras').exists()
    for run in ('killed', 'straight'):
        process = start(run)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    models = [keras.models.load_model(tmp_path / run / 'model.keras') for run in ('killed', 'straight')]
    assert same(*models)


def _epoch(file: Path) -> int:
    return Checkpoint.load(file).epoch


def test_the_compiled_step_of_pytorch_is_the_training_step_of_keras(tmp_path):
    """Only where PyTorch is installed: CI's environment has no room for it."""
    pytest.importorskip('torch')
    code = """
import keras, numpy as np, torch
from hls4ml_ext.train import compiled
from hls4ml_ext.models.knobs import Quantization
from hls4ml_ext.models.ode_mhsa import build

x = np.random.default_rng(0).uniform(-1, 1, (8, 6, 6, 1)).astype('float32')
y = np.eye(3, dtype='float32')[np.arange(8) % 3]
for bits in (None, Quantization()):
    results = []
    for compile in (False, True):
        keras.utils.set_random_seed(3)
        model = build((6, 6, 1), 3, bits, stem={'filters': 4}, widths=[4], mhsa={'heads': 1, 'key_dim': 4, 'n_steps': 1})
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.01), loss, metrics=['accuracy'])
        model.optimizer.build(model.trainable_variables)
        if compile:
            compiled.install(model, (x, y))
        history = model.fit(x, y, batch_size=8, epochs=3, verbose=0).history
        results.append((history['loss'], history['accuracy'], model.get_weights()))
    (loss, accuracy, weights), (loss2, accuracy2, weights2) = results
    assert accuracy == accuracy2
    np.testing.assert_allclose(loss, loss2, rtol=1e-4)
    for a, b in zip(weights, weights2):
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-4)
print('equal')
"""
    environment = {
        **os.environ, 'KERAS_BACKEND': 'torch', 'PYTHONPATH': str(Path(__file__).parents[2]),
        'TORCHINDUCTOR_CACHE_DIR': str(tmp_path),
    }  # fmt: skip
    for _ in range(2):
        done = subprocess.run([sys.executable, '-c', code], env=environment, capture_output=True, text=True)
        assert done.stdout.strip().endswith('equal'), done.stderr[-2000:]
        compiled_files = list(tmp_path.rglob('*.so'))
        assert compiled_files
        for file in compiled_files:  # as a compiler leaves it that is killed
            file.write_bytes(b'')
