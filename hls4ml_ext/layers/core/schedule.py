"""When the beats of a dataflow graph move: the latency of a graph, and the depths that its FIFOs need.

A process takes beats from its inputs and gives beats, one behind the other. Beat j of its output needs the beats up to
``needed[j]`` of each input, and ``interval`` cycles of work; then it travels through a pipeline of some depth. One that
*stalls* keeps its results inside while an input is missing: a result leaves it when enough later work has entered it.
Kernels ask for pipelines that flush (``style=flp``), but FIFOs are deep enough for either.

A schedule says for each beat when it is given and when it is taken. If a schedule respects all of these rules, and no FIFO
ever holds more beats in it than its depth, then processes that simply run when they can are never later than the schedule
(a dataflow graph is monotonic: nothing that comes earlier makes anything else come later). So the depths that one schedule
needs rule out deadlock and lost throughput. See Wiggers, Bekooij and Smit, "Efficient computation of buffer capacities for
cyclo-static dataflow graphs" (DAC 2007). The schedule here is the latest one that delays no result.

Times are cycles: a beat given at t can be taken from then on, and the work that takes it is done at t + interval.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil

import numpy as np

from hls4ml_ext.layers.core.node import ExactLayer, beats_of

COPY_DEPTH = 2
"""Depth of the pipeline that copies a stream: a read and a write."""

MIN_DEPTH = 2
"""Of a FIFO, so that it takes a beat and gives one in the same cycle."""


@dataclass(frozen=True)
class Process:
    """A process of a dataflow graph.

    Args:
        inputs: Names of the streams that it takes.
        outputs: Names of the streams that it gives; each gets the same beats.
        n_beats: Beats that it gives for one image.
        needed: For each input, and for each beat that it gives, the number of the last beat of the input that it needs.
        input_beats: Beats of each input for one image.
        interval: Cycles of work for a beat.
        input_interval: Cycles from taking a beat to taking the next.
        delay: Cycles between the last needed input and the work.
        depths: Depths of the pipelines that the data go through: first those that handle each input beat, last the one that
            does the work.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    n_beats: int
    needed: tuple[np.ndarray, ...] = ()
    input_beats: tuple[int, ...] = ()
    interval: float = 1
    input_interval: float = 1
    delay: float = 0
    depths: tuple[int, ...] = (0,)
    done: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        # When its work for each beat is done, in cycles after the work for the first one, if nothing keeps it waiting.
        pace = np.full(self.n_beats, float(self.interval))
        pace[0] = 0
        for needed in self.needed:
            pace[1:] = np.maximum(pace[1:], np.diff(needed) * self.input_interval)
        object.__setattr__(self, 'done', np.cumsum(pace))

    @property
    def lead(self) -> float:
        """Cycles from taking the first beat to the end of the work for the first result."""
        first = max((int(needed[0]) for needed in self.needed), default=0)
        return first * self.input_interval + self.delay + self.interval

    @property
    def rest(self) -> float:
        """Cycles for the beats that no result needs."""
        left = max((n - 1 - int(needed[-1]) for n, needed in zip(self.input_beats, self.needed)), default=0)
        return left * self.input_interval

    @property
    def cycles(self) -> float:
        """Cycles for one image, if nothing keeps it waiting, without the depths of its pipelines."""
        return self.lead + self.done[-1] + self.rest

    @property
    def beats_inside(self) -> int:
        """Results that are in the pipeline that does the work."""
        return ceil(self.depths[-1] / max(self.interval, 1))


def processes_of(graph) -> list[Process]:
    """The processes of an hls4ml graph: its nodes, its inputs and the copies of streams."""
    processes: list[Process] = []
    beats: dict[str, int] = {}
    for node in graph.get_layers():
        if not node.inputs or node.inputs == ['input']:
            process = Process((), tuple(node.outputs), beats_of(node, node.outputs[0]))
        elif not isinstance(node, ExactLayer):
            n = beats[node.inputs[0]]
            process = Process(tuple(node.inputs), tuple(node.outputs), n, (np.arange(n),), (n,), depths=(COPY_DEPTH,))
        else:
            process = process_of(node)
        processes.append(process)
        beats.update(dict.fromkeys(process.outputs, process.n_beats))
    return processes


def process_of(node: ExactLayer) -> Process:
    """The process of a node."""
    inputs = range(len(node.inputs))
    return Process(
        tuple(node.inputs),
        tuple(node.outputs),
        node.n_beats,
        tuple(node.last_input_of(i) for i in inputs),
        tuple(node.input_beats(i) for i in inputs),
        node.interval,
        node.input_interval,
        node.delay,
        node.pipeline_depths,
    )


