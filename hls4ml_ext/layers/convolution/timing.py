"""When the engines of a convolution work: cycle for cycle what their SystemVerilog does.

A window and the engine behind it are decoupled by a FIFO of a few beats, and a serial window reads rows ahead: how many
cycles an image takes follows from when each beat can move. The input always has a beat, the output always has room.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hls4ml_ext.layers.convolution.window import WINDOW, Window

WINDOW_LATENCY = 3
"""Cycles of the pipeline of ``ext_window_serial``."""

FIFO_WORDS = 2
"""Words of the memory of the FIFO behind a window that gives all taps at once, or drops pixels."""


@dataclass(frozen=True)
class Engine:
    """A window and the engine behind it.

    Args:
        geometry: The values of :data:`~hls4ml_ext.layers.convolution.window.WINDOW`.
        lanes: Channels in a beat of the input.
        kind: Of the window.
        beats: That the engine takes for an output pixel.
        repeats: How often it goes through them once more, for other outputs.
        places: Taps in the pipeline of a serial window and the FIFO behind it.
        overlap: Whether a window of all taps takes the next image while its last ones are completed.
    """

    geometry: tuple[int, ...]
    lanes: int
    kind: str
    beats: int
    repeats: int
    places: int
    overlap: bool = False

    @property
    def window(self) -> Window:
        return Window(dict(zip(WINDOW, self.geometry)), self.lanes, self.kind)


@lru_cache(maxsize=1024)
def last_steps(engine: Engine, images: int = 1) -> tuple[int, ...]:
    """The cycle of the last step of the engine for each image, counted from the cycle that takes the first beat."""
    if engine.kind == 'none':
        work = engine.window.out_height * engine.window.out_width * engine.beats * (1 + engine.repeats)
        return tuple(work * (n + 1) - 1 for n in range(images))
    return _behind_ring(engine, images) if engine.kind == 'serial' else _behind_lines(engine, images)


def interval(engine: Engine) -> float:
    """Cycles from one image to the next, when many have gone before."""
    pixels = engine.window.out_height * engine.window.out_width
    images = 2 + 64 // (pixels * engine.beats)  # more than the FIFOs and a ring of rows hold
    ends = last_steps(engine, 2 * images)
    cycles = (ends[-1] - ends[images - 1]) / images
    return int(cycles) if cycles == int(cycles) else cycles


class _Steps:
    """The engine: takes a beat of taps from the FIFO in each step."""

    def __init__(self, engine: Engine):
        self.beats, self.rest = engine.beats, engine.repeats * engine.beats
        self.free, self.beat, self.given = 0, 0, 0

    def take(self, loaded: int) -> int:
        """The cycle in which it takes a beat that was loaded into the output of the FIFO in the cycle `loaded`."""
        self.given = max(loaded + 1, self.free)
        self.free = self.given + 1
        self.beat += 1
        if self.beat == self.beats:
            self.beat = 0
            self.free += self.rest
        return self.given


def _behind_lines(engine: Engine, images: int) -> tuple[int, ...]:
    """Behind ``ext_window_parallel`` or ``ext_window_subsample``, which give a beat in some of their steps."""
    window, groups = engine.window, engine.window.groups
    last = window.last_pixel if engine.kind == 'parallel' else _kept(window)
    steps = (last[:, None] * groups + np.arange(groups)).ravel()
    gaps = np.diff(steps).tolist()
    idles = engine.kind == 'parallel' and not engine.overlap
    positions = window.n_positions if idles else window.in_height * window.in_width
    between = positions * groups - int(steps[-1]) + int(steps[0])
    loads = [-1] * FIFO_WORDS
    push, loaded, step, ends = int(steps[0]), -1, _Steps(engine), []
    for image in range(images):
        for gap in [between if image else 0, *gaps]:
            push = max(push + gap, loads[0] + 1)
            loaded = max(push + 1, loaded + 1, step.given)
            loads = [*loads[1:], loaded]
            step.take(loaded)
        ends.append(step.free - 1)
    return tuple(ends)


def _kept(window: Window) -> np.ndarray:
    rows = np.arange(window.out_height)[:, None] * window.stride_height * window.in_width
    return (rows + np.arange(window.out_width)[None, :] * window.stride_width).ravel()


class _Ring:
    """The writer of ``ext_window_serial``: words go into a ring of rows, one a cycle, when there is room.

    Words are asked for in their order.
    """

    def __init__(self, words: int):
        self.runs = [(0, 0)]  # number of a word, and the cycle in which it is written; those behind it follow it
        self.limit = words  # that may be written

    def allow(self, words: int, cycle: int):
        if words > self.limit:
            first, begin = self.runs[-1]
            self.runs.append((self.limit, max(begin + self.limit - first, cycle)))
            self.limit = words

    def written(self, words: int) -> int:
        """The cycle in which that many words are there to be read."""
        while len(self.runs) > 1 and self.runs[1][0] < words:
            del self.runs[0]
        first, begin = self.runs[0]
        return begin + words - first


def _behind_ring(engine: Engine, images: int) -> tuple[int, ...]:
    """Behind ``ext_window_serial``: a tap a cycle, as soon as the window is in the ring."""
    window = engine.window
    row, image = window.in_width * window.groups, window.in_height * window.in_width * window.groups
    size = window.ring_rows * row
    ring, step, ends = _Ring(size), _Steps(engine), []
    needed = window.needed.reshape(window.out_height, window.out_width).tolist()
    gives = [-1] * engine.places
    at, loaded, begin = -1, -1, 0
    for number in range(images):
        for r, in_row in enumerate(needed):
            for words in in_row:
                at = max(at, begin - 1, ring.written(number * image + words) - 1)
                if not engine.repeats:  # it takes a tap a cycle, and the FIFO always has room
                    at += engine.beats
                    continue
                for _ in range(engine.beats):
                    at = max(at + 1, gives[0] + 1)
                    loaded = max(at + WINDOW_LATENCY + 1, loaded + 1, step.given)
                    gives.append(step.take(loaded))
                    del gives[0]
            top = max((r + 1) * window.stride_height - window.pad_top, 0)
            if r + 1 < window.out_height:
                ring.allow(number * image + top * row + size, at + 2)
        # Words that no window needs may still have to come; meanwhile the window moves down once more.
        end = (number + 1) * image
        if ring.limit < end or ring.written(end) > at:
            ring.allow(number * image + top * row + size, at + 2)
        begin = max(at, ring.written(end)) + 1
        ring.allow(end + size, begin)
        ends.append(step.free - 1 if engine.repeats else at + WINDOW_LATENCY + 2)
    return tuple(ends)
