"""Files of images: NumPy archives, and the official files of CIFAR-10 and STL-10."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from hls4ml_ext.errors import ProjectError

SPLIT = ('x_train', 'y_train', 'x_test', 'y_test')
"""The arrays of a data set that has been split."""

STL10_SIZE = 96
STL10_HOME = 'https://cs.stanford.edu/~acoates/stl10/'


def from_uint8(images: np.ndarray) -> np.ndarray:
    """Bytes as numbers between -1 and 1, float32, that an 8-bit quantizer leaves as they are."""
    x = images.astype(np.float32, order='C')
    x -= 128  # in place: data sets are large
    x /= 128
    return x


def check_images(x, y, where: str, x_name: str, y_name: str):
    """Images as they are if they are uint8, else as float32; and their labels as int64.

    Args:
        x: Should be images, (n, height, width, channels).
        y: Should be integers from 0, (n,).
        where: What they are from, for the message: a file in quotes.
        x_name, y_name: What they are called there.

    Raises:
        ProjectError: if they aren't, or have NaN or infinite numbers.
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 4 or 0 in x.shape:
        raise ProjectError(f'{where}: {x_name} has shape {x.shape}. Use (n, height, width, channels)')
    if x.dtype.kind not in 'fiub':
        raise ProjectError(f'{where}: {x_name} has type {x.dtype}. Use uint8, or numbers between -1 and 1')
    if y.shape != x.shape[:1] or not np.issubdtype(y.dtype, np.integer) or y.min() < 0:
        raise ProjectError(f'{where}: {y_name} has shape {y.shape} and type {y.dtype}. Use {len(x)} integers from 0')
    if x.dtype != np.uint8:
        x = x.astype(np.float32, copy=False)
        damaged = x.size - np.count_nonzero(np.isfinite(x))
        if damaged:
            raise ProjectError(f'{where}: {damaged} numbers of {x_name} are NaN or infinite')
    return x, y.astype(np.int64)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a NumPy file; Python objects in it are not loaded. Raises ProjectError if it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as e:  # NumPy and zipfile have many ways to say that a file is broken
        raise ProjectError(f"'{path}' is not a readable .npz file: {e}") from None


def array_named(arrays: dict, name: str, where: str) -> np.ndarray:
    """An array of a file. Raises ProjectError with the names there are."""
    if name not in arrays:
        raise ProjectError(f'{where} has no array {name}; it has {", ".join(arrays) or "none"}')
    return arrays[name]


# ---------------------------------------------------------------------------------------------------------------------
# CIFAR-10
# ---------------------------------------------------------------------------------------------------------------------


def read_cifar10_folder(folder: Path) -> dict[str, np.ndarray]:
    """The official folder ``cifar-10-batches-py``.

    Returns:
        ``x_train``, ``x_test``: uint8 (n, 32, 32, 3); ``y_train``, ``y_test``: integers (n,).

    Raises:
        ProjectError: if a file is missing or damaged.
    """
    parts = {'train': [f'data_batch_{i}' for i in range(1, 6)], 'test': ['test_batch']}
    missing = [name for names in parts.values() for name in names if not (folder / name).is_file()]
    if missing:
        raise ProjectError(
            f"'{folder}' has no {', '.join(missing)}. Give the unpacked folder cifar-10-batches-py, or an .npz of "
            f'{", ".join(SPLIT)}'
        )
    arrays = {}
    for part, names in parts.items():
        batches = [_cifar10_batch(folder / name) for name in names]
        arrays[f'x_{part}'], arrays[f'y_{part}'] = (np.concatenate(arrays) for arrays in zip(*batches))
    return arrays


def _cifar10_batch(path: Path):
    try:
        with open(path, 'rb') as file:
            batch = _DataUnpickler(file, encoding='bytes').load()
        images, labels = np.asarray(batch[b'data']), np.asarray(batch[b'labels'])
        if images.dtype != np.uint8 or images.shape != (len(labels), 3 * 32 * 32) or labels.dtype.kind not in 'iu':
            raise ValueError(f'data has shape {images.shape} and type {images.dtype}, labels have shape {labels.shape}')
    except Exception as e:  # a damaged pickle can raise anything
        problem = f'it has no {e}' if isinstance(e, KeyError) else e
        raise ProjectError(f"'{path}' is not a readable batch of CIFAR-10: {problem}. Download it again") from None
    return images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


class _DataUnpickler(pickle.Unpickler):
    """Unpickles numbers, bytes, strings, lists, dicts and NumPy arrays.

    A pickle may call any function by its name: a file from somewhere could run programs. This one finds only what arrays are
    made of.
    """

    known = {
        ('numpy', 'ndarray'): np.ndarray,
        ('numpy', 'dtype'): np.dtype,
        # an array's own constructor, by the names of NumPy before 2.0 (the official files) and since
        ('numpy.core.multiarray', '_reconstruct'): np.empty(0).__reduce__()[0],
        ('numpy._core.multiarray', '_reconstruct'): np.empty(0).__reduce__()[0],
    }

    def find_class(self, module, name):
        if (module, name) not in self.known:
            raise pickle.UnpicklingError(f'it asks for {module}.{name}, which is no data')
        return self.known[module, name]


# ---------------------------------------------------------------------------------------------------------------------
# STL-10
# ---------------------------------------------------------------------------------------------------------------------


def read_stl10_folder(folder: Path) -> dict[str, np.ndarray]:
    """The official binary files of STL-10.

    Returns:
        ``x_train``, ``x_test``: uint8 (n, 96, 96, 3); ``y_train``, ``y_test``: integers from 0, (n,).

    Raises:
        ProjectError: if a file is missing or has another size than it should.
    """
    names = [f'{part}_{kind}.bin' for part in ('train', 'test') for kind in 'Xy']
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ProjectError(f"'{folder}' has no {', '.join(missing)}. Download the binary files from {STL10_HOME}")
    arrays = {}
    for part in ('train', 'test'):
        arrays[f'x_{part}'], arrays[f'y_{part}'] = _stl10_part(folder / f'{part}_X.bin', folder / f'{part}_y.bin')
    return arrays


def _stl10_part(images: Path, labels: Path):
    try:
        x, y = (np.fromfile(path, np.uint8) for path in (images, labels))
    except OSError as e:
        raise ProjectError(f"'{e.filename or images}' can't be read: {e.strerror or e}") from None
    again = f'Download it again from {STL10_HOME}'
    size = 3 * STL10_SIZE * STL10_SIZE
    if len(x) == 0 or len(x) % size:
        raise ProjectError(f"'{images}' has {len(x)} bytes, which is no multiple of an image's {size}. {again}")
    if len(y) != len(x) // size:
        raise ProjectError(f"'{labels}' has {len(y)} labels, but '{images}' {len(x) // size} images. {again}")
    if y.min() < 1 or y.max() > 10:
        raise ProjectError(f"'{labels}' has labels from {y.min()} to {y.max()}; those of STL-10 are 1 to 10. {again}")
    # channel by channel, and within each column by column
    return x.reshape(-1, 3, STL10_SIZE, STL10_SIZE).transpose(0, 3, 2, 1), y.astype(np.int64) - 1
