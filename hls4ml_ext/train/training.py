"""Training: floating point, quantization-aware, and once more after batch normalization is folded.

The backend is Keras's own choice (``KERAS_BACKEND``). A training that is interrupted at any moment goes on after the last
epoch that was completed, and ends with the same weights as if it had not been.
"""

from __future__ import annotations

import csv
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import keras
import numpy as np

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.files import replacing
from hls4ml_ext.models import builder
from hls4ml_ext.project import FLOAT_MODEL, FLOAT_PHASES, INITIAL_REMEDY, PHASES, Phase, Project
from hls4ml_ext.saving import load_keras_file, save_model
from hls4ml_ext.train import compiled
from hls4ml_ext.train.batches import Batches, Prefetched
from hls4ml_ext.train.calibration import calibrate_batchnorm, choose_binary_points
from hls4ml_ext.train.checkpoint import Checkpoint, assign, checkpoint_file, forget, values
from hls4ml_ext.train.data import Dataset
from hls4ml_ext.train.gradients import clipped_gradients
from hls4ml_ext.train.quantization import calibrate, folded, has_batchnorm, quantized_and_folded

STATISTICS = 4096
"""Training images that give averaged weights their statistics of batch normalization."""


@dataclass
class PhaseLog:
    """How one phase of training went.

    Attributes:
        name: One of :data:`hls4ml_ext.project.PHASES`.
        epochs, learning_rate: Of the project.
        seconds: Wall time, of all the sessions that it took.
        best_epoch: The epoch whose weights were kept, from 1.
        history: loss, accuracy, seconds and, with a validation split, val_loss and val_accuracy: a list of one number for
            each epoch. Validation is of the averaged weights, if there is an average.
    """

    name: str
    epochs: int
    learning_rate: float
    seconds: float = 0.0
    best_epoch: int = 0
    history: dict[str, list[float]] = field(default_factory=dict)

    def as_dict(self) -> dict:
        return asdict(self)


