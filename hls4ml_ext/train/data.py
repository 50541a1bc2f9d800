"""Data sets: images between -1 and 1, (n, height, width, channels) float32, with integer labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.train.sources import Digits, Npz, Section, Stl10Smoke


@dataclass(frozen=True)
class Dataset:
    """A data set.

    Attributes:
        name: What it is, for people.
        x_train, x_test: Images.
        y_train, y_test: Labels, or None.
        n_classes: Number of classes.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray | None
    x_test: np.ndarray
    y_test: np.ndarray | None
    n_classes: int

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.x_test.shape[1:]


def load(section: Section, seed: int) -> Dataset:
    """Loads the data set of a project file's ``data`` section.

    Args:
        section: One of :mod:`hls4ml_ext.train.sources`.
        seed: Of the split.

    Raises:
        ProjectError: if a file doesn't hold what it should.
    """
    loaders = {Digits: digits, Npz: npz, Stl10Smoke: stl10_smoke}
    data = loaders[type(section)](section, seed)
    if section.limit is not None:
        labels = None if data.y_test is None else data.y_test[: section.limit]
        data = Dataset(data.name, data.x_train, data.y_train, data.x_test[: section.limit], labels, data.n_classes)
    return data


def digits(section: Digits, seed: int) -> Dataset:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    return Dataset('digits', *split(images, labels, section.test_fraction, seed), 10)


def npz(section: Npz, seed: int) -> Dataset:
    arrays = read_npz(section.path)
    if {'x_train', 'y_train', 'x_test', 'y_test'} <= set(arrays):
        parts = [_checked(arrays, f'x_{part}', f'y_{part}', section.path) for part in ('train', 'test')]
        (x_train, y_train), (x_test, y_test) = parts
        if x_train.shape[1:] != x_test.shape[1:]:
            raise ProjectError(f"'{section.path}': x_train has images of {x_train.shape[1:]}, x_test of {x_test.shape[1:]}")
    else:
        images, labels = _checked(arrays, 'images', 'labels', section.path)
        x_train, y_train, x_test, y_test = split(images, labels, section.test_fraction, seed)
    return Dataset(section.path.stem, x_train, y_train, x_test, y_test, int(max(y_train.max(), y_test.max())) + 1)


def stl10_smoke(section: Stl10Smoke, seed: int) -> Dataset:
    photos = sample_photos()
    train = crops(photos, section.crops, 96, seed)
    if section.path is not None and section.path.is_file():
        images, labels = _checked(read_npz(section.path), 'images', 'labels', section.path)
        return Dataset('STL-10 test sample', train, None, images, labels, 10)
    test = crops(photos, section.crops, 96, seed + 1)
    return Dataset('crops of sample photos', train, None, test, None, 10)


# ---------------------------------------------------------------------------------------------------------------------
# Helpers
# ---------------------------------------------------------------------------------------------------------------------


def split(images, labels, test_fraction: float, seed: int):
    """x_train, y_train, x_test, y_test, with the same share of every class."""
    from sklearn.model_selection import train_test_split

    try:
        x_train, x_test, y_train, y_test = train_test_split(
            images, labels, test_size=test_fraction, random_state=seed, stratify=labels
        )
    except ValueError as e:
        raise ProjectError(f'{len(images)} images of {len(np.unique(labels))} classes cannot be split: {e}') from None
    return x_train, y_train, x_test, y_test


def from_uint8(images: np.ndarray) -> np.ndarray:
    """Bytes as numbers between -1 and 1 that an 8-bit quantizer leaves as they are."""
    return (images.astype(np.float32) - 128) / 128


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a NumPy file; Python objects in it are not loaded."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as e:  # NumPy and zipfile have many ways to say that a file is broken
        raise ProjectError(f"'{path}' is not a readable .npz file: {e}") from None


def _checked(arrays, images: str, labels: str, path: Path):
    missing = [name for name in (images, labels) if name not in arrays]
    if missing:
        raise ProjectError(f"'{path}' has no array {' and '.join(missing)}; it has {', '.join(arrays) or 'none'}")
    x, y = arrays[images], np.asarray(arrays[labels])
    if x.ndim != 4 or len(x) == 0:
        raise ProjectError(f"'{path}': {images} has shape {x.shape}. Use (n, height, width, channels)")
    if y.shape != x.shape[:1] or not np.issubdtype(y.dtype, np.integer) or y.min() < 0:
        raise ProjectError(f"'{path}': {labels} has shape {y.shape} and type {y.dtype}. Use {len(x)} integers from 0")
    x = from_uint8(x) if x.dtype == np.uint8 else x.astype(np.float32)
    if not np.isfinite(x).all():
        raise ProjectError(f"'{path}': {int((~np.isfinite(x)).sum())} numbers of {images} are NaN or infinite")
    return x, y.astype(np.int64)


def sample_photos() -> list[np.ndarray]:
    """scikit-learn's two sample photographs, uint8 RGB."""
    from importlib.resources import files

    import tensorflow as tf  # scikit-learn's own loader needs Pillow

    folder = files('sklearn.datasets.images')
    return [tf.io.decode_jpeg((folder / name).read_bytes(), channels=3).numpy() for name in ('china.jpg', 'flower.jpg')]


def crops(photos, n: int, size: int, seed: int) -> np.ndarray:
    """`n` random square crops."""
    rng = np.random.default_rng(seed)
    result = []
    for i in range(n):
        photo = photos[i % len(photos)]
        top, left = (int(rng.integers(0, d - size + 1)) for d in photo.shape[:2])
        result.append(photo[top : top + size, left : left + size])
    return from_uint8(np.stack(result))