# ---------------------------------------------------------------------------------------------------------------------
# Schedules
# ---------------------------------------------------------------------------------------------------------------------


def leaves(done: np.ndarray, depth: int, beats: int, stalls: bool) -> np.ndarray:
    """When results leave a pipeline.

    Args:
        done: When they would without it.
        depth: Of the pipeline, in cycles.
        beats: Results that are inside at a time.
        stalls: Whether it keeps them until more work comes; at the end of an image it does not.
    """
    times = done + depth
    if stalls and beats:
        later = np.minimum(np.arange(len(done)) + beats, len(done) - 1)
        times = np.maximum(times, done[later])
    return times


def enters(deadlines: np.ndarray, depth: int, beats: int, stalls: bool, earliest: np.ndarray) -> np.ndarray:
    """The latest times for :func:`leaves` to keep deadlines, which never decrease.

    Args:
        earliest: The earliest times. The first results wait in a stalling pipeline for those that push them out; they are
            no closer to these than in the earliest schedule, so that nothing piles up in front of the pipeline.
    """
    done = deadlines - depth
    if stalls and beats:
        last = len(done) - 1
        first = min(beats, last)
        done[beats:] = np.minimum(done[beats:], deadlines[: max(last + 1 - beats, 0)])
        done[-1] = min(done[-1], deadlines[max(last - beats, 0)])
        done[:first] = np.minimum(done[:first], done[first] - (earliest[first] - earliest[:first]))
    return done


def latency(processes: list[Process], outputs, stalls: bool = False) -> int:
    """Cycles from the first beat that enters a graph, at one beat a cycle, to the last beat of its outputs."""
    given = earliest(processes, None, stalls)[0]
    return ceil(max(given[name][-1] for name in outputs))


def earliest(processes, period: float | None, stalls: bool):
    """The earliest schedule.

    Args:
        period: Cycles from one image to the next: a process has to be done with an image within them. None for one image.
        stalls: Whether pipelines stall.

    Returns:
        Stream -> times at which its beats are given; and for each process when its work for each beat is done.
    """
    given: dict[str, np.ndarray] = {}
    works = []
    for process in processes:
        arrivals = [given[name] for name in process.inputs]
        work = _work(process, arrivals, _begin(process, arrivals, period, stalls), stalls)
        works.append(work)
        for name in process.outputs:
            given[name] = leaves(work, process.depths[-1], process.beats_inside, stalls)
    return given, works


def _work(process, arrivals, begin: float, stalls: bool) -> np.ndarray:
    """When the work for each beat is done, if the process takes its first input at `begin`."""
    ready = np.full(process.n_beats, float(begin))
    for times, needed in zip(arrivals, process.needed):
        times = np.maximum(times, begin)
        for depth in process.depths[:-1]:
            times = leaves(times, depth, depth, stalls)
        taken = np.arange(len(times)) * process.input_interval
        times = np.maximum.accumulate(times - taken) + taken
        ready = np.maximum(ready, times[needed])
    start = ready + process.delay + process.interval
    return np.maximum.accumulate(start - process.done) + process.done


def _begin(process, arrivals, period, stalls) -> float:
    """When a process takes its first input: as soon as it is there, or later if it then had to wait for too long."""
    soon = float(min((times[0] for times in arrivals), default=0))
    late = float(max((times[-1] for times in arrivals), default=0))

    def fits(begin):
        return _work(process, arrivals, begin, stalls)[-1] + process.rest + process.depths[-1] - begin <= period

    if period is None or fits(soon):
        return soon
    while late - soon > 1:
        middle = (soon + late) // 2
        soon, late = (soon, middle) if fits(middle) else (middle, late)
    return late


@dataclass(frozen=True)
class Latest:
    """The latest schedule in which no result is later than in the earliest.

    Attributes:
        given: Stream -> times at which its beats are given.
        taken: For each process, for each of its inputs, times at which the beats are taken.
    """

    given: dict[str, np.ndarray]
    taken: list[list[np.ndarray]]


