"""Training: floating point, quantization-aware, and once more after batch normalization is folded.

The backend is Keras's own choice (``KERAS_BACKEND``); nothing here depends on it.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import asdict, dataclass, field

import keras
import numpy as np

from hls4ml_ext import fold_batchnorm
from hls4ml_ext.errors import ProjectError
from hls4ml_ext.project import Phase, Project
from hls4ml_ext.train.calibration import calibrate_batchnorm, choose_binary_points
from hls4ml_ext.train.data import Dataset
from models import builder
from models.knobs import Quantizers

WARM_UP = 0.05
"""Share of a phase's steps in which the learning rate rises from zero, before it falls as a cosine."""


@dataclass
class PhaseLog:
    """How one phase of training went.

    Attributes:
        name: 'pretrain', 'qat' or 'finetune'.
        epochs, learning_rate: Of the project.
        seconds: Wall time.
        history: loss, accuracy and, with a validation split, val_loss and val_accuracy: a list of one number for each epoch.
    """

    name: str
    epochs: int
    learning_rate: float
    seconds: float = 0.0
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
    """

    def __init__(self, project: Project, data: Dataset, progress=None):
        self.project = project
        self.data = data
        self.progress = progress or (lambda log, steps: [])
        self.logs: list[PhaseLog] = []

    def run(self) -> keras.Model:
        """Builds and trains the model.

        Returns:
            keras.Model: without batch normalization, ready for conversion.

        Raises:
            ProjectError: if the loss is not finite, or the data has no labels.
        """
        training = self.project.training
        keras.utils.set_random_seed(self.project.seed)
        model = self._build(None)
        self._fit(model, 'pretrain', training.pretrain)
        weights = model.get_weights()
        model = self._build(self.project.quantization)
        model.set_weights(weights)
        choose_binary_points(model)
        if training.epochs == 0:
            calibrate_batchnorm(model, self.data.x_train)
        self._fit(model, 'qat', training.qat)
        with warnings.catch_warnings():
            # The folded weights get binary points of their own.
            warnings.filterwarnings('ignore', message='.*beyond the range')
            model = fold_batchnorm(model, bias_quantizer=Quantizers(self.project.quantization).biases)
        choose_binary_points(model)
        self._fit(model, 'finetune', training.finetune)
        return model

    def _build(self, quantization):
        built = self.project.model
        knobs = built.knobs.model_dump()
        return builder(built.builder).build(self.data.image_shape, self.data.n_classes, quantization, **knobs)

    def _fit(self, model, name: str, phase: Phase):
        if phase.epochs == 0:
            return
        x, y, held_out = self._split()
        batch_size = self.project.training.batch_size
        steps = -(-len(x) // batch_size) * phase.epochs
        log = PhaseLog(name, phase.epochs, phase.learning_rate)
        warm_up = max(round(WARM_UP * steps), 1)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, max(steps - warm_up, 1), warmup_target=phase.learning_rate, warmup_steps=warm_up
        )
        model.compile(
            keras.optimizers.Adam(rate),
            keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=self.project.training.label_smoothing),
            metrics=['accuracy'],
            jit_compile=False,  # compiling the unrolled steps of the solver takes longer than it saves
        )
        model.optimizer.build(model.trainable_variables)  # or TensorFlow would trace the first step twice
        start = time.perf_counter()
        callbacks = [StopOnNaN(name), *self.progress(log, steps)]
        history = model.fit(
            x, y, batch_size=batch_size, epochs=phase.epochs, validation_data=held_out, callbacks=callbacks, verbose=0
        )
        log.seconds = time.perf_counter() - start
        log.history = {key: [float(v) for v in values] for key, values in history.history.items()}
        self.logs.append(log)

    def _split(self):
        """Training images and one-hot labels, and those held out for validation, the same in every phase."""
        x, y = self.data.x_train, self.data.y_train
        if y is None:
            raise ProjectError(f"data: {self.data.name} has no labels to train on. Use 'training: none', or other data")
        y = np.eye(self.data.n_classes, dtype=np.float32)[y]
        order = np.random.default_rng(self.project.seed).permutation(len(x))
        n = round(len(x) * self.project.training.validation_fraction)
        held_out = (x[order[:n]], y[order[:n]]) if n else None
        return x[order[n:]], y[order[n:]], held_out


class StopOnNaN(keras.callbacks.Callback):
    """Ends training with an error when the loss is not finite any more."""

    def __init__(self, phase: str):
        super().__init__()
        self.phase = phase
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get('loss')
        if loss is not None and not np.isfinite(loss):
            raise ProjectError(
                f'training: the loss is {loss} in epoch {self.epoch + 1} of {self.phase}, step {batch + 1}. '
                f'Lower training.{self.phase}.learning_rate'
            )
