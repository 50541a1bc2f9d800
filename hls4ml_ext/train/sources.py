"""The ``data`` section of a project file: one class for each source of images. Importing it loads no images and no Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from models.knobs import Count, Section

Fraction = Annotated[float, Field(gt=0, lt=1)]


def relative_to_project(path: Path | None, info: ValidationInfo) -> Path | None:
    """A path of a project file, which starts from the file's directory."""
    return path and ((info.context or {}).get('base', Path()) / path).resolve()


def existing_file(path: Path, info: ValidationInfo) -> Path:
    """As :func:`relative_to_project`. Raises ValueError if there is no such file."""
    path = relative_to_project(path, info)
    if not path.is_file():
        raise ValueError(f"there is no file '{path}'")
    return path


class Source(Section):
    """What every source has.

    Attributes:
        limit: Use only so many test images.
    """

    limit: Count | None = None


class Digits(Source):
    """scikit-learn's handwritten digits: 1797 images of 8x8, within the package (UCI, Alpaydin and Kaynak)."""

    source: Literal['digits'] = 'digits'
    test_fraction: Fraction = 0.25


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
    crops: Count = 16

    @field_validator('path')
    @classmethod
    def _resolve(cls, path, info: ValidationInfo):
        return relative_to_project(path, info)


SOURCES = {'digits': Digits, 'npz': Npz, 'stl10_smoke': Stl10Smoke}
"""Name -> section. :func:`hls4ml_ext.train.data.load` knows how to load each."""
