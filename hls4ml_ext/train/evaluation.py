"""Accuracy of a project's models on the whole test set: float, quantized after training, quantization-aware."""

from __future__ import annotations

import contextlib

import keras
import numpy as np

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.layers.ode.keras import ode_blocks
from hls4ml_ext.prediction import predict
from hls4ml_ext.project import Project
from hls4ml_ext.train.data import Dataset
from hls4ml_ext.train.quantization import calibrate, quantized_and_folded
from hls4ml_ext.train.training import Trainer


def top1(model, data: Dataset, batch_size: int = 250) -> float:
    """The share of test images whose largest logit is that of their class.

    Args:
        model: A Keras model.
        data: Its test images are used, all of them.
        batch_size: Images at a time.

    Raises:
        ProjectError: if the test images have no labels.
    """
    if data.y_test is None:
        raise ProjectError(f'data: the test images of {data.name} have no labels, so there is no accuracy')
    logits = predict(model, data.x_test, batch_size)
    return float((np.asarray(logits).argmax(-1).ravel() == data.y_test).mean())


def post_training_quantized(project: Project, data: Dataset, float_model, method: str):
    """The float model quantized after training (PTQ), at the project's bit widths: what QAT starts from.

    Batch normalization is folded, each weight tensor gets the binary point of least squared error, and each activation a
    range from calibration images (of the training set).

    Args:
        project: Its model, quantization, calibration and seed are used.
        data: Its training images calibrate.
        float_model: A trained model of the project, with batch normalization or without.
        method: 'minmax', 'percentile' or 'mse'; see :func:`hls4ml_ext.train.ranges.choose_activation_ranges`.

    Returns:
        keras.Model: ready for conversion.
    """
    untrained = Trainer(project, data).build(project.quantization)
    model = quantized_and_folded(float_model, untrained, project.quantization)
    calibrate(model, data, project, method)
    return model


@contextlib.contextmanager
def steps(model, n: int):
    """A model whose ODE blocks integrate over the same time in `n` steps, within the context.

    Args:
        model: A Keras model; each of its ODE blocks gets `n` steps of 1/n of its time.
        n: The number of steps.
    """
    blocks = ode_blocks(model)
    before = [(block.n_steps, block.step_size) for block in blocks]
    try:
        for block, (n_steps, step_size) in zip(blocks, before):
            block.n_steps, block.step_size = n, n_steps * step_size / n
        _forget_traces(model)
        yield model
    finally:
        for block, (n_steps, step_size) in zip(blocks, before):
            block.n_steps, block.step_size = n_steps, step_size
        _forget_traces(model)


def _forget_traces(model):
    """Makes Keras trace the model again when it predicts."""
    model.predict_function = None
    if keras.backend.backend() == 'tensorflow':
        model.make_predict_function(force=True)


def top1_by_steps(model, data: Dataset, numbers) -> dict[int, float]:
    """The accuracy of a model with other numbers of steps than it was trained with.

    Args:
        model: A Keras model with ODE blocks.
        data: Its test images are used.
        numbers: Numbers of steps.

    Returns:
        dict: number of steps -> top-1 accuracy.

    Raises:
        ProjectError: if the model has no ODE block.
    """
    if not ode_blocks(model):
        raise ProjectError(f"model '{model.name}' has no ODE block, hence no number of steps")
    result = {}
    for n in numbers:
        with steps(model, n):
            result[n] = top1(model, data)
    return result
