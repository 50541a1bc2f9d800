"""The choice of foldings as a mixed-integer linear program, solved by HiGHS (SciPy)."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from hls4ml_ext.cost import Resources
from hls4ml_ext.devices import RESOURCES
from hls4ml_ext.tuning.candidates import Candidate, Choices, repack_cost
from hls4ml_ext.tuning.loops import comes_back

GAP, SECONDS = 0.002, 10.0
"""The solver ends when it is so close to its bound, relatively, or after so many seconds."""

INFEASIBLE = 2
"""The status of ``scipy.optimize.milp`` when it has proven that there is no solution."""


class Undecided(Exception):
    """The solver has found neither a solution nor a proof that there is none."""


@dataclass(frozen=True)
class Solution:
    """What the solver has found.

    Attributes:
        chosen: A candidate for each slot.
        cost: Resources of candidates and repacks.
        bound: No choice takes less, by the solver's proof.
    """

    chosen: list[Candidate]
    cost: Resources
    bound: float


def share_sum(cost: Resources, available: dict[str, int]) -> float:
    """What is made as small as possible: the sum of the shares of the device, over its resources."""
    return sum(getattr(cost, name) / available[name] for name in RESOURCES if available[name])


def solve(
    choices: Choices, interval: float, available: dict[str, int], limit: dict[str, float] | None, repacks: bool = True,
    any_choice: bool = False,
) -> Solution | None:  # fmt: skip
    """The cheapest choice that takes at most `interval` cycles for an image.

    Args:
        available: Resource -> how many the device has.
        limit: Resource -> how many may be taken; None is any number.
        repacks: Whether repacks cost something.
        any_choice: Whether it need not be the cheapest.

    Returns:
        None, if there is no such choice.

    Raises:
        Undecided: if the solver has found none in its time, and no proof that there is none.
    """
    candidates = [slot.candidates(interval) for slot in choices.slots]
    if not all(candidates):
        return None
    builder = _Builder(available)
    columns = [[builder.variable(candidate.cost, integer=True) for candidate in of_slot] for of_slot in candidates]
    for of_slot in columns:
        builder.equal(dict.fromkeys(of_slot, 1.0), 1.0)
    numbers = {id(slot): i for i, slot in enumerate(choices.slots)}
    for i, slot in enumerate(choices.slots):
        if slot.follows is None:
            continue
        j = numbers[id(slot.follows)]  # the lanes of an ODE block are those in which its slopes come
        for column, candidate in zip(columns[i], candidates[i]):
            same = {c: 1.0 for c, other in zip(columns[j], candidates[j]) if other.lanes_out == candidate.lanes_out}
            builder.equal({**same, column: -1.0}, 0.0)
        known = {candidate.lanes_out for candidate in candidates[i]}
        others = {c: 1.0 for c, other in zip(columns[j], candidates[j]) if other.lanes_out not in known}
        if others:
            builder.equal(others, 0.0)
    for edge in choices.edges:
        outs = _by_lanes(columns[edge.source], candidates[edge.source], 'lanes_out')
        ins = _by_lanes(columns[edge.target], candidates[edge.target], 'lanes_in')
        pairs: dict[tuple[int, int], int] = {}
        fewest = ceil(edge.numbers / interval)
        for a in outs:
            for b in ins:
                cost = repack_cost(a, b, edge.bits, fewest, choices.family)
                if cost is not None:
                    pairs[a, b] = builder.variable(cost if repacks else Resources(), integer=False)
        for lanes, of_lanes, side in [*((a, c, 0) for a, c in outs.items()), *((b, c, 1) for b, c in ins.items())]:
            here = {column: 1.0 for pair, column in pairs.items() if pair[side] == lanes}
            builder.equal({**here, **dict.fromkeys(of_lanes, -1.0)}, 0.0)
    for loop in choices.loops:
        comes_back(builder, loop, interval / choices.slots[loop.slot].slack / loop.evaluations, columns, candidates)
    result = builder.solve(limit, gap=1.0 if any_choice else GAP)
    if result is None:
        return None
    values, bound = result
    chosen = [c[int(np.argmax([values[v] for v in vs]))] for c, vs in zip(candidates, columns)]
    cost = Resources(**{name: float(builder.resources[name] @ values) for name in RESOURCES})
    return Solution(chosen, cost, bound)


def _by_lanes(columns, candidates, side: str) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for column, candidate in zip(columns, candidates):
        found.setdefault(getattr(candidate, side), []).append(column)
    return found


class _Builder:
    """Collects variables, equations and inequalities."""

    def __init__(self, available: dict[str, int]):
        self.available = available
        self.costs: list[Resources] = []
        self.integer: list[bool] = []
        self.most: list[float] = []
        self.rows: list[tuple[dict[int, float], float, float]] = []

    def variable(self, cost: Resources, integer: bool, most: float = 1.0) -> int:
        """A variable between 0 and `most`; its number."""
        self.costs.append(cost)
        self.integer.append(integer)
        self.most.append(most)
        return len(self.costs) - 1

    def time(self) -> int:
        """A variable that has no cost; its number."""
        return self.variable(Resources(), integer=False, most=np.inf)

    def equal(self, terms: dict[int, float], value: float):
        self.rows.append((terms, value, value))

    def at_least(self, terms: dict[int, float], value: float):
        self.rows.append((terms, value, np.inf))

    @property
    def resources(self) -> dict[str, np.ndarray]:
        return {name: np.array([getattr(cost, name) for cost in self.costs], float) for name in RESOURCES}

    def solve(self, limit: dict[str, float] | None, gap: float):
        """Values of the variables, and the bound of the objective; None if nothing fits. May raise Undecided."""
        n = len(self.costs)
        i, j, v = zip(*((i, j, v) for i, (terms, *_) in enumerate(self.rows) for j, v in terms.items()))
        matrix = coo_array((v, (i, j)), shape=(len(self.rows), n)).tocsr()
        constraints = [LinearConstraint(matrix, *(np.array(side) for side in list(zip(*self.rows))[1:]))]
        taken = self.resources
        for name, most in (limit or {}).items():
            constraints.append(LinearConstraint(taken[name][None, :], -np.inf, most))
        objective = np.array([share_sum(cost, self.available) for cost in self.costs])
        result = milp(
            objective, integrality=np.array(self.integer, int), bounds=Bounds(0, np.array(self.most)),
            constraints=constraints, options={'mip_rel_gap': gap, 'time_limit': SECONDS},
        )  # fmt: skip
        if result.x is not None:
            return result.x, float(result.mip_dual_bound)
        if result.status == INFEASIBLE:
            return None
        raise Undecided(result.message)
