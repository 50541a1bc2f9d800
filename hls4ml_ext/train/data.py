"""Data sets: images between -1 and 1, (n, height, width, channels) float32, with integer labels."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.train.formats import (
    SPLIT,
    array_named,
    check_images,
    from_uint8,
    read_cifar10_folder,
    read_npz,
    read_stl10_folder,
)
from hls4ml_ext.train.images import class_folders, crops, read_classes, sample_photos, visible
from hls4ml_ext.train.sources import CIFAR10_VARIABLE, Cifar10, Digits, Folder, Npz, Section, Source, Stl10, Stl10Smoke

CIFAR10_CLASSES = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')
CIFAR10_REMEDY = (
    'Download https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz elsewhere, unpack it, and give the folder '
    'cifar-10-batches-py as data.path or in the environment variable HLS4ML_EXT_CIFAR10; or there an .npz of '
    + ', '.join(SPLIT)
)
STL10_CLASSES = ('airplane', 'bird', 'car', 'cat', 'deer', 'dog', 'horse', 'monkey', 'ship', 'truck')


BUDGET_SEED = 500
"""Draws the images of a label budget, the same ones for all trainings."""


@dataclass(frozen=True)
class Dataset:
    """A data set.

    Attributes:
        name: What it is, for people.
        x_train, x_test: Images.
        y_train, y_test: Labels, or None.
        n_classes: Number of classes.
        classes: Names of the classes, or None.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray | None
    x_test: np.ndarray
    y_test: np.ndarray | None
    n_classes: int
    classes: tuple[str, ...] | None = None

    def class_name(self, i: int) -> str:
        """The class of test image `i`, for people; nothing if it isn't known."""
        if self.y_test is None:
            return ''
        label = int(self.y_test[i])
        return self.classes[label] if self.classes else str(label)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.x_test.shape[1:]


def load(section: Section, seed: int) -> Dataset:
    """Loads the data set of a project file's ``data`` section.

    Args:
        section: One of :mod:`hls4ml_ext.train.sources`.
        seed: Of the split, and of the choice of ``train_limit`` images.

    Raises:
        ProjectError: if a file doesn't hold what it should.
    """
    loaders = {Digits: digits, Cifar10: cifar10, Stl10: stl10, Folder: folder, Npz: npz, Stl10Smoke: stl10_smoke}
    data = _limited(_budgeted(loaders[type(section)](section, seed), section), section, seed)
    # bytes until here: a quarter of the memory
    return replace(
        data, **{key: from_uint8(x) for key in ('x_train', 'x_test') if (x := getattr(data, key)).dtype == np.uint8}
    )


def label_budget(labels: np.ndarray, per_class: int, seed: int = BUDGET_SEED) -> np.ndarray:
    """Numbers of images, increasing: so many of each class.

    Args:
        labels: (n,) integers.
        per_class: How many of each.
        seed: Of the choice. A smaller budget of the same seed is a part of a larger one.

    Raises:
        ValueError: naming the class, if there are fewer of it.

    Example::

        np.savetxt('indices.txt', label_budget(y_train, 500), fmt='%d')
    """
    rng, chosen = np.random.default_rng(seed), []
    for label in np.unique(labels):
        of_class = rng.permutation(np.flatnonzero(labels == label))
        if len(of_class) < per_class:
            raise ValueError(f'class {label} has only {len(of_class)} training images')
        chosen.append(of_class[:per_class])
    return np.sort(np.concatenate(chosen))


def read_indices(path: Path, n: int) -> np.ndarray:
    """Numbers of images from a text file, for `n` images; see :class:`~hls4ml_ext.train.sources.Source`.

    Raises:
        ProjectError: if it isn't such a file, or names images twice or that aren't there.
    """
    where = f"data.train_indices: '{path}'"
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise ProjectError(f'{where} cannot be read: {e}') from None
    numbers: list[int] = []
    for i, line in enumerate(lines, 1):
        text = line.split('#')[0].strip()
        if not text:
            continue
        if not text.isdecimal():
            raise ProjectError(f'{where}, line {i}: {text!r} is not the number of an image. Write one number a line, from 0')
        if int(text) >= n:
            raise ProjectError(
                f'{where}, line {i}: there is no training image {text}; the data has {n}, from 0 to {n - 1}. Use a list '
                'that was made for this data'
            )
        numbers.append(int(text))
    if not numbers:
        raise ProjectError(f'{where} names no image')
    indices, counts = np.unique(numbers, return_counts=True)
    if counts.max() > 1:
        raise ProjectError(f'{where} names image {indices[counts.argmax()]} {counts.max()} times. Name each image once')
    return np.asarray(numbers)


