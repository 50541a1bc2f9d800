"""How soon the state of an ODE block comes back, as linear inequalities over the choices for the layers inside.

The next evaluation reads what the one before has written, so that an evaluation takes no less than a word of the state takes
from being read to being updated. On large maps that is little; where attention needs all pixels before it gives the first
one, or a window most of a small map, it takes longer than any of the layers does.

Of each layer two events count: when it gives its first beat, and when its last. They are bounded from below by those of the
layers in front, by the :class:`Timing` of its folding. All that holds for the earliest schedule of an evaluation
(:mod:`hls4ml_ext.layers.core.schedule`) holds for these bounds; that a layer may also wait elsewhere is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hls4ml_ext.layers.core.schedule import Process


@dataclass(frozen=True)
class Timing:
    """What a layer adds to the time of an evaluation, in cycles.

    Attributes:
        lead: From the first beat of its input to the first of its output.
        from_last: From the last beat of its input to the first of its output, if that needs all of the input; else None.
        span: From the first beat of its output to the last.
        tail: From the last beat of its input to the last of its output.
    """

    lead: float = 0.0
    from_last: float | None = None
    span: float = 0.0
    tail: float = 0.0

    @staticmethod
    def of(process: Process) -> Timing:
        """The timing of a process: of several inputs, what holds for each."""
        depth = sum(process.depths)
        first = process.delay + process.interval + depth
        leads, tails, complete = [], [], []
        for needed, beats in zip(process.needed, process.input_beats):
            leads.append(float(needed[0]) * process.input_interval + first)
            results = process.done[needed == beats - 1]  # of no result: the last input is not needed
            tails.append(first + float(results[-1] - results[0]) if len(results) else 0.0)
            complete.append(bool(needed[0] == beats - 1))
        whole = float(first) if complete and all(complete) else None
        return Timing(min(leads, default=0.0), whole, float(process.done[-1]), min(tails, default=0.0))


@dataclass
class Stage:
    """A layer of the dynamics.

    Attributes:
        slot: Number of the slot in which its folding is chosen; None if nothing is.
        timing: Without a slot: its timing.
        before: Numbers of the stages whose beats it takes; -1 is the state as it is read.
    """

    slot: int | None
    timing: Timing
    before: tuple[int, ...]


@dataclass
class Loop:
    """An ODE block whose evaluations follow each other.

    Attributes:
        slot: Number of the slot of the block.
        evaluations: Of the dynamics for an image.
        stages: The layers of the dynamics, each behind those in front of it.
        last: Number of the stage that gives the slopes.
        around: Cycles for reading a word, and for its update.
    """

    slot: int
    evaluations: int
    stages: list[Stage] = field(default_factory=list)
    last: int = -1
    around: float = 0.0
