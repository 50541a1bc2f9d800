"""Augmentation of images: the standard recipe for small natural images, in NumPy, from an explicit random generator."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from hls4ml_ext.models.knobs import Section


class Augmentation(Section):
    """What is done to training images. Nothing, unless it is asked for.

    Attributes:
        crop: Pad by so many pixels on each side (by reflection), then cut out a random window of the original size (He et
            al. 2016, section 4.2).
        flip: Mirror half of the images.
        cutout: Side of a square, at a random place, that is set to zero (DeVries and Taylor, arXiv 1708.04552).
        mixup: alpha of the Beta distribution from which the share of a second image is drawn (Zhang et al., arXiv
            1710.09412).
    """

    crop: Annotated[int, Field(strict=True, ge=0, le=256)] = 0
    flip: bool = False
    cutout: Annotated[int, Field(strict=True, ge=0)] = 0
    mixup: Annotated[float, Field(ge=0)] = 0.0


def augment(x: np.ndarray, y: np.ndarray, settings: Augmentation, rng: np.random.Generator):
    """A batch of augmented images.

    Args:
        x: Images, (n, height, width, channels).
        y: One-hot labels, (n, n_classes).
        settings: What to do.
        rng: Where all random numbers come from: the same generator gives the same batch.

    Returns:
        New arrays like `x` and `y`; the arguments are left as they are.
    """
    n, height, width, _ = x.shape
    if settings.crop:
        pad = settings.crop
        padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode='reflect' if pad < min(height, width) else 'edge')
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
        top, left = rng.integers(0, 2 * pad + 1, (2, n))
        x = np.moveaxis(windows[np.arange(n), top, left], 1, -1)
    x = np.array(x, np.float32)
    if settings.flip:
        mirrored = rng.random(n) < 0.5
        x[mirrored] = x[mirrored, :, ::-1]
    if settings.cutout:
        half = settings.cutout / 2
        rows, cols = rng.uniform(0, height, (n, 1)), rng.uniform(0, width, (n, 1))
        hidden_rows = np.abs(np.arange(height) + 0.5 - rows) < half
        hidden_cols = np.abs(np.arange(width) + 0.5 - cols) < half
        x[hidden_rows[:, :, None] & hidden_cols[:, None, :]] = 0
    if settings.mixup:
        share = np.float32(rng.beta(settings.mixup, settings.mixup))
        other = rng.permutation(n)
        x, y = share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]
    return x, y
