"""A simulation of dataflow graphs, cycle by cycle and beat by beat: FIFOs that fill up, pipelines that stall.

It runs :class:`~hls4ml_ext.layers.core.schedule.Process` descriptions of a graph, each as a machine that knows nothing of
any schedule: it takes beats when they are there, works, moves its pipeline, and waits while its output is full.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

ENDLESS = 1 << 40


class Fifo:
    """A FIFO whose flags are registered: within a cycle, both ends see how many beats it held before."""

    def __init__(self, depth: int):
        self.depth, self.count, self.change = depth, 0, 0

    @property
    def empty(self):
        return self.count == 0

    @property
    def full(self):
        return self.count >= self.depth

    def tick(self):
        assert self.count >= 0
        self.count += self.change
        self.change = 0


@dataclass
class Machine:
    """A process that runs.

    Each cycle it takes a beat of each input that its next result needs, all of them or none, or works on; a finished result
    enters a pipeline. Beats that the next result needs come while it works on this one, except the last of them.

    Args:
        process: What it is; its interval is rounded up.
        stalls: Whether its pipeline keeps its results while an input is missing.
        images: How many images it computes.
    """

    process: object
    stalls: bool
    images: int
    image: int = 0
    taken: list = field(default_factory=list)
    result: int = 0  # the next
    work: int = 0  # cycles left for it, once it has all inputs
    waited: dict = field(default_factory=dict)
    finished: list = field(default_factory=list)  # cycle of the last beat of each image

    def __post_init__(self):
        process = self.process
        self.depth = process.depths[-1]
        self.pipeline = deque([False] * self.depth)
        self.needed = [np.asarray(n) for n in process.needed]
        self.interval = int(np.ceil(process.interval - 1e-9))
        self.input_interval = int(np.ceil(process.input_interval - 1e-9))
        self.delay = int(np.ceil(process.delay - 1e-9))
        self._begin()

    def _begin(self):
        self.taken = [0] * len(self.needed)
        self.result, self.work, self.pause = 0, 0, 0
        self.ready = False  # it has all inputs of the next result, and works on it

    @property
    def done(self) -> bool:
        return self.image == self.images

    def step(self, fifos, cycle: int) -> bool:
        """One cycle; whether anything moved."""
        if self.done:
            return False
        outputs = [fifos[name] for name in self.process.outputs]
        leaving = self.pipeline[0] if self.depth else False
        if leaving and any(f.full for f in outputs):
            return False  # all of it waits
        moved, finished, stuck = self._work(fifos, outputs)
        if stuck and self.stalls:
            return False
        if self.depth:
            self.pipeline.popleft()
            self.pipeline.append(finished)
        else:
            leaving = finished
        if leaving:
            for f in outputs:
                f.change += 1
            self.last = cycle
        if self._drained():
            self.finished.append(cycle)
            self.image += 1
            self._begin()
            return True
        return moved or leaving or any(self.pipeline)

    def _drained(self) -> bool:
        return (
            self.result == self.process.n_beats
            and all(t == n for t, n in zip(self.taken, self.process.input_beats))
            and not any(self.pipeline)
        )

    def _work(self, fifos, outputs):
        """Takes inputs and works: whether anything happened, whether a result is finished, whether an input is missing."""
        process = self.process
        if self.depth == 0 and any(f.full for f in outputs) and (not self.ready or self.work <= 1):
            return False, False, True
        self.pause = max(self.pause - 1, 0)
        busy, moved, missing = self.ready, False, False
        wanted = self._wanted()
        if wanted and not self.pause:
            if all(not fifos[process.inputs[i]].empty for i in wanted):
                for i in wanted:
                    fifos[process.inputs[i]].change -= 1
                    self.taken[i] += 1
                self.pause, moved = self.input_interval, True
            else:
                missing = True
        elif self.pause:
            moved = True
        if not self.ready and self.result < process.n_beats and self._complete(self.result):
            self.ready, self.work = True, self.interval + (self.delay if self.result == 0 else 0)
        if not self.ready:
            return moved, False, missing and not busy
        self.work -= 1
        if self.work:
            return True, False, False
        self.ready, self.result = False, self.result + 1
        return True, True, False

    def _complete(self, result) -> bool:
        return all(t > n[result] for t, n in zip(self.taken, self.needed))

    def _wanted(self) -> list[int]:
        """The inputs of which a beat may be taken now."""
        process, wanted = self.process, []
        for i, needed in enumerate(self.needed):
            if self.taken[i] == process.input_beats[i]:
                continue
            if not self.ready:
                limit = needed[self.result] if self.result < process.n_beats else process.input_beats[i] - 1
            elif self.result + 1 < process.n_beats:
                limit = needed[self.result + 1] - 1
            else:
                limit = -1
            if self.taken[i] <= limit:
                wanted.append(i)
        return wanted


@dataclass
class Run:
    """What came out.

    Attributes:
        finished: For each image the cycle in which the last beat of the last output left; fewer than the images of a run
            that got stuck.
    """

    finished: list[int]

    @property
    def interval(self) -> int:
        """Cycles from the second last image to the last."""
        return self.finished[-1] - self.finished[-2]


def simulate(processes, depths: dict[str, int], outputs, images: int = 1, stalls: bool = True) -> Run:
    """Runs a graph until nothing moves any more.

    Args:
        depths: Stream -> depth of its FIFO. Outputs of the graph are read at once.
        outputs: The streams that leave the graph.
        images: Number of images; the inputs have all of them at once.
    """
    machines, fifos = [], {}
    for process in processes:
        process = _with_fronts(process, machines, fifos, stalls, images)
        machines.append(Machine(process, stalls, images))
        for name in process.outputs:
            fifos[name] = Fifo(ENDLESS if name in outputs else depths[name])
    cycle, idle = 0, 0
    while idle < 2 and not all(m.done for m in machines):
        cycle += 1
        moved = [m.step(fifos, cycle) for m in machines]
        for fifo in fifos.values():
            moved.append(fifo.change != 0)
            fifo.tick()
        idle = 0 if any(moved) else idle + 1
    ends = [m.finished for m in machines if set(m.process.outputs) & set(outputs)]
    n = min(len(e) for e in ends)
    return Run([max(e[i] for e in ends) for i in range(n)])


def _with_fronts(process, machines, fifos, stalls, images):
    """A process with several pipelines becomes several processes, with FIFOs of depth 2 between them."""
    inputs = list(process.inputs)
    for level, depth in enumerate(process.depths[:-1]):
        for i, name in enumerate(inputs):
            n = process.input_beats[i]
            front = replace(
                process, inputs=(name,), outputs=(f'{name}|{process.outputs[0]}|{level}',), n_beats=n,
                needed=(np.arange(n),), input_beats=(n,), interval=1, input_interval=1, delay=0, depths=(depth,),
            )  # fmt: skip
            machines.append(Machine(front, stalls, images))
            inputs[i] = front.outputs[0]
            fifos[inputs[i]] = Fifo(2)
    return replace(process, inputs=tuple(inputs), depths=process.depths[-1:])
