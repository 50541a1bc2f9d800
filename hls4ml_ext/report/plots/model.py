"""What happens in a model: how numbers lie in the ranges of their quantizers, and attention."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from hls4ml_ext.errors import ExtError, ProjectError
from hls4ml_ext.fixed import FixedType
from hls4ml_ext.quantizers import activation_type
from hls4ml_ext.report.plots.attention import attention_maps, attention_shares, attention_weights
from hls4ml_ext.report.plots.style import BLUE, GREY, ORANGE, RED, checked_images, headed, picture
from hls4ml_ext.train.calibration import KERNELS, named_layers
from hls4ml_ext.train.ranges import record

__all__ = [
    'activation_histograms', 'attention_maps', 'attention_shares', 'attention_weights', 'share_clipped', 'weight_histograms',
]  # fmt: skip

MOST = 12
"""Histograms of a picture."""

LEVELS = 32
"""The grid of a quantizer is drawn if it has no more numbers than these: others would be one grey area."""

SUPERSCRIPT = str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹')


def weight_histograms(model, path) -> Path:
    """Weights before rounding, against the ranges of their quantizers: the tensors with most weights.

    Args:
        model: A quantized Keras model.
        path: The PNG to write.

    Returns:
        The path.

    Raises:
        ProjectError: if the model has no quantized weights, or they are not finite.
    """
    found = []
    for name, layer in named_layers(model):
        for attribute, weights in KERNELS:
            quantizer = getattr(layer, attribute, None)
            arrays = [keras.ops.convert_to_numpy(getattr(layer, w)).ravel() for w in weights if hasattr(layer, w)]
            ftype = _type(quantizer, name) if quantizer is not None and arrays else None
            if ftype is not None:
                suffix = '.position' if 'position' in attribute else ''
                found.append((name + suffix, np.concatenate(arrays), ftype))
    largest = sorted(range(len(found)), key=lambda i: -len(found[i][1]))[:MOST]
    chosen = [found[i] for i in sorted(largest)]
    note = f'the {MOST} largest of {len(found)} tensors' if len(found) > MOST else 'all tensors'
    return _histograms(chosen, 'Weights and the ranges of their quantizers', note, path)


def activation_histograms(model, images: np.ndarray, path) -> Path:
    """Activations before rounding, against the ranges of their quantizers; in an ODE block, of all steps.

    The model runs with activations in floating point (:func:`hls4ml_ext.train.ranges.record`), and is the same afterwards.

    Args:
        model: A quantized Keras model.
        images: A few hundred images, (n, height, width, channels).
        path: The PNG to write.

    Returns:
        The path.

    Raises:
        ProjectError: if the model has no activation quantizers, or the images are not the model's.
    """
    names = {id(layer): name for name, layer in named_layers(model, blocks=True)}
    images = checked_images(model, images)
    found = []
    for owner, attribute, recorder in record(model, images):
        name = names[id(owner)]
        if attribute != 'activation':
            name += '.' + attribute.removesuffix('_quantizer')
        ftype = _type(recorder.quantizer, name)
        if ftype is not None:
            found.append((name, recorder.values, ftype))
    chosen = np.unique(np.linspace(0, len(found) - 1, min(MOST, len(found))).astype(int)) if found else []
    note = f'{len(chosen)} of {len(found)} quantizers, {len(images)} image{"s" if len(images) > 1 else ""}, all steps'
    return _histograms([found[i] for i in chosen], 'Activations and the ranges of their quantizers', note, path)


def share_clipped(numbers: np.ndarray, ftype: FixedType) -> float:
    """The share of numbers that a type can't hold: those beyond its range by more than rounding."""
    lsb = 2.0**-ftype.frac
    return float(((numbers < (ftype.lo - 0.5) * lsb) | (numbers > (ftype.hi + 0.5) * lsb)).mean())


def _type(quantizer, layer: str) -> FixedType | None:
    """The type of a quantizer; None if it is no fixed one."""
    try:
        return activation_type(quantizer, layer)
    except ExtError:
        return None


def _histograms(entries, title: str, note: str, path) -> Path:
    """One histogram for each (name, numbers, type)."""
    if not entries:
        raise ProjectError('the model has no quantizers of fixed range, so there are no histograms')
    broken = [name for name, numbers, _ in entries if not np.isfinite(numbers).all()]
    if broken:
        raise ProjectError(f'histograms: there are NaN or infinite numbers in {", ".join(broken)}')
    columns = min(3, len(entries))
    rows = -(-len(entries) // columns)
    with picture(path, 2.7 * columns, 1.7 * rows + 0.6, nrows=rows, ncols=columns, squeeze=False) as (fig, axes):
        for ax, entry in zip(axes.ravel(), entries):
            _histogram(ax, *entry)
        for ax in axes[:, 0]:
            ax.set_ylabel('count', fontsize=8)
        for ax in axes.ravel()[len(entries) :]:
            ax.axis('off')
        grid = '; lines: its numbers' if any(_few(ftype) for *_, ftype in entries) else ''
        headed(fig, title, f'Before rounding, {note}. Shaded: the range of the quantizer{grid}.')
    return Path(path)


def _histogram(ax, name, numbers, ftype):
    """Bars on a logarithmic scale, the quantizer's range and grid, and the share that is clipped."""
    lsb = 2.0**-ftype.frac
    low, high = ftype.lo * lsb, ftype.hi * lsb
    ax.axvspan(low, high, color=ORANGE, alpha=0.25, lw=0)
    if _few(ftype):
        ax.vlines(np.arange(ftype.lo, ftype.hi + 1) * lsb, 0, 1, transform=ax.get_xaxis_transform(), color=ORANGE, lw=0.7)
    ax.hist(numbers, bins=60, color=BLUE, log=True)
    ax.set_ylim(bottom=0.7)  # or an axis of less than a decade would have no ticks
    clipped = share_clipped(numbers, ftype)
    share = '0' if clipped == 0 else '< 0.01' if clipped < 1e-4 else f'{100 * clipped:.2g}'
    ax.set_title(name, fontsize=9, pad=15)
    ax.annotate(
        f'{ftype.width} bits, step 2{str(-ftype.frac).translate(SUPERSCRIPT)}, {share} % clipped', (0, 1), (0, 5),
        xycoords='axes fraction', textcoords='offset points', fontsize=7.5, color=GREY if clipped < 0.01 else RED,
    )  # fmt: skip
    ax.tick_params(labelsize=7.5)
    ax.locator_params(axis='x', nbins=5)
    ax.minorticks_off()


def _few(ftype: FixedType) -> bool:
    return ftype.hi - ftype.lo < LEVELS
