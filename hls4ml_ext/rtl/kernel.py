"""How a node is spelled in SystemVerilog: as a chain of engines."""

from __future__ import annotations

from dataclasses import replace
from functools import wraps
from math import prod
from weakref import WeakKeyDictionary

from hls4ml_ext.fixed import FixedType
from hls4ml_ext.layers.core.memory import Memory, Products
from hls4ml_ext.layers.core.node import ExactLayer, lanes_of, work_interval
from hls4ml_ext.layers.core.schedule import Process, process_of
from hls4ml_ext.rtl.body import Body, Stream, Verbatim

STYLES = {'wires': 'auto', 'registers': 'auto', 'lutram': 'distributed', 'bram': 'block', 'uram': 'ultra'}
"""Where a memory lives -> ``ram_style`` and ``rom_style``."""

FIFO_LATENCY = 2
"""Cycles through ``ext_fifo``."""

ROUND_TRIP = 4
"""Cycles besides the latency of its pipeline until an ``ext_result`` has a place back."""


class RTLKernel:
    """How a node is spelled in SystemVerilog. Subclasses say:

    Attributes:
        node: The node class.
    """

    node: type[ExactLayer] = None

    def place(self, node, body: Body, inputs: list[Stream], outputs: list[Stream]):
        """Places the engines of a node in the body of a module.

        Args:
            inputs, outputs: Its streams, in beats of ``node.lanes_in(i)`` and ``node.lanes_out`` lanes.
        """
        raise NotImplementedError

    def latency(self, node) -> int:
        """Cycles from the first input beat to the last output beat of an image that nothing keeps waiting, both included,
        besides ``cycles``: the pipelines of the engines."""
        raise NotImplementedError

    def pipelines(self, node) -> tuple[int, ...]:
        """``latency`` in parts: those of the pipelines in front, through which every beat of the input goes, and that of the
        one that does the work."""
        return (self.latency(node),)

    def pace(self, node) -> tuple[float, float]:
        """Cycles from one output beat to the next, if no input is missing; and from the last input that an output beat needs
        to the end of its work."""
        needed, beats = zip(*((node.last_input_of(i), node.input_beats(i)) for i in range(len(node.inputs))))
        pace = work_interval(self.cycles(node) - node.delay, list(needed), list(beats))
        return pace, pace

    def process(self, node) -> Process:
        """When its beats move, for the schedule of the graph."""
        pace, work = self.pace(node)
        *fronts, pipeline = self.pipelines(node)
        # A process gives a beat when the next one can take it: the cycle of the work is not in its depth.
        return replace(process_of(node), interval=pace, depths=(*fronts, pipeline - 1 - pace + work))

    def steps(self, node) -> list[Process]:
        """``process`` in as many parts as it takes to say exactly when the beats of one image come out."""
        return [self.process(node)]

    def ahead(self, node) -> int:
        """Input beats of the next image that the last results of an image wait for, once the next image has begun."""
        return 0

    def idles(self, node) -> int:
        """Cycles in which it takes nothing where the next image is not there in time, although its interval has them not."""
        return 0

    def cycles(self, node) -> int:
        """Cycles of work for one image; the node's own formula, where the engine keeps to it."""
        return node.cycles

    def interval(self, node) -> float:
        """Cycles from one image to the next in steady state, if nothing else keeps the engine waiting."""
        return self.cycles(node)


def once_for_a_node(method):
    """A method of a kernel whose result for a node is kept, as long as the node is."""
    known = WeakKeyDictionary()

    @wraps(method)
    def wrapped(self, node):
        if node not in known:
            known[node] = method(self, node)
        return known[node]

    return wrapped


def stream_of(node, tensor: str) -> tuple[str, int]:
    """Name and width in bits of the stream of a tensor that `node` gives."""
    variable = node.get_output_variable(tensor)
    return variable.name, lanes_of(node) * int(variable.type.precision.width)


def style(memory: Memory) -> str:
    """The ``ram_style`` of a memory."""
    return STYLES[memory.impl]


def styles(node) -> dict[str, str]:
    """Name of each memory of a node -> its style."""
    return {m.name: style(m) for m in node.memories}


def implementation(products: list[Products]) -> str:
    """The ``IMPL`` of ``ext_multiply``."""
    return 'dsp' if any(p.uses_dsp for p in products) else 'lut'


def adder_tree_latency(terms: int) -> int:
    """Cycles of ``ext_adder_tree``: one for every two levels."""
    return ((terms - 1).bit_length() + 1) // 2


def rom_file(node, name: str) -> Verbatim:
    """The path of the file of a ROM of a node: a parameter of the top says where the files are."""
    return Verbatim(f'{{ROMS, "/{node.weights[name].name}.hex"}}')


def result_type(t: FixedType, frac: int) -> dict:
    """The parameters of ``ext_requantize`` that make a number of `frac` fractional bits one of type `t`."""
    return {
        'W_Y': t.width, 'Y_SIGNED': t.signed, 'SHIFT': frac - t.frac, 'ROUNDING': t.rounding, 'SATURATION': t.saturation,
    }  # fmt: skip


def depth(node, latency: int, every: float = 1, tensor: str | None = None) -> int:
    """Places of the ``ext_result`` at the end of an engine: the FIFO of its stream, and what is in its pipeline.

    Args:
        latency: Cycles of its pipeline.
        every: Cycles from one result to the next.
        tensor: The output.
    """
    in_flight = -(-(latency + ROUND_TRIP) // max(int(every), 1))
    return fifo_depth(node, tensor) + in_flight


def fifo_depth(node, tensor: str | None = None) -> int:
    """Depth of the FIFO of an output, in beats."""
    variable = node.get_output_variable(tensor or node.outputs[0])
    pragma = getattr(variable, 'pragma', None)
    return int(pragma[1]) if isinstance(pragma, tuple) else prod(variable.shape) // lanes_of(node)