class Trainer:
    """Trains the model of a project.

    Args:
        project: The project; its model is built here.
        data: Its data.
        progress: Called with the :class:`PhaseLog` and the number of training steps of each phase that is about to begin;
            returns a list of Keras callbacks for it.
        directory: Where checkpoints and the float model are kept; None keeps none.

    Attributes:
        calibrated: Called after each batch that random weights are shown, see
            :func:`~hls4ml_ext.train.calibration.calibrate_batchnorm`.
    """

    def __init__(self, project: Project, data: Dataset, progress=None, directory: Path | None = None):
        self.project = project
        self.data = data
        self.progress = progress or (lambda log, steps: [])
        self.directory = directory and Path(directory)
        self.calibrated = lambda: None
        self.logs: list[PhaseLog] = []

    def run(self) -> keras.Model:
        """Builds and trains the model, or goes on with a training that was interrupted.

        Returns:
            keras.Model: without batch normalization, ready for conversion.

        Raises:
            ProjectError: if the loss is not finite, the data has no labels, or a checkpoint is of another project.
        """
        self._check_checkpoints()
        keras.utils.set_random_seed(self.project.seed)
        return self._quantized(self._float())

    def _float(self) -> keras.Model:
        """The phases in floating point."""
        training = self.project.training
        model = self._initial(training.initial) if training.initial else self.build(None)
        self._fit(model, 'pretrain', training.pretrain)
        if training.refine.epochs:
            model = folded(model, None) if has_batchnorm(model) else model
            self._fit(model, 'refine', training.refine)
        if self.directory and any(name in training.phases for name in FLOAT_PHASES):
            with replacing(self.directory / FLOAT_MODEL) as unfinished:
                save_model(model, unfinished)
        return model

    def _initial(self, file: Path) -> keras.Model:
        """A float model of a file, in the layers of this project."""
        if not file.is_file():
            raise ProjectError(f"training.initial: there is no float model '{file}'. Train it, or give pretrain.epochs")
        loaded, model = load_keras_file(file, INITIAL_REMEDY), self.build(None)
        if not has_batchnorm(loaded):
            model = folded(model, None)
        assign(model.weights, values(loaded.weights), f"'{file}'")
        return model

    def _quantized(self, float_model) -> keras.Model:
        """The quantization-aware phases, from a float model on."""
        training, bits = self.project.training, self.project.quantization
        trained = bool(training.initial or any(name in training.phases for name in FLOAT_PHASES))
        model = self.build(bits)
        if trained and not training.qat.epochs:
            model = quantized_and_folded(float_model, model, bits)
            calibrate(model, self.data, self.project)
        else:
            assign(model.weights, values(float_model.weights), 'the float model')
            choose_binary_points(model)
            if trained:
                calibrate(model, self.data, self.project)
            elif not training.epochs:
                calibrate_batchnorm(model, self.data.x_train, progress=self.calibrated)
            self._fit(model, 'qat', training.qat)
            model = folded(model, bits)
        self._fit(model, 'finetune', training.finetune)
        return model

    def build(self, quantization) -> keras.Model:
        """The untrained model of the project; in floating point if `quantization` is None."""
        built = self.project.model
        knobs = built.knobs.model_dump()
        return builder(built.builder).build(self.data.image_shape, self.data.n_classes, quantization, **knobs)

    # ------------------------------------------------------------------ a phase

    def _fit(self, model, name: str, phase: Phase):
        if phase.epochs == 0:
            return
        batches, held_out = self._split(name)
        log = PhaseLog(name, phase.epochs, phase.learning_rate)
        self._compile(model, phase, batches.steps * phase.epochs)
        file = self._file(name)
        sample = batches.x[:STATISTICS]
        keeper = Keeper(model, log, held_out, sample, file, self.project.fingerprint(name), self._write_log)
        done = keeper.resume()
        self.logs.append(log)
        if done < phase.epochs:
            callbacks = [StopOnNaN(log, file), keeper, *self.progress(log, batches.steps * (phase.epochs - done))]
            with clipped_gradients(model), Prefetched(batches.stream(done)) as stream:
                compiled.install(model, next(batches.stream()))
                model.fit(
                    (batch for batch in stream),  # Keras takes generators, but no other iterators
                    epochs=phase.epochs, initial_epoch=done, steps_per_epoch=batches.steps, verbose=0, callbacks=callbacks,
                )  # fmt: skip
        assign(model.weights, keeper.best, 'the best epoch')

    def _compile(self, model, phase: Phase, steps: int):
        training = self.project.training
        warm_up = max(round(training.warm_up * steps), 1)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, max(steps - warm_up, 1), warmup_target=phase.learning_rate, warmup_steps=warm_up
        )
        options = {'weight_decay': training.weight_decay or None, 'global_clipnorm': phase.clip_norm or None}
        if training.ema:
            options |= {'use_ema': True, 'ema_momentum': training.ema}
        if training.optimizer == 'sgd':
            optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, **options)
        else:
            optimizer = keras.optimizers.Adam(rate, **options)
        model.compile(
            optimizer,
            keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=training.label_smoothing),
            metrics=['accuracy'],
            # Of TensorFlow's two compilers, XLA takes longer for the unrolled steps of a solver than it saves.
            jit_compile=keras.backend.backend() == 'jax',
        )
        optimizer.build(model.trainable_variables)  # or TensorFlow would trace the first step twice

    def _check_checkpoints(self):
        """Removes those of other, completed trainings. Raises ProjectError on one of an interrupted training."""
        for phase in PHASES:
            file, fingerprint = self._file(phase), self.project.fingerprint(phase)
            if not file or not file.is_file():
                continue
            checkpoint = Checkpoint.load(file)
            if checkpoint.fingerprint == fingerprint:
                continue
            if not checkpoint.complete:
                raise ProjectError(
                    f"checkpoint '{file}' is of an interrupted training of another model, data or recipe (it stopped after "
                    f'epoch {checkpoint.epoch} of {checkpoint.log["epochs"]}). Undo the change of the project file to '
                    'resume it, choose another directory with --output, or give it up with --retrain'
                )
            forget(file)

    def _file(self, phase: str) -> Path | None:
        return self.directory and checkpoint_file(self.directory, phase)

    def _write_log(self):
        """Writes ``training.csv``: a row for each epoch so far."""
        if self.directory:
            write_csv(self.directory / 'training.csv', self.logs)

    def _split(self, phase: str):
        """Batches of a phase, and the images and labels held out for validation: the same in every phase."""
        x, y = self.data.x_train, self.data.y_train
        if y is None:
            raise ProjectError(f"data: {self.data.name} has no labels to train on. Use 'training: none', or other data")
        y = np.eye(self.data.n_classes, dtype=np.float32)[y]
        training, seed = self.project.training, self.project.seed
        order = np.random.default_rng(seed).permutation(len(x))
        n = round(len(x) * training.validation_fraction)
        held_out = (x[order[:n]], y[order[:n]]) if n else None
        rest = order[n:]
        seeds = (seed, PHASES.index(phase))
        return Batches(x[rest], y[rest], training.batch_size, training.augmentation, seeds), held_out


