"""The ``data`` section of a project file: one class for each source of images. Importing it loads no images and no Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from hls4ml_ext.models.knobs import Count, Section

CIFAR10_VARIABLE = 'HLS4ML_EXT_CIFAR10'
"""Environment variable: where CIFAR-10 is, if a project file doesn't say."""

Fraction = Annotated[float, Field(gt=0, lt=1)]

Pixels = Annotated[int, Field(strict=True, ge=1, le=4096)]
"""A height or width of images."""


def relative_to_project(path: Path | None, info: ValidationInfo) -> Path | None:
    """A path of a project file, which starts from the file's directory."""
    return path and ((info.context or {}).get('base', Path()) / path).resolve()


def existing_file(path: Path, info: ValidationInfo) -> Path:
    """As :func:`relative_to_project`. Raises ValueError if there is no such file."""
    path = relative_to_project(path, info)
    if not path.is_file():
        raise ValueError(f"there is no file '{path}'")
    return path


def existing_path(path: Path | None, info: ValidationInfo) -> Path | None:
    """As :func:`relative_to_project`. Raises ValueError if a path is given and there is neither a file nor a folder."""
    path = relative_to_project(path, info)
    if path is not None and not path.exists():
        raise ValueError(f"there is no file or folder '{path}'")
    return path


def existing_folder(path: Path, info: ValidationInfo) -> Path:
    """As :func:`relative_to_project`. Raises ValueError if there is no such folder."""
    path = relative_to_project(path, info)
    if not path.is_dir():
        raise ValueError(f"'{path}' is a file, not a folder" if path.exists() else f"there is no folder '{path}'")
    return path


class Source(Section):
    """What every source has.

    Attributes:
        limit: Use only so many test images, the first ones.
        train_limit: Use only so many training images, for quick tries: the first ones after a shuffle with the seed.
        train_per_class: Use only so many training images of each class, a label budget: those that the seed of the budget
            draws, whatever the seed of the training.
        train_indices: Or use only the training images whose numbers are in this text file, from 0, one a line; what follows
            a ``#`` is a comment.
    """

    limit: Count | None = None
    train_limit: Count | None = None
    train_per_class: Count | None = None
    train_indices: Path | None = None

    @field_validator('train_indices')
    @classmethod
    def _is_file(cls, path, info: ValidationInfo):
        return path and existing_file(path, info)

    @model_validator(mode='after')
    def _one_budget(self):
        if self.train_per_class and self.train_indices:
            raise ValueError('train_indices: train_per_class is given as well. Leave one out')
        return self


class Digits(Source):
    """scikit-learn's handwritten digits: 1797 images of 8x8, within the package (UCI, Alpaydin and Kaynak)."""

    source: Literal['digits'] = 'digits'
    test_fraction: Fraction = 0.25


class Cifar10(Source):
    """CIFAR-10 (Krizhevsky): 50,000 training and 10,000 test images of 32x32 RGB, 10 classes.

    Without a path it is what the environment variable :data:`CIFAR10_VARIABLE` names, else what Keras downloads.

    Attributes:
        path: An .npz of ``x_train``, ``y_train``, ``x_test``, ``y_test``, or the official folder ``cifar-10-batches-py``.
    """

    source: Literal['cifar10'] = 'cifar10'
    path: Path | None = None

    @field_validator('path')
    @classmethod
    def _exists(cls, path, info: ValidationInfo):
        return existing_path(path, info)


class Stl10(Source):
    """STL-10 (Coates, Lee and Ng): 5,000 training and 8,000 test images of 96x96 RGB, 10 classes.

    Attributes:
        path: The folder of the official binary files ``train_X.bin``, ``train_y.bin``, ``test_X.bin`` and ``test_y.bin``.
    """

    source: Literal['stl10'] = 'stl10'
    path: Path

    @field_validator('path')
    @classmethod
    def _exists(cls, path, info: ValidationInfo):
        return existing_folder(path, info)


class Folder(Source):
    """A folder of images (png, jpg, bmp, gif), with a folder for each class; classes are numbered by name.

    Attributes:
        path: The folder of the classes; or one of the folders ``train`` and ``test``, which have the classes.
        test_fraction: Share of the test images, if there are no ``train`` and ``test``.
        size: N or [height, width] that images are resized to; without it all must have one size.
        channels: 3 is RGB, 1 is grey.
    """

    source: Literal['folder'] = 'folder'
    path: Path
    test_fraction: Fraction = 0.2
    size: tuple[Pixels, Pixels] | None = None
    channels: Literal[1, 3] = 3

    @field_validator('path')
    @classmethod
    def _exists(cls, path, info: ValidationInfo):
        return existing_folder(path, info)

    @field_validator('size', mode='before')
    @classmethod
    def _height_and_width(cls, size):
        sizes = list(size) if isinstance(size, (list, tuple)) else [size, size]
        if size is not None and (len(sizes) != 2 or any(type(n) is not int or n < 1 for n in sizes)):
            raise ValueError(f'{size!r} is neither a number of pixels nor [height, width]')
        return None if size is None else tuple(sizes)


class Npz(Source):
    """A NumPy file of ``x_train``, ``y_train``, ``x_test``, ``y_test``, or of ``images`` and ``labels`` to be split.

    Images are (n, height, width, channels), uint8 or already between -1 and 1.
    """

    source: Literal['npz'] = 'npz'
    path: Path
    test_fraction: Fraction = 0.2

    @field_validator('path')
    @classmethod
    def _exists(cls, path, info: ValidationInfo):
        return existing_file(path, info)


class Stl10Smoke(Source):
    """A few real 96x96 images to run a model on, too few for an accuracy: ``images``, ``labels``.

    Where the file is missing, crops of scikit-learn's sample photographs take its place. Other crops are for training.
    """

    source: Literal['stl10_smoke'] = 'stl10_smoke'
    path: Path | None = None
    crops: Annotated[int, Field(strict=True, ge=1, le=1024)] = 16

    @field_validator('path')
    @classmethod
    def _resolve(cls, path, info: ValidationInfo):
        return relative_to_project(path, info)


SOURCES = {
    'digits': Digits,
    'cifar10': Cifar10,
    'stl10': Stl10,
    'folder': Folder,
    'npz': Npz,
    'stl10_smoke': Stl10Smoke,
}
"""Name -> section. :func:`hls4ml_ext.train.data.load` knows how to load each."""
