"""What happens in a model: attention, and how numbers lie in the ranges of their quantizers."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from hls4ml_ext.errors import ExtError, ProjectError
from hls4ml_ext.fixed import FixedType
from hls4ml_ext.layers.attention.keras import MultiHeadSelfAttention2D
from hls4ml_ext.quantizers import activation_type
from hls4ml_ext.report.plots.style import BLUE, GREY, ORANGE, RED, figure, save, titled
from hls4ml_ext.train.calibration import KERNELS, named_layers
from hls4ml_ext.train.ranges import record

MOST = 12
"""Histograms of a picture."""


def attention_weights(model, images: np.ndarray) -> np.ndarray:
    """The attention weights of a model's last attention layer, in its last evaluation.

    Args:
        model: A Keras model with a MultiHeadSelfAttention2D, possibly in an ODE block.
        images: (n, height, width, channels).

    Returns:
        (n, heads, query pixels, key pixels), as the layer computes them: ReLU attention's are not normalized.

    Raises:
        ProjectError: if there is no attention layer.
    """
    layer = _attention_layer(model)
    seen = []

    def attend(logits):
        seen.append(MultiHeadSelfAttention2D._attend(layer, logits))
        return seen[-1]

    layer._attend = attend
    try:
        model(images, training=False)
    finally:
        del layer._attend
    return keras.ops.convert_to_numpy(seen[-1])


def attention_maps(model, images: np.ndarray, titles: list[str], path) -> Path:
    """Where the pixel in the middle looks: for each image and head, its attention weights over the image.

    Args:
        model: As for :func:`attention_weights`.
        images: A few images, (n, height, width, channels), between -1 and 1.
        titles: What is above each image.
        path: The PNG to write.
    """
    weights = attention_weights(model, images)
    layer = _attention_layer(model)
    height, width, heads = layer.height, layer.width, weights.shape[1]
    row, col = height // 2, width // 2
    maps = weights[:, :, row * width + col].reshape(len(images), heads, height, width)
    fig, axes = figure(1.5 * (heads + 1), 1.6 * len(images), nrows=len(images), ncols=heads + 1, squeeze=False)
    size = images.shape[1:3]
    for image, title, row_maps, row_axes in zip((images + 1) / 2, titles, maps, axes):
        for ax in row_axes:
            ax.axis('off')
            ax.imshow(image if image.shape[-1] == 3 else image[..., 0], cmap='gray', vmin=0, vmax=1, extent=(0, 1, 1, 0))
        row_axes[0].set_title(title, fontsize=9)
        row_axes[0].plot((col + 0.5) / width, (row + 0.5) / height, 's', ms=5, mfc='none', mec=RED, mew=1.5)
        for head, (ax, weight) in enumerate(zip(row_axes[1:], row_maps), 1):
            total = weight.sum()
            # A pixel that attends to nothing, which ReLU attention allows, has an empty map.
            shares = weight / total if total > 0 else weight
            ax.imshow(shares, cmap='magma', alpha=0.65, vmin=0, extent=(0, 1, 1, 0))
            ax.set_title(f'head {head}' if total > 0 else f'head {head}: none', fontsize=9)
            ax.set_aspect(size[0] / size[1])
    fig.suptitle('Attention of the marked pixel, last step', x=0.01, ha='left', fontsize=11, fontweight='bold')
    return save(fig, path)


def weight_histograms(model, path) -> Path:
    """Weights before rounding, against the ranges of their quantizers: the layers with most weights.

    Args:
        model: A quantized Keras model.
        path: The PNG to write.

    Raises:
        ProjectError: if the model has no quantized weights.
    """
    found = []
    for name, layer in named_layers(model):
        for attribute, weights in KERNELS:
            quantizer = getattr(layer, attribute, None)
            arrays = [keras.ops.convert_to_numpy(getattr(layer, w)).ravel() for w in weights if hasattr(layer, w)]
            if quantizer is not None and arrays:
                suffix = ' positions' if 'position' in attribute else ''
                found.append((name + suffix, np.concatenate(arrays), _type(quantizer, name)))
    found = [entry for entry in found if entry[2] is not None]
    largest = sorted(range(len(found)), key=lambda i: -len(found[i][1]))[:MOST]
    return _histograms([found[i] for i in sorted(largest)], 'Weights in the ranges of their quantizers', path)


def activation_histograms(model, images: np.ndarray, path) -> Path:
    """Activations before rounding, against the ranges of their quantizers; in an ODE block, of all steps.

    Args:
        model: A quantized Keras model.
        images: A few hundred images.
        path: The PNG to write.

    Raises:
        ProjectError: if the model has no activation quantizers.
    """
    names = {id(layer): name for name, layer in named_layers(model, blocks=True)}
    found = []
    for owner, attribute, recorder in record(model, images):
        name = names[id(owner)]
        if attribute != 'activation':
            name += '.' + attribute.removesuffix('_quantizer')
        found.append((name, recorder.values, _type(recorder.quantizer, name)))
    chosen = np.unique(np.linspace(0, len(found) - 1, min(MOST, len(found))).astype(int)) if found else []
    return _histograms([found[i] for i in chosen], 'Activations in the ranges of their quantizers', path)


def _attention_layer(model) -> MultiHeadSelfAttention2D:
    layers = [layer for _, layer in named_layers(model) if isinstance(layer, MultiHeadSelfAttention2D)]
    if not layers:
        raise ProjectError(f"model '{model.name}' has no attention layer, so there are no attention maps")
    return layers[-1]


def _type(quantizer, layer: str) -> FixedType | None:
    """The type of a quantizer; None if it is no fixed one."""
    try:
        return activation_type(quantizer, layer)
    except ExtError:
        return None


def _histograms(entries, title: str, path) -> Path:
    """One histogram for each (name, numbers, type): bars, the range, and the share of numbers beyond it."""
    if not entries:
        raise ProjectError('the model has no quantizers of fixed range, so there are no histograms')
    columns = min(4, len(entries))
    rows = -(-len(entries) // columns)
    fig, axes = figure(2.5 * columns, 1.9 * rows + 0.4, nrows=rows, ncols=columns, squeeze=False)
    for ax, (name, numbers, ftype) in zip(axes.ravel(), entries):
        lsb = 2.0**-ftype.frac
        low, high = ftype.lo * lsb, ftype.hi * lsb
        beyond = float(((numbers < low - lsb / 2) | (numbers > high + lsb / 2)).mean())
        ax.axvspan(low, high, color=ORANGE, alpha=0.25, lw=0)
        ax.hist(numbers, bins=60, color=BLUE, log=True)
        titled(ax, name, size=8)
        ax.text(
            0.98, 0.97, f'{ftype.width} bits, step {lsb:g}\n{beyond:.2%} beyond', transform=ax.transAxes, ha='right',
            va='top', fontsize=6.5, color=GREY if beyond < 0.01 else RED,
        )  # fmt: skip
        ax.tick_params(labelsize=7)
        ax.set_ylim(top=ax.get_ylim()[1] * 30)
    for ax in axes.ravel()[len(entries) :]:
        ax.axis('off')
    fig.suptitle(f'{title} (shaded)', x=0.01, ha='left', fontsize=11, fontweight='bold')
    return save(fig, path)