class Keeper(keras.callbacks.Callback):
    """After each epoch: validates, keeps the best weights, and writes a checkpoint.

    Args:
        model: The model, compiled.
        log: The log of the phase, which is continued.
        held_out: Images and one-hot labels for validation, or None: the last epoch is the best then.
        sample: Training images, from which averaged weights get their statistics of batch normalization.
        file: The checkpoint's file, or None.
        fingerprint: Of the project up to this phase.
        logged: Called when an epoch has been logged.
    """

    def __init__(self, model, log: PhaseLog, held_out, sample, file: Path | None, fingerprint: str, logged):
        super().__init__()
        self.trained, self.sample, self.logged = model, sample, logged
        self.log, self.held_out, self.file, self.fingerprint = log, held_out, file, fingerprint
        self.best: list[np.ndarray] = []
        self.start = 0.0

    def resume(self) -> int:
        """Goes back to the last checkpoint. Returns how many epochs are done."""
        if not self.file or not self.file.is_file():
            return 0
        checkpoint = Checkpoint.load(self.file)
        what = f"checkpoint '{self.file}'"
        assign(self.trained.weights, checkpoint.groups['model'], what)
        assign(self.trained.optimizer.variables, checkpoint.groups['optimizer'], what)
        self.best = checkpoint.groups['best']
        vars(self.log).update(checkpoint.log)
        return checkpoint.epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        if hasattr(self.trained, 'jax_state_sync'):
            self.trained.jax_state_sync()
        logs = logs if logs is not None else {}
        weights = values(self.trained.weights)
        optimizer = self.trained.optimizer
        averaged = getattr(optimizer, '_model_variables_moving_average', None) if optimizer.use_ema else None
        if averaged:
            assign(self.trained.trainable_variables, values(averaged), 'the average')
            # The averaged weights have never normalized a batch.
            calibrate_batchnorm(self.trained, self.sample, batch_size=128, momentum=0.9, batches=None)
        self._validate(epoch, logs)
        if averaged:
            assign(self.trained.weights, weights, 'the weights')
        for key, value in {**logs, 'seconds': time.perf_counter() - self.start}.items():
            self.log.history.setdefault(key, []).append(float(value))
        self.log.seconds = sum(self.log.history['seconds'])
        if self.file:
            groups = {'model': weights, 'optimizer': values(optimizer.variables), 'best': self.best}
            Checkpoint(self.fingerprint, self.log.name, epoch + 1, groups, self.log.as_dict()).save(self.file)
        self.logged()

    def _validate(self, epoch, logs):
        best = True
        if self.held_out:
            x, y = self.held_out
            logits = self.trained.predict(x, batch_size=250, verbose=0)
            logs['val_loss'] = float(keras.ops.mean(self.trained.loss(y, logits)))
            logs['val_accuracy'] = float((logits.argmax(-1) == y.argmax(-1)).mean())
            best = logs['val_accuracy'] >= max(self.log.history.get('val_accuracy', [0.0]))
        if best:
            self.best = values(self.trained.weights)
            self.log.best_epoch = epoch + 1


class StopOnNaN(keras.callbacks.Callback):
    """Ends training with an error when the loss is not finite any more; the checkpoint of the last epoch stays."""

    def __init__(self, log: PhaseLog, file: Path | None):
        super().__init__()
        self.log, self.file = log, file
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get('loss')
        if loss is not None and not np.isfinite(float(loss)):
            kept = f" The weights of epoch {self.epoch} are kept in '{self.file}'" if self.file and self.epoch else ''
            raise ProjectError(
                f'training: the loss is {float(loss)} in epoch {self.epoch + 1} of {self.log.name}, step {batch + 1}. '
                f'Lower training.{self.log.name}.learning_rate.{kept}'
            )


def write_csv(file: Path, logs: list[PhaseLog]):
    """One row for each epoch of each phase."""
    columns = ['phase', 'epoch', *dict.fromkeys(key for log in logs for key in log.history)]
    with replacing(file) as unfinished, open(unfinished, 'w', newline='') as f:
        writer = csv.DictWriter(f, columns)
        writer.writeheader()
        for log in logs:
            for epoch, numbers in enumerate(zip(*log.history.values()), 1):
                writer.writerow({'phase': log.name, 'epoch': epoch, **dict(zip(log.history, numbers))})


def forget_training(directory: Path):
    """Removes the checkpoints in a run's directory."""
    forget(*(checkpoint_file(directory, phase) for phase in PHASES))