def _budgeted(data: Dataset, section: Source) -> Dataset:
    """A data set with the training images of its label budget."""
    if section.train_per_class:
        if data.y_train is None:
            raise ProjectError(f'data.train_per_class: the training images of {data.name} have no labels. Leave it out')
        try:
            chosen = label_budget(data.y_train, section.train_per_class)
        except ValueError as e:
            raise ProjectError(
                f'data.train_per_class: {section.train_per_class} images a class are wanted, and {e}'
            ) from None
    elif section.train_indices:
        chosen = read_indices(section.train_indices, len(data.x_train))
        missing = () if data.y_train is None else np.setdiff1d(data.y_train, data.y_train[chosen])
        if len(missing):
            raise ProjectError(f"data.train_indices: '{section.train_indices}' names no image of class {missing[0]}")
    else:
        return data
    name = f'{data.name} ({len(chosen):,} of {len(data.x_train):,} training images)'
    return replace(_trained_on(data, chosen), name=name)


def _trained_on(data: Dataset, chosen: np.ndarray) -> Dataset:
    """A data set with the training images of these numbers only."""
    labels = None if data.y_train is None else data.y_train[chosen]
    return replace(data, x_train=data.x_train[chosen], y_train=labels)


def _limited(data: Dataset, section: Source, seed: int) -> Dataset:
    n = section.limit
    if n is not None:
        data = replace(data, x_test=data.x_test[:n], y_test=None if data.y_test is None else data.y_test[:n])
    n = section.train_limit
    if n is not None and n < len(data.x_train):
        data = _trained_on(data, np.random.default_rng(seed).permutation(len(data.x_train))[:n])
    return data


# ---------------------------------------------------------------------------------------------------------------------
# Sources: images are float32 between -1 and 1, or uint8
# ---------------------------------------------------------------------------------------------------------------------


