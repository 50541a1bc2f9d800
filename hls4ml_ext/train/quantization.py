"""From a float model to a quantized one: binary points, ranges and folding, with or without training afterwards."""

from __future__ import annotations

import warnings

import keras
import numpy as np

from hls4ml_ext import fold_batchnorm
from hls4ml_ext.models.knobs import Quantization, Quantizers
from hls4ml_ext.project import Project
from hls4ml_ext.train.calibration import all_layers, choose_binary_points
from hls4ml_ext.train.checkpoint import assign, values
from hls4ml_ext.train.data import Dataset
from hls4ml_ext.train.ranges import choose_activation_ranges


def folded(model, bits: Quantization | None):
    """A model without batch normalization, whose quantized weights got new binary points.

    Args:
        model: A model with batch normalization.
        bits: Its bit widths; None if it is in floating point.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='.*beyond the range')  # of the old binary points
        model = fold_batchnorm(model, bias_quantizer=Quantizers(bits).biases)
    choose_binary_points(model)
    return model


def has_batchnorm(model) -> bool:
    """Is there any batch normalization left?"""
    return any(isinstance(layer, keras.layers.BatchNormalization) for layer in all_layers(model))


def quantized_and_folded(float_model, untrained, bits: Quantization):
    """The weights of a float model in a quantized model without batch normalization.

    Args:
        float_model: A trained model, with batch normalization or folded already.
        untrained: The quantized model of the same architecture, with batch normalization.
        bits: Its bit widths.

    Raises:
        ProjectError: if the float model is of another architecture.
    """
    weights = values(float_model.weights)
    if has_batchnorm(float_model):
        assign(untrained.weights, weights, 'the float model')
        return folded(untrained, bits)
    model = folded(untrained, bits)
    assign(model.weights, weights, 'the float model')
    choose_binary_points(model)
    return model


def calibrate(model, data: Dataset, project: Project, method: str | None = None):
    """Chooses the ranges of a model's activations as the project says.

    Args:
        model: A quantized model with trained weights.
        data: Its training images are looked at.
        project: Has the section ``calibration`` and the seed that draws the images.
        method: Instead of the project's.
    """
    method = method or project.calibration.method
    if method == 'fixed':
        return
    chosen = np.random.default_rng(project.seed).permutation(len(data.x_train))[: project.calibration.images]
    choose_activation_ranges(model, data.x_train[np.sort(chosen)], method)
