"""The cost of an engine."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache

from hls4ml_ext.cost.fit import EXACT, PACKAGE, data_folder, of_engine, predict
from hls4ml_ext.cost.structure import known_modules
from hls4ml_ext.errors import ExtError

SAME = {'xcu': 'xcup', 'xc7': 'xcup'}
"""Families that take the fit of another one: UltraScale and the 7 series have the LUTs and registers of UltraScale+. Their
block RAMs and DSPs follow from rules of their own. How good it is for them has not been measured."""


@dataclass(frozen=True)
class Resources:
    """What something takes of an FPGA. LUT is all of them, LUTRAM those of them that are memories or shift registers."""

    LUT: float = 0
    LUTRAM: float = 0
    FF: float = 0
    DSP: int = 0
    BRAM_18K: int = 0
    URAM: int = 0

    def __add__(self, other: Resources) -> Resources:
        if not isinstance(other, Resources):
            return NotImplemented
        return Resources(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other))))

    def __radd__(self, other) -> Resources:
        return self if other == 0 else NotImplemented  # sum() starts with 0

    def __mul__(self, count: float) -> Resources:
        return Resources(*(count * a for a in dataclasses.astuple(self)))

    __rmul__ = __mul__

    def asdict(self) -> dict[str, float]:
        """Name -> number."""
        return dataclasses.asdict(self)


def families() -> list[str]:
    """The families of FPGAs whose engines have a cost, in the names of :func:`hls4ml_ext.rtl.build.family_of`."""
    fitted = {path.stem.removesuffix('_fit') for folder in (PACKAGE, data_folder()) for path in folder.glob('*_fit.json')}
    return sorted(fitted | {family for family, other in SAME.items() if other in fitted})


@cache
def fitted(family: str) -> dict:
    """The fit of a family: ``coefficients`` and ``errors``.

    Raises:
        ExtError: if there is none.
    """
    name = f'{SAME.get(family, family)}_fit.json'
    path = next((folder / name for folder in (data_folder(), PACKAGE) if (folder / name).is_file()), None)
    if path is None:
        raise ExtError(f"costs of the family '{family}' are not known; there are those of {', '.join(families())}")
    return json.loads(path.read_text(encoding='utf-8'))


def forget():
    """Forgets what has been read and computed: a fit has changed."""
    fitted.cache_clear()
    _cost.cache_clear()


def known_error(family: str) -> dict | None:
    """How far off LUT and FF are, as fractions, measured when the fit was made.

    Returns:
        ``engines``: LUT, FF -> ``median`` and ``worst`` of the sizes of the errors of engines that were not in the fit, and
        their number; ``large``: the same of those of at least 250 LUTs; ``networks``: name -> LUT, FF -> the error of all of
        its engines together. None, if the family takes the fit of another one: then nobody has measured it.

    Raises:
        ExtError: if the family has no fit.
    """
    found = fitted(family)['errors']
    return None if family in SAME else found


def has_cost(module: str) -> bool:
    """Whether the cost of engines of a module is known. One of the user's own needs a description: docs/extend.md."""
    return module in known_modules()


def engine_cost(module: str, parameters: dict, family: str) -> Resources:
    """What an engine takes.

    Args:
        module: Name of its SystemVerilog module.
        parameters: Name -> value, as :class:`~hls4ml_ext.rtl.body.Body` is given them; files of ROMs don't matter.
        family: 'xcup', 'xcu', 'xc7' or 'ecp5'; see :func:`families`.

    Raises:
        ExtError: if the module or the family has no cost (:func:`has_cost`, :func:`families`), or a parameter is missing.
    """
    fitted(family)
    return _cost(module, tuple(sorted((name, plain(value)) for name, value in parameters.items())), family)


def plain(value):
    """A value of a parameter that can be a key."""
    return str(value) if isinstance(value, str) else value.item() if hasattr(value, 'item') else value


@lru_cache(maxsize=100_000)
def _cost(module: str, parameters: tuple, family: str) -> Resources:
    features, exact = of_engine({'module': module, 'parameters': dict(parameters)}, family)
    found: Counter = Counter({name: exact.get(name, 0) for name in EXACT})
    found.update(predict(features, exact, fitted(family)['coefficients']))
    return Resources(**{name: round(n, 1) if name in ('LUT', 'FF') else int(n) for name, n in found.items()})
