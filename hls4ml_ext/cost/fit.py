"""The fit: coefficients of the features of engines for LUTs and flip-flops, and how far off they are.

A coefficient says how many LUTs, or flip-flops, one of a feature takes. They are fitted by iteratively reweighted,
non-negative least squares on relative errors to engines that have been synthesized (``data/<family>.json``), of which every
fourth is held out by the hash of its parameters; the errors are those of the held-out ones, and of whole networks.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from hashlib import sha256
from pathlib import Path

import numpy as np

from hls4ml_ext.cost.model import quantities
from hls4ml_ext.cost.structure import Structure, structure_of

PACKAGE, ELSEWHERE = Path(__file__).parent / 'data', 'HLS4ML_EXT_COSTS'
"""Where data and fits are; a variable of the environment says where others are."""

FITTED = ('LUT', 'FF')
EXACT = ('LUTRAM', 'DSP', 'BRAM_18K', 'URAM')
REGISTERS = ('registers', 'multiplier registers', 'late write registers', 'serial registers')
"""The features that are flip-flops; all others are LUTs."""

HELD_OUT = 4
"""One engine of so many is not in the fit."""

FLOOR = 50
"""Counts below this one are compared with it: a difference of one LUT is not 20 % of a FIFO of five."""


LARGE = 250
"""LUTs from which on an engine is large enough for its error to matter; those of others are given, too."""

REWEIGHTED, SMALL = 12, 0.02
"""Rounds of the fit, and the relative error from which on an engine counts less."""

PRIOR = 0.05
"""How much a coefficient is held where it was, against the relative error of an engine in a report."""


def data_folder() -> Path:
    """The folder of data and fits."""
    return Path(os.environ.get(ELSEWHERE) or PACKAGE)


def is_held_out(row: dict) -> bool:
    """Whether an engine is left out of the fit, by the hash of its module and parameters."""
    text = json.dumps([row['module'], row['parameters']], sort_keys=True)
    return int(sha256(text.encode()).hexdigest(), 16) % HELD_OUT == 0


def units(structure: Structure, count: int = 1) -> list[tuple[Structure, int]]:
    """A structure and all of its parts, with how many there are of each."""
    return [(structure, count), *(unit for part, n in structure.parts for unit in units(part, n * count))]


def features_by_module(row: dict, family: str) -> dict[str, tuple[Counter, Counter]]:
    """Module -> features, and what is exact, of all units of that module in an engine."""
    found: dict[str, tuple[Counter, Counter]] = {}
    for structure, count in units(structure_of(row['module'], row['parameters'])):
        features, exact = found.setdefault(structure.module, (Counter(), Counter()))
        q = quantities(structure, family)
        for name, amount in q.features.items():
            features[name] += count * amount
        for name, amount in q.exact.items():
            exact[name] += count * amount
    return found


def of_engine(row: dict, family: str) -> tuple[Counter, Counter]:
    """Features, and what is exact, of an engine with its parts."""
    features, exact = Counter(), Counter()
    for one, other in features_by_module(row, family).values():
        features.update(one)
        exact.update(other)
    return features, exact


def totals(row: dict) -> Counter:
    """The counts of an engine: of its units, or as a report has it."""
    if 'units' not in row:
        return Counter(row['counts'])
    total = Counter()
    for counts in row['units'].values():
        total.update(counts)
    return total


def fit(rows: list[dict], family: str) -> dict[str, dict[str, float]]:
    """Fits coefficients.

    Args:
        rows: Engines: ``module``, ``parameters``, and ``units`` (module -> counts) or ``counts`` of all.

    Returns:
        LUT, FF -> feature -> coefficient.
    """
    from scipy.optimize import nnls

    equations = []  # features, exact LUTs, counts
    for row in rows:
        if 'units' in row:
            known = features_by_module(row, family)
            equations += [(*known[module], counts) for module, counts in row['units'].items() if module in known]
        else:
            equations.append((*of_engine(row, family), row['counts']))
    found = {}
    for resource in FITTED:
        names = sorted(
            {name for features, _, _ in equations for name in features if (name in REGISTERS) == (resource == 'FF')}
        )
        a = np.array([[features.get(name, 0) for name in names] for features, _, _ in equations], float)
        y = np.array([counts.get(resource, 0) for _, _, counts in equations], float)
        known = np.array([exact.get('LUTRAM', 0) if resource == 'LUT' else 0 for _, exact, _ in equations], float)
        weight = 1 / np.maximum(y, FLOOR)
        scale = np.maximum(np.abs(a * weight[:, None]).max(axis=0), 1e-12)
        a, y = a * weight[:, None] / scale, (y - known) * weight
        trust = np.ones(len(y))
        for _ in range(REWEIGHTED):  # towards the least sum of sizes: most engines decide, not the worst
            x, _ = nnls(a * trust[:, None], y * trust)
            trust = 1 / np.sqrt(np.maximum(np.abs(a @ x - y), SMALL))
        found[resource] = {name: float(f'{value:.6g}') for name, value in zip(names, x / scale) if value > 0}
    return found


def refit(rows: list[dict], family: str, before: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Coefficients for a few engines of another tool: all of them scaled, and moved from there as far as the engines need.

    Args:
        rows: Engines with ``counts``.
        before: The coefficients so far.
    """
    from scipy.optimize import nnls

    found = {}
    for resource in FITTED:
        names = sorted(before[resource])
        start = np.array([before[resource][name] for name in names])
        engines = [of_engine(row, family) for row in rows]
        a = np.array([[features.get(name, 0) for name in names] for features, _ in engines], float)
        known = np.array([exact.get('LUTRAM', 0) if resource == 'LUT' else 0 for _, exact in engines], float)
        y = np.array([row['counts'].get(resource, 0) for row in rows], float)
        weight = 1 / np.maximum(y, FLOOR)
        relative = a * start * weight[:, None]  # columns for factors of the coefficients
        target = (y - known) * weight
        total = relative.sum(axis=1)
        factor = max(float(total @ target / max(total @ total, 1e-12)), 0.0)
        prior = PRIOR * np.eye(len(names))
        factors, _ = nnls(np.vstack([relative, prior]), np.concatenate([target, PRIOR * factor * np.ones(len(names))]))
        found[resource] = {name: float(f'{value:.6g}') for name, value in zip(names, start * factors)}
    return found


def predict(features: Counter, exact: Counter, coefficients: dict[str, dict[str, float]]) -> dict[str, float]:
    """LUT and FF of features."""
    found = {r: sum(coefficients[r].get(name, 0) * n for name, n in features.items()) for r in FITTED}
    found['LUT'] += exact.get('LUTRAM', 0)
    return found


def errors_of(rows: list[dict], family: str, coefficients: dict) -> dict[str, list[float]]:
    """LUT, FF -> relative error of each engine; see :data:`FLOOR`."""
    found = {resource: [] for resource in FITTED}
    for row in rows:
        counts, predicted = totals(row), predict(*of_engine(row, family), coefficients)
        for resource in FITTED:
            n = counts.get(resource, 0)
            found[resource].append((predicted[resource] - n) / max(n, FLOOR))
    return found


def summary(errors: list[float]) -> dict[str, float]:
    """Median and largest size of errors."""
    sizes = np.abs(errors)
    return {'median': round(float(np.median(sizes)), 4), 'worst': round(float(np.max(sizes)), 4), 'engines': len(errors)}
