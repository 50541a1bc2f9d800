"""Counts the cycles of an RTL model: latency, interval, and what each engine does meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hls4ml_ext.errors import ExtError
from hls4ml_ext.graph import check_hls_model
from hls4ml_ext.layers.core.node import ExactLayer
from hls4ml_ext.ports import Ports, batch_of
from hls4ml_ext.rtl.kernel import stream_of
from hls4ml_ext.rtl.model import RTLModelGraph
from hls4ml_ext.rtl.verilator import Library, Record, build

FEWEST = 4
"""Images that are run to find the interval between them."""


@dataclass(frozen=True)
class EngineCycles:
    """What an engine did in a run, as its streams show it: ``busy + starved + stalled`` are all cycles of the run.

    Attributes:
        name: Of the layer.
        kind: What it does, in a word.
        beats: That it has given, on each of its outputs.
        busy: Cycles in which it takes a beat, or works on those that it has.
        starved: Cycles in which it could take a beat, and there is none.
        stalled: Cycles in which it takes no beat while one that it gives is not taken.
    """

    name: str
    kind: str
    beats: int
    busy: int
    starved: int
    stalled: int


@dataclass(frozen=True)
class EngineTimeline:
    """What an engine did in each part of a run. Sums over the parts are its :class:`EngineCycles`.

    Attributes:
        name, kind: As there.
        blocks: The ODE blocks that it is inside of, the outermost first.
        beats, busy, starved, stalled: For each part.
    """

    name: str
    kind: str
    blocks: tuple[str, ...]
    beats: tuple[int, ...]
    busy: tuple[int, ...]
    starved: tuple[int, ...]
    stalled: tuple[int, ...]


@dataclass(frozen=True)
class Timeline:
    """What each engine did when.

    Attributes:
        bin_cycles: Clock cycles of each part; a power of two. The last part ends with the run, and may be shorter.
        begins, ends: For each image the cycle in which its first beat is taken, and its last one is given.
        engines: As in :class:`Cycles`.
    """

    bin_cycles: int
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    engines: tuple[EngineTimeline, ...]


@dataclass(frozen=True)
class Cycles:
    """The cycles of a model.

    Attributes:
        latency: Of one image: clock cycles from the first beat that is taken to the last beat that is given, both included.
        interval: Clock cycles from one image to the next in steady state, the mean of the second half of the run up to the
            last image but one.
        images: One behind the other in the run that was counted.
        cycles: Of this run.
        engines: What each engine did in it, in the order of the network; those inside of an ODE block behind the block.
        timeline: When they did it, if that was asked for.
    """

    latency: int
    interval: float
    images: int
    cycles: int
    engines: tuple[EngineCycles, ...]
    timeline: Timeline | None = None

    def images_per_second(self, clock_period: float) -> float:
        """Images per second at a clock period in ns."""
        return 1e9 / (self.interval * clock_period)


def measure_cycles(hls_model, images, bins: int | None = None) -> Cycles:
    """Counts clock cycles in Verilator's model of the RTL. The inputs always have a beat, the outputs are always taken.

    Args:
        hls_model: A compiled model from :func:`hls4ml_ext.convert` with ``backend='RTL'``. Unless that has been done, its
            RTL is built once more, with all of its streams watched.
        images: (batch, *shape) numbers, or one image; for a model of several inputs a list of such arrays, or a dictionary
            by their names. The cycles do not depend on the numbers: fewer than four images are run again.
        bins: Parts of the run, at most, for which it is also counted what each engine does: from 2 on. Half of them at least
            are used, as long as the run has so many cycles. None: no timeline.

    Returns:
        :class:`Cycles`, all of them clock cycles.

    Raises:
        ExtError: if it is no RTL model, on images that :func:`hls4ml_ext.simulate` refuses, or none at all; or `bins` is no
            number from 2 on.
        ProjectError: if the model hasn't been compiled, its project is not there any more, or a tool fails.

    Example::

        hls_model = hls4ml_ext.convert(model, output_dir='my-project', backend='RTL')
        hls4ml_ext.compile(hls_model)
        cycles = hls4ml_ext.measure_cycles(hls_model, images)
        print(cycles.latency, cycles.interval, max(cycles.engines, key=lambda engine: engine.busy).name)
    """
    check_hls_model(hls_model)
    if not isinstance(hls_model, RTLModelGraph):
        raise ExtError("cycles are counted in RTL. Convert the model with hls4ml_ext.convert(..., backend='RTL')")
    hls_model.check_runnable()
    arrays = batch_of(images, Ports.of_hls(hls_model).inputs)
    if len(arrays[0]) == 0:
        raise ExtError('there are no images to count the cycles of')
    if bins is not None and (not isinstance(bins, int) or bins < 2):
        raise ExtError(f'bins: a timeline has at least 2 parts, not {bins!r}')
    n = max(len(arrays[0]), FEWEST)
    arrays = [np.resize(array, (n, *array.shape[1:])) for array in arrays]
    engines, streams = engines_of(hls_model)
    library = Library(build(hls_model, [name for name, _ in streams]))
    unrecorded = [(0, width) for _, width in streams]
    one = hls_model.run_once([array[:1] for array in arrays], library, probe_shapes=unrecorded)
    edges = [edges for _, _, edges in engines]
    run = hls_model.run_once(arrays, library, probe_shapes=unrecorded, engines=edges, bins=(bins or 2) // 2 * 2)
    begins = np.min([times.reshape(n, -1)[:, 0] for times in run.input_times], axis=0)
    ends = np.max([times.reshape(n, -1)[:, -1] for times in run.output_times], axis=0)
    settled = ends[n // 2 - 1 : -1]  # nothing follows the last image: it may end sooner
    interval = int(settled[-1] - settled[0]) / (len(settled) - 1)
    last, first = max(t[-1] for t in one.output_times), min(t[0] for t in one.input_times)
    return Cycles(
        int(last - first) + 1,
        int(interval) if interval == int(interval) else interval,
        n,
        int(run.cycles),
        tuple(
            EngineCycles(node.layer_name, node.kind, *map(int, counts[1:]))
            for (node, _, _), counts in zip(engines, run.counts)
        ),
        _timeline(run, engines, begins, ends) if bins else None,
    )


def _timeline(run: Record, engines, begins, ends) -> Timeline:
    """The parts of a run, in plain numbers."""
    counts = run.binned.transpose(1, 2, 0).tolist()
    return Timeline(
        run.bin_cycles,
        tuple(begins.tolist()),
        tuple(ends.tolist()),
        tuple(
            EngineTimeline(node.layer_name, node.kind, blocks, *map(tuple, of_engine[1:]))
            for (node, blocks, _), of_engine in zip(engines, counts)
        ),
    )


def engines_of(hls_model) -> tuple[list[tuple], list[tuple[str, int]]]:
    """The engines of a model, also those inside of ODE blocks.

    Returns:
        For each engine its node, the names of the blocks that it is inside of, and the numbers of its input and output
        streams, counted over the inputs and outputs of the model and then the streams inside; and name and width of each of
        these.
    """
    engines, streams = [], []
    ports = [*hls_model.inputs, *hls_model.outputs]

    def visit(graph, known: dict[str, int], blocks: tuple[str, ...]):
        for node in graph.get_layers():
            if not isinstance(node, ExactLayer):
                continue
            for tensor in node.outputs:
                if tensor not in known:
                    known[tensor] = len(ports) + len(streams)
                    streams.append(stream_of(node, tensor))
            engines.append((node, blocks, ([known[t] for t in node.inputs], [known[t] for t in node.outputs])))
            inside = node.get_attr('dynamics')
            if inside is not None:
                (tensor,) = inside.graph.inputs
                streams.append((inside.input.name, inside.lanes_in * int(inside.input.type.precision.width)))
                visit(inside.graph, {tensor: len(ports) + len(streams) - 1}, (*blocks, node.layer_name))

    visit(hls_model, {tensor: i for i, tensor in enumerate(ports)}, ())
    return engines, streams
