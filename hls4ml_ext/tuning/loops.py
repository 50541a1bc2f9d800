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


def comes_back(builder, loop: Loop, allowed: float, columns: list[list[int]], candidates: list[list]):
    """Adds to a program that the first and the last word of a state come back within `allowed` cycles of being read.

    Variables are the times of a stage's first and last beats since then, as shares of `allowed`. While the last word is
    under way, a stage in front of those that need the whole image has long given its first beat.

    Args:
        builder: Of :mod:`hls4ml_ext.tuning.problem`.
        columns, candidates: For each slot the variables of its candidates, 1 for the one that is chosen, and these.
    """

    def timing(stage: Stage):
        return [stage.timing] if stage.slot is None else [candidate.timing for candidate in candidates[stage.slot]]

    def later(time: int, before: int | None, stage: Stage, part: str):
        """From `before`, None being the reading of the word, to `time` goes by what `part` of a timing says."""
        terms = {time: 1.0} if before is None else {time: 1.0, before: -1.0}
        parts = [getattr(t, part) / allowed for t in timing(stage)]
        if stage.slot is None:
            builder.at_least(terms, parts[0])
        else:
            builder.at_least({**terms, **dict(zip(columns[stage.slot], (-p for p in parts)))}, 0.0)

    for word in ('first', 'last'):
        last: list[int] = []
        first: dict[int, int] = {}  # stage -> time; none while it is earlier than the word
        for number, stage in enumerate(loop.stages):
            complete = all(t.from_last is not None for t in timing(stage))
            begins = [first.get(b) for b in stage.before if b in first or (word == 'first' and b < 0)]
            ends = [last[b] if b >= 0 else None for b in stage.before]
            last.append(builder.time())
            if begins or complete:
                first[number] = builder.time()
                later(last[number], first[number], stage, 'span')
                for before in begins:
                    later(first[number], before, stage, 'lead')
                for before in ends if complete else ():
                    later(first[number], before, stage, 'from_last')
            for before in ends:
                later(last[number], before, stage, 'tail')
        end = first[loop.last] if word == 'first' else last[loop.last]
        builder.at_least({end: -1.0}, loop.around / allowed - 1)
