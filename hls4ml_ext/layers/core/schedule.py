"""When the beats of a dataflow graph move: the latency of a graph, and the depths that its FIFOs need.

A process takes beats from its inputs and gives beats, one behind the other. Beat j of its output needs the beats up to
``needed[j]`` of each input, and ``interval`` cycles of work; then it travels through a pipeline of some depth. A pipeline
that *stalls* keeps its results inside while an input is missing: a result leaves it when enough later work has entered it.
Kernels ask for pipelines that flush (``style=flp``), but FIFOs are deep enough for either.

A schedule says for each beat when it is given and when it is taken. If a schedule respects all of these rules, and no FIFO
ever holds more beats in it than its depth, then processes that simply run when they can are never later than the schedule
(a dataflow graph is monotonic: nothing that comes earlier makes anything else come later). So the depths that one schedule
needs rule out deadlock and lost throughput. See Wiggers, Bekooij and Smit, "Efficient computation of buffer capacities for
cyclo-static dataflow graphs" (DAC 2007). The schedule here gives beats just in time.

Times are cycles: a beat given at t can be taken from then on, and the work that takes it is done at t + interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor

import numpy as np

from hls4ml_ext.layers.core.node import ExactLayer, beats_of

MIN_DEPTH = 2
"""Of a FIFO, so that it takes a beat and gives one in the same cycle."""


class Pipeline:
    """A pipeline between work and its results.

    Args:
        depth: In cycles.
        clock: When the work for each result is done, in cycles during which the pipeline moves.
        interval: Cycles of work for a result, which no missing input interrupts.
    """

    def __init__(self, depth: int, clock: np.ndarray, interval: float = 1):
        self.depth = depth
        out, last = clock + depth, len(clock) - 1
        # A pipeline that stalls moves when work is done: which work moves a result out, and how long before it is done?
        # At the end of an image it moves by itself: then it is how long after the last work, a negative number.
        self.pushed_by = np.minimum(np.searchsorted(clock, out), last)
        self.before = np.where(out > clock[last], clock[last] - out, np.minimum(clock[self.pushed_by] - out, interval - 1))

    def leaves(self, times: np.ndarray, stalls: bool) -> np.ndarray:
        """When results leave the pipeline, given when the work for them is done."""
        flushed = times + self.depth
        return np.maximum(flushed, times[self.pushed_by] - self.before) if stalls else flushed

    def enters(self, deadlines: np.ndarray, stalls: bool, earliest: np.ndarray) -> np.ndarray:
        """The latest times at which work can be done for its results to keep deadlines, which never decrease.

        Args:
            earliest: The earliest times. The first results wait in a stalling pipeline for those that push them out; they
                are no closer to these than in the earliest schedule, so that nothing piles up in front of the pipeline.
        """
        times = deadlines - self.depth
        if stalls:
            np.minimum.at(times, self.pushed_by, deadlines + self.before)
            first = self.pushed_by[0]
            times[:first] = np.minimum(times[:first], times[first] - (earliest[first] - earliest[:first]))
        return times


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
        engine, busy: Name of what does the work, if it does that of other processes as well; and after how many cycles it
            can begin with the next of them, or None: when it is done with this one.
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
    engine: str = ''
    busy: float | None = None

    @cached_property
    def done(self) -> np.ndarray:
        """When the work for each beat is done, in cycles after that for the first one, if nothing keeps it waiting."""
        pace = np.full(self.n_beats, float(self.interval))
        pace[0] = 0
        for needed in self.needed:
            pace[1:] = np.maximum(pace[1:], np.diff(needed) * self.input_interval)
        return np.cumsum(pace)

    @cached_property
    def pipeline(self) -> Pipeline:
        """The pipeline that does the work."""
        return Pipeline(self.depths[-1], self.done, self.interval)

    @cached_property
    def fronts(self) -> list[list[Pipeline]]:
        """For each input the pipelines in front."""
        return [[Pipeline(depth, np.arange(n)) for depth in self.depths[:-1]] for n in self.input_beats]

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
    def ahead(self) -> int:
        """Cycles from taking a beat to the work with it: the pipelines in front."""
        return sum(self.depths[:-1])

    @property
    def period(self) -> float:
        """Cycles from one image to the next, if nothing keeps it waiting."""
        return self.cycles + self.drain

    @property
    def drain(self) -> int:
        """Cycles that an image adds to ``cycles`` for the next: each pipeline is empty before it takes that.

        The pipelines take turns: one in front is empty, and takes the next image, while the last one still works.
        """
        return max(self.depths)


def processes_of(graph) -> list[Process]:
    """The processes of an exact graph: its inputs and its nodes."""
    return [
        process_of(node)
        if isinstance(node, ExactLayer)
        else Process((), tuple(node.outputs), beats_of(node, node.outputs[0]))
        for node in graph.get_layers()
    ]


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


def connected(processes: list[Process]) -> list[list[int]]:
    """The parts of a graph that have nothing in common, as the numbers of their processes, in order."""
    parts: list[tuple[set[str], list[int]]] = []
    for number, process in enumerate(processes):
        streams, members = {*process.inputs, *process.outputs}, [number]
        for part in [part for part in parts if part[0] & streams]:
            parts.remove(part)
            streams, members = streams | part[0], part[1] + members
        parts.append((streams, members))
    return [sorted(members) for _, members in parts]


# ---------------------------------------------------------------------------------------------------------------------
# Schedules
# ---------------------------------------------------------------------------------------------------------------------


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
    works, free = [], {}
    for process in processes:
        arrivals = [given[name] for name in process.inputs]
        begin = max(_begin(process, arrivals, period, stalls), free.get(process.engine, 0))
        work = _work(process, arrivals, begin, stalls)
        if process.engine:
            free[process.engine] = work[-1] if process.busy is None else begin + process.busy
        works.append(work)
        for name in process.outputs:
            given[name] = process.pipeline.leaves(work, stalls)
    return given, works


def _work(process, arrivals, begin: float, stalls: bool) -> np.ndarray:
    """When the work for each beat is done, if the process takes its first input at `begin`."""
    ready = np.full(process.n_beats, float(begin))
    for times, needed, fronts in zip(arrivals, process.needed, process.fronts):
        times = np.maximum(times, begin)
        for pipeline in fronts:
            times = pipeline.leaves(times, stalls)
        taken = np.arange(len(times)) * process.input_interval
        times = np.maximum.accumulate(times - taken) + taken
        ready = np.maximum(ready, times[needed])
    start = ready + process.delay + process.interval
    return np.maximum.accumulate(start - process.done) + process.done


def _begin(process, arrivals, period, stalls) -> float:
    """When a process takes its first input: as soon as it is there, or later if it then had to wait for too long."""
    soon = floor(min((times[0] for times in arrivals), default=0))
    late = ceil(max((times[-1] for times in arrivals), default=0))

    def fits(begin):
        return _work(process, arrivals, begin, stalls)[-1] + process.rest + process.drain <= begin + process.ahead + period

    if period is None or fits(soon):
        return soon
    while late - soon > 1:
        middle = (soon + late) // 2
        soon, late = (soon, middle) if fits(middle) else (middle, late)
    return late


@dataclass(frozen=True)
class Schedule:
    """When beats move.

    Attributes:
        given: Stream -> times at which its beats are given.
        taken: For each process, for each of its inputs, times at which the beats are taken.
    """

    given: dict[str, np.ndarray]
    taken: list[list[np.ndarray]]


def just_in_time(processes: list[Process], outputs, period: float | None = None, stalls: bool = True) -> Schedule:
    """A schedule in which no result is later than in the earliest one, and no beat is given before it can be taken.

    A process takes a beat when it is there and the result before the one that needs it is done, or sooner if it has to for
    its results to be in time. From the outputs backwards, work is done as late as those who take its results allow.

    Args:
        outputs: The streams that leave the graph.
        period, stalls: See :func:`earliest`.
    """
    soonest, works = earliest(processes, period, stalls)
    due = {name: soonest[name] for name in outputs}
    limits: list[list[np.ndarray]] = [[] for _ in processes]
    for number in reversed(range(len(processes))):
        process = processes[number]
        # A stream that nobody reads is no constraint.
        wanted = np.min([due.get(name, soonest[name]) for name in process.outputs], axis=0)
        work = process.pipeline.enters(wanted, stalls, works[number])
        work = _no_sooner(work, process.done)
        if period is not None:
            left = process.done[-1] - process.done
            end = work[0] - process.lead + period - process.drain - process.rest
            work = _no_sooner(np.minimum(work, end - left), process.done)
        works[number] = work = np.maximum(work, works[number])
        for i, name in enumerate(process.inputs):
            limits[number].append(_taken_last(process, i, work, stalls, soonest[name]))
            taken = _taken(process, i, work, period, soonest[name], limits[number][i])
            due[name] = np.minimum(taken, due.get(name, np.inf))
    given = {
        name: process.pipeline.leaves(work, stalls) for process, work in zip(processes, works) for name in process.outputs
    }
    taken = [
        [_taken(process, i, works[k], period, given[name], limits[k][i]) for i, name in enumerate(process.inputs)]
        for k, process in enumerate(processes)
    ]
    return Schedule(given, taken)


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
    for pipeline in reversed(process.fronts[i]):
        times = pipeline.enters(times, stalls, soonest)
    return np.minimum.accumulate(times[::-1])[::-1]


def _taken(process, i: int, work, period, given, limits) -> np.ndarray:
    """When beats of input `i` are taken; see :func:`just_in_time`."""
    needed, number = process.needed[i], np.arange(process.input_beats[i])
    result = np.searchsorted(needed, number)
    # The first result has to wait for the image before.
    begin = -np.inf if period is None else work[-1] + process.rest + process.drain - period
    after = np.where(result == 0, begin, work[np.maximum(result, 1) - 1]) - process.ahead
    spacing = number * process.input_interval
    times = np.maximum.accumulate(np.maximum(given, after) - spacing) + spacing
    return np.minimum(times, limits)


def dependence(processes: list[Process], source: str, output: str, stalls: bool = True) -> np.ndarray:
    """For each beat of `output`, the number of the last beat of `source`, the only source of the graph, that it needs."""
    needs: dict[str, np.ndarray] = {}
    for process in processes:
        need = np.arange(process.n_beats) if source in process.outputs else np.zeros(process.n_beats, int)
        for name, needed, fronts in zip(process.inputs, process.needed, process.fronts):
            last = needs[name]
            for pipeline in fronts if stalls else []:
                last = last[pipeline.pushed_by]
            need = np.maximum(need, last[needed])
        for name in process.outputs:
            needs[name] = need[process.pipeline.pushed_by] if stalls else need
    return needs[output]


# ---------------------------------------------------------------------------------------------------------------------
# FIFOs
# ---------------------------------------------------------------------------------------------------------------------


def fifo_depths(
    processes: list[Process], outputs, period: float | None = None, stalls: bool | None = None
) -> dict[str, int]:
    """Stream -> beats that its FIFO has to hold.

    Args:
        outputs: The streams that leave the graph.
        period: Cycles from one image to the next; None for one image.
        stalls: Whether pipelines stall; None: whether they do or not.
    """
    if stalls is None:
        either = [fifo_depths(processes, outputs, period, stalls) for stalls in (False, True)]
        return {name: max(depths[name] for depths in either) for name in either[0]}
    schedule = just_in_time(processes, outputs, period, stalls)
    depths = dict.fromkeys(schedule.given, MIN_DEPTH)
    for process, taken in zip(processes, schedule.taken):
        for name, times in zip(process.inputs, taken):
            # Just before a beat is taken, all that have been given wait, except those that were taken before.
            given, waiting = schedule.given[name], -np.arange(len(times))
            while True:
                waiting = waiting + np.searchsorted(given, times + 1e-6, 'right')
                if period is None or given[0] + period > times[-1]:
                    break
                given = given + period  # those of the next image
            # The next beat can come in the very cycle in which this one goes.
            depths[name] = max(int(waiting.max()) + 1, MIN_DEPTH)
    return depths