def digits(section: Digits, seed: int) -> Dataset:
    """See :class:`~hls4ml_ext.train.sources.Digits`."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    return Dataset('digits', *split(images, labels, section.test_fraction, seed), 10, tuple(map(str, range(10))))


def cifar10(section: Cifar10, seed: int) -> Dataset:
    """See :class:`~hls4ml_ext.train.sources.Cifar10`."""
    path = section.path
    if path is None and os.environ.get(CIFAR10_VARIABLE):
        path = Path(os.environ[CIFAR10_VARIABLE]).expanduser().absolute()
        if not path.exists():
            raise ProjectError(f"{CIFAR10_VARIABLE}: there is no file or folder '{path}'. {CIFAR10_REMEDY}")
    if path is None:
        arrays, where = _keras_cifar10(), 'CIFAR-10 from Keras'
    else:
        arrays, where = read_cifar10_folder(path) if path.is_dir() else read_npz(path), f"'{path}'"
    for name in SPLIT:
        array = array_named(arrays, name, where)
        if name.startswith('x') and (array.shape[1:] != (32, 32, 3) or array.dtype != np.uint8):
            raise ProjectError(
                f'{where}: {name} has shape {array.shape} and type {array.dtype}. Use the images of CIFAR-10, '
                '(n, 32, 32, 3) of uint8; source npz takes others'
            )
        if name.startswith('y') and array.ndim == 2 and array.shape[1] == 1:
            arrays[name] = array[:, 0]
    return _whole('CIFAR-10', _four(arrays, where, 10), CIFAR10_CLASSES, (50_000, 10_000))


def _keras_cifar10() -> dict[str, np.ndarray]:
    import keras

    try:
        (x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()
    except Exception as e:  # no network, a full disk, a damaged download
        reason = ' '.join(str(e).split())
        raise ProjectError(f'CIFAR-10: Keras cannot download or read it ({reason}). {CIFAR10_REMEDY}') from None
    return {'x_train': x_train, 'y_train': y_train, 'x_test': x_test, 'y_test': y_test}


def stl10(section: Stl10, seed: int) -> Dataset:
    """See :class:`~hls4ml_ext.train.sources.Stl10`."""
    parts = _four(read_stl10_folder(section.path), f"'{section.path}'", 10)
    return _whole('STL-10', parts, STL10_CLASSES, (5_000, 8_000))


def folder(section: Folder, seed: int) -> Dataset:
    """See :class:`~hls4ml_ext.train.sources.Folder`."""
    path, where = section.path, f"'{section.path}'"
    parts = {part: path / part for part in ('train', 'test') if (path / part).is_dir()}
    halves = [p for p in parts.values() if any(sub.is_dir() for sub in visible(p))]
    if len(parts) == 1 and halves:  # else 'train' is a class, of trains
        missing = path / ({'train', 'test'} - set(parts)).pop()
        raise ProjectError(f"{where} has a folder {halves[0].name}, but no {missing.name}. Add '{missing}', or remove both")
    classes = class_folders(parts['train'] if len(parts) == 2 else path)
    numbers = {name: number for number, name in enumerate(classes)}
    if len(parts) == 2:
        tests = class_folders(parts['test'])
        unknown = [name for name in tests if name not in numbers]
        if unknown:
            raise ProjectError(
                f"'{parts['test']}' has a class {unknown[0]}, which '{parts['train']}' has not. Add training images of it, "
                'or remove it'
            )
        arrays = {}
        for part, files in (('train', classes), ('test', tests)):
            arrays[f'x_{part}'], arrays[f'y_{part}'] = read_classes(files, numbers, section.channels, section.size)
    else:
        images = read_classes(classes, numbers, section.channels, section.size)
        arrays = dict(zip(SPLIT, split(*images, section.test_fraction, seed)))
    return Dataset(path.name, *_four(arrays, where, len(classes)), len(classes), tuple(classes))


def npz(section: Npz, seed: int) -> Dataset:
    """See :class:`~hls4ml_ext.train.sources.Npz`."""
    arrays, where = read_npz(section.path), f"'{section.path}'"
    if not set(SPLIT) <= set(arrays):
        images, labels = (array_named(arrays, name, where) for name in ('images', 'labels'))
        images, labels = check_images(images, labels, where, 'images', 'labels')
        parts = split(images, labels, section.test_fraction, seed)
        arrays = dict(zip(SPLIT, parts))
    parts = _four(arrays, where)
    return Dataset(section.path.stem, *parts, int(max(parts[1].max(), parts[3].max())) + 1)


def stl10_smoke(section: Stl10Smoke, seed: int) -> Dataset:
    """See :class:`~hls4ml_ext.train.sources.Stl10Smoke`."""
    photos = sample_photos()
    train = crops(photos, section.crops, 96, seed)
    if section.path is not None and section.path.is_file():
        arrays, where = read_npz(section.path), f"'{section.path}'"
        images, labels = (array_named(arrays, name, where) for name in ('images', 'labels'))
        images, labels = check_images(images, labels, where, 'images', 'labels')
        _check_labels(labels, 10, where, 'labels')
        if images.shape[1:] != train.shape[1:]:
            raise ProjectError(f'{where} has images of {images.shape[1:]}, STL-10 of {train.shape[1:]}. Use source npz')
        return Dataset('STL-10 test sample', train, None, images, labels, 10)
    return Dataset('crops of sample photos', train, None, crops(photos, section.crops, 96, seed + 1), None, 10)


# ---------------------------------------------------------------------------------------------------------------------
# Helpers
# ---------------------------------------------------------------------------------------------------------------------


def _four(arrays: dict, where: str, n_classes: int | None = None):
    """x_train, y_train, x_test, y_test of the arrays of a source, if they fit together."""
    parts = []
    for part in ('train', 'test'):
        parts += check_images(arrays[f'x_{part}'], arrays[f'y_{part}'], where, f'x_{part}', f'y_{part}')
        if n_classes is not None:
            _check_labels(parts[-1], n_classes, where, f'y_{part}')
    x_train, y_train, x_test, y_test = parts
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ProjectError(
            f'{where}: x_train has images of {x_train.shape[1:]}, x_test of {x_test.shape[1:]}. All need one shape'
        )
    unseen = np.setdiff1d(y_test, y_train)
    if len(unseen):
        raise ProjectError(
            f'{where}: {np.isin(y_test, unseen).sum()} test images are of class {", ".join(map(str, unseen[:5]))}, of which '
            'there is no training image. Add some, or leave these test images out'
        )
    return parts


def _check_labels(labels: np.ndarray, n_classes: int, where: str, name: str):
    if labels.max() >= n_classes:
        raise ProjectError(
            f'{where}: {name} has a label {labels.max()}; {n_classes} classes have labels 0 to {n_classes - 1}'
        )


def _whole(name: str, parts, classes: tuple[str, ...], official: tuple[int, int]) -> Dataset:
    """A data set of official size; a part of it is allowed, for trying, but its name says so."""
    sizes = len(parts[0]), len(parts[2])
    if sizes != official:
        name += f' (a part: {sizes[0]} of {official[0]} training and {sizes[1]} of {official[1]} test images)'
    return Dataset(name, *parts, len(classes), classes)


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
