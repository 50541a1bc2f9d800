"""Published systems to compare with: figures, and where they are from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

FILE = Path(__file__).with_name('rivals.yml')


@dataclass(frozen=True)
class Rival:
    """A published system.

    Attributes:
        name, dataset, board: As its authors call them.
        family: Of the FPGA, see :func:`hls4ml_ext.rtl.build.family_of`.
        accuracy: Top-1, a fraction.
        images_per_second, latency_ms, LUT, DSP: None where the source does not say it.
        source, url, note: Where the figures are from, and what they are.
    """

    name: str
    dataset: str
    board: str
    family: str
    source: str
    url: str
    accuracy: float
    images_per_second: float | None = None
    latency_ms: float | None = None
    LUT: int | None = None
    DSP: int | None = None
    note: str = ''

    @property
    def comparable(self) -> bool:
        """Whether its source gives images per second."""
        return self.images_per_second is not None


def rivals(dataset: str | None = None) -> list[Rival]:
    """All of them; with a data set those on that.

    Args:
        dataset: Its name, however it is spelled: 'cifar10', 'CIFAR-10 (first 100 images)'.
    """
    found = [Rival(**entry) for entry in yaml.safe_load(FILE.read_text(encoding='utf-8'))]
    return found if dataset is None else [rival for rival in found if plain(dataset).startswith(plain(rival.dataset))]


def plain(name: str) -> str:
    """A name without what people write differently."""
    return re.sub('[^a-z0-9]', '', name.lower())
