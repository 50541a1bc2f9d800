"""Explicit Runge-Kutta solvers as Butcher tableaux.

A step of size h from (t, z) is

    k_i = f(t + c_i h, z + h sum_{j<i} a_ij k_j),     z' = z + h sum_i b_i k_i

(Hairer, Norsett, Wanner, "Solving Ordinary Differential Equations I", section II.1).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Solver:
    """A Butcher tableau.

    Args:
        name: What ``ODEBlock(solver=...)`` calls it.
        a: Row i holds a_i0 ... a_i(i-1).
        b: Weights of the slopes.
        c: Nodes, as fractions of a step.
        order: Order of convergence.

    Raises:
        ValueError: if the sizes don't fit, the b don't add up to one, or a row of a doesn't add up to its c.
    """

    name: str
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    c: tuple[float, ...]
    order: int

    def __post_init__(self):
        n = len(self.b)
        if len(self.a) != n or len(self.c) != n or any(len(row) != i for i, row in enumerate(self.a)):
            raise ValueError(f"solver '{self.name}': a needs {n} rows of 0, 1, ... {n - 1} numbers, and c {n} numbers")
        if abs(sum(self.b) - 1) > 1e-12:
            raise ValueError(f"solver '{self.name}': the weights b add up to {sum(self.b)}, not to 1")
        for i, (row, c) in enumerate(zip(self.a, self.c)):
            if abs(sum(row) - c) > 1e-12:
                raise ValueError(f"solver '{self.name}': row {i} of a adds up to {sum(row)}, not to c = {c}")

    @property
    def n_stages(self) -> int:
        return len(self.b)


EULER = Solver('euler', ((),), (1.0,), (0.0,), 1)
MIDPOINT = Solver('midpoint', ((), (0.5,)), (0.0, 1.0), (0.0, 0.5), 2)
HEUN = Solver('heun', ((), (1.0,)), (0.5, 0.5), (0.0, 1.0), 2)
RK4 = Solver('rk4', ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6), (0.0, 0.5, 0.5, 1.0), 4)

SOLVERS = {solver.name: solver for solver in (EULER, MIDPOINT, HEUN, RK4)}


def get_solver(solver: str | Solver | dict) -> Solver:
    """The solver of a name, a config (``dataclasses.asdict``) or a solver itself.

    Raises:
        ValueError: on an unknown name, listing the known ones.
    """
    if isinstance(solver, Solver):
        return solver
    if isinstance(solver, dict):
        rows = tuple(tuple(row) for row in solver['a'])
        return Solver(solver['name'], rows, tuple(solver['b']), tuple(solver['c']), solver['order'])
    if solver not in SOLVERS:
        raise ValueError(f'solver is {solver!r}. Use one of {", ".join(SOLVERS)}, or an hls4ml_ext.Solver')
    return SOLVERS[solver]