def latest(processes: list[Process], outputs, period: float | None = None, stalls: bool = True) -> Latest:
    """The latest schedule; see :func:`earliest`. Beats are given just in time, and taken as soon as there is room."""
    given, works = earliest(processes, period, stalls)
    soonest, deadlines = given, {name: given[name] for name in outputs}
    for number in reversed(range(len(processes))):
        process = processes[number]
        # A stream that nobody reads is no constraint.
        due = np.min([deadlines.get(name, given[name]) for name in process.outputs], axis=0)
        work = enters(due, process.depths[-1], process.beats_inside, stalls, works[number])
        work = _no_sooner(work, process.done)
        if period is not None:
            left = process.done[-1] - process.done
            work = np.minimum(work, work[0] - process.lead + period - process.depths[-1] - process.rest - left)
            work = _no_sooner(work, process.done)
        works[number] = work = np.maximum(work, works[number])
        for i, name in enumerate(process.inputs):
            last = _taken_last(process, i, work, stalls, soonest[name])
            deadlines[name] = np.minimum(last, deadlines.get(name, np.inf))
    given = {
        name: leaves(work, process.depths[-1], process.beats_inside, stalls)
        for process, work in zip(processes, works)
        for name in process.outputs
    }
    taken = []
    for process, work in zip(processes, works):
        begin = -np.inf if period is None else work[-1] + process.rest + process.depths[-1] - period
        taken.append([_taken(process, i, work, begin, given[n], deadlines[n]) for i, n in enumerate(process.inputs)])
    return Latest(given, taken)


def _no_sooner(deadlines: np.ndarray, done: np.ndarray) -> np.ndarray:
    """Deadlines of work that takes its time: none is sooner than the time that the work before it leaves for it."""
    return np.minimum.accumulate((deadlines - done)[::-1])[::-1] + done


def _taken_last(process, i: int, work, stalls: bool, soonest) -> np.ndarray:
    """The latest times at which the beats of input `i` can be taken for work that is done in time."""
    needed, number = process.needed[i], np.arange(process.input_beats[i])
    used = number[: needed[-1] + 1]
    result = np.searchsorted(needed, used)
    times = np.empty(len(number))
    times[: len(used)] = work[result] - process.interval - process.delay - (needed[result] - used) * process.input_interval
    times[len(used) :] = work[-1] + (number[len(used) :] - needed[-1] - 1) * process.input_interval
    for depth in reversed(process.depths[:-1]):
        times = enters(times, depth, depth, stalls, soonest)
    return np.minimum.accumulate(times[::-1])[::-1]


def _taken(process, i: int, work, begin: float, given, deadlines) -> np.ndarray:
    """When beats of input `i` are taken: when they are there and the result before the one that needs them is done."""
    needed, number = process.needed[i], np.arange(process.input_beats[i])
    result = np.searchsorted(needed, number)
    after = np.where(result == 0, begin, work[np.maximum(result, 1) - 1])
    spacing = number * process.input_interval
    times = np.maximum.accumulate(np.maximum(given, after) - spacing) + spacing
    return np.minimum(times, deadlines)


def dependence(processes: list[Process], source: str, output: str, stalls: bool = True) -> np.ndarray:
    """For each beat of `output`, the number of the last beat of `source`, the only source of the graph, that it needs."""
    needs: dict[str, np.ndarray] = {}
    for process in processes:
        need = np.arange(process.n_beats) if source in process.outputs else np.zeros(process.n_beats, int)
        for name, needed in zip(process.inputs, process.needed):
            times = needs[name]
            for depth in process.depths[:-1]:
                times = leaves(times, 0, depth, stalls)
            need = np.maximum(need, times[needed])
        for name in process.outputs:
            needs[name] = leaves(need, 0, process.beats_inside, stalls)
    return needs[output]


# ---------------------------------------------------------------------------------------------------------------------
# FIFOs
# ---------------------------------------------------------------------------------------------------------------------


def fifo_depths(processes: list[Process], outputs, period: float | None = None, stalls: bool = True) -> dict[str, int]:
    """Stream -> beats that its FIFO has to hold.

    Args:
        outputs: The streams that leave the graph.
        period: Cycles from one image to the next; None for one image.
        stalls: Whether pipelines stall.
    """
    schedule = latest(processes, outputs, period, stalls)
    depths = dict.fromkeys(schedule.given, MIN_DEPTH)
    for process, taken in zip(processes, schedule.taken):
        for name, times in zip(process.inputs, taken):
            # Just before a beat is taken, all that have been given wait, except those that were taken before.
            given, number = schedule.given[name], np.arange(len(times))
            waiting, image = -number, 0
            while given[0] + image * (period or 0) <= times[-1] and (image == 0 or period):
                waiting = waiting + np.searchsorted(given + image * (period or 0), times + 1e-6, 'right')
                image += 1
            # The next beat can come in the very cycle in which this one goes.
            depths[name] = max(int(waiting.max()) + 1, MIN_DEPTH)
    return depths
