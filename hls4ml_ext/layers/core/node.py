"""The base class of the exact layers in hls4ml's graph."""

from __future__ import annotations

from copy import copy
from math import prod

import numpy as np
from hls4ml.model.attributes import Attribute, AttributeDict
from hls4ml.model.layers import Input, Layer
from hls4ml.model.types import TensorVariable, UnspecifiedPrecisionType

from hls4ml_ext.fixed import FixedType
from hls4ml_ext.layers.core.folding import Folding
from hls4ml_ext.layers.core.memory import Memory, Products
from hls4ml_ext.layers.core.rom import RomVariable


class Named:
    """Mixin of nodes: the names of :mod:`hls4ml_ext.names`, which may be those of attributes.

    hls4ml keeps the outputs of a node among its attributes, under their names, which are names of layers. It keeps those
    apart that are called like an attribute that the class expects; here all of them are.
    """

    class Attributes(AttributeDict):
        def __setitem__(self, key, value):
            if isinstance(value, TensorVariable) and key in self.layer.outputs and key not in self._expected_attributes:
                self._expected_attributes.append(key)
            super().__setitem__(key, value)

    # Without names of their own: nodes that a pass makes.
    _expected_attributes = [
        Attribute('layer_name', value_type=str, default=''),
        Attribute('identifier', value_type=str, default=''),
    ]

    @property
    def attributes(self) -> AttributeDict:
        return self._attributes

    @attributes.setter
    def attributes(self, empty):  # by hls4ml's constructor
        self._attributes = self.Attributes(self)

    @property
    def layer_name(self) -> str:
        """What the user calls it; the same as ``name``, unless hls4ml can't write that into C++."""
        return self.get_attr('layer_name') or self.name

    @property
    def identifier(self) -> str:
        """Its name in C++, Tcl and Verilog, unique in the whole graph."""
        return self.get_attr('identifier') or f'layer{self.index}'


class ExactInput(Named, Input):
    """An input of an exact graph; its C++ variable has the name ``identifier``."""

    def initialize(self):
        result: FixedType | None = self.attributes.attributes.pop('result_type')
        self.add_output_variable(
            self.get_attr('input_shape'),
            var_name=self.identifier,
            type_name='input_t' if self.index == 1 else f'input{self.index}_t',
            precision=result.to_hls4ml() if result else UnspecifiedPrecisionType(),
        )


class ExactLayer(Named, Layer):
    """A layer whose C++ computes exactly what Keras computes: the hardware meaning of an operation.

    A node is created by :class:`~hls4ml_ext.layers.core.builder.GraphBuilder` when the types of its inputs are known. Its
    attributes are plain numbers and strings, so that hls4ml can serialize it, and hold everything that a backend needs:
    shapes, types, folding, storage. How it is spelled, in C++ or another language, it does not know.

    A tensor (height, width, channels) travels in raster order as beats of L lanes, channels innermost; L divides the
    channels. A subclass that says nothing else takes a beat and gives a beat each cycle, of as many lanes as its share of
    the network's interval needs (see :mod:`hls4ml_ext.passes.lanes`). Others override:

    * ``free_lanes``: False if the folding of the node decides on its lanes, with ``lanes_in`` and ``lanes_out``;
    * ``fuses_quantizer``: whether the kernel can round its result to the type of the quantizer that follows;
    * ``cycles``, ``products`` and ``memories``: what one image costs, and what it needs;
    * ``last_input_of``: which input beats an output beat needs.

    Attributes:
        output_of: Name of the Keras layer whose output this node's output equals, or '' if it is an intermediate result.
        computes: Name of the Keras layer that this node is the last part of, or '' if it is an intermediate one.
        rounded_by: Name of the Keras layer behind it whose quantizer the kernel applies, or ''.
        out_shape: Shape of the output without the batch dimension.
        acc_width: Bits of the widest intermediate sum, sign included.
        lanes: Lanes of a node that has no folding of its own; 0 is a whole pixel.
    """

    kind = ''
    """What it does, in a word, for tables."""

    fuses_quantizer = True
    free_lanes = True

    inserted = False
    """Whether a pass of ours put it into the graph: users did not ask for it, and set nothing of it."""

    _expected_attributes = [
        Attribute('out_shape', value_type=(list, tuple)),
        Attribute('output_of', value_type=str, default=''),
        Attribute('computes', value_type=str, default=''),
        Attribute('rounded_by', value_type=str, default=''),
        Attribute('acc_width', value_type=int, default=1),
        Attribute('lanes', value_type=int, default=0),
    ]

    def initialize(self):
        result: FixedType = self.attributes.attributes.pop('result_type')
        self.add_output_variable(list(self.get_attr('out_shape')), precision=result.to_hls4ml())

    def set_result_type(self, result: FixedType):
        """Makes the kernel round its result to `result` (a fused quantizer)."""
        self.get_output_variable().type.precision = result.to_hls4ml()

    def add_rom(self, name: str, prefix: str, stored_type: FixedType, words: np.ndarray):
        """Adds weights as a ROM, `prefix` + the node's index being its C++ name.

        Args:
            words: (number of words, lanes) weights, in the order in which the kernel reads them.
        """
        self.set_attr(name, RomVariable(f'{prefix}{self.index}', stored_type.to_hls4ml(), words))

    def rom(self, name: str, storage: str = 'auto', copies: int = 1) -> Memory:
        """The memory of a ROM that :meth:`add_rom` made.

        Args:
            copies: Words at different addresses that are read in a cycle: each from a copy of its own.
        """
        weights = self.weights[name]
        stored = weights.stored_type
        return Memory(name, weights.words, weights.lanes, stored.width, 'rom', stored.signed, storage, copies)

    def get_layer_precision(self):
        # The type of a ROM's words is a template of ours, which needs no typedef.
        return {name: t for name, t in super().get_layer_precision().items() if not name.startswith('nnet::')}

    # ------------------------------------------------------------------ types and shapes

    @property
    def result_type(self) -> FixedType:
        return FixedType.from_hls4ml(self.get_output_variable().type.precision)

    def input_type(self, i: int = 0) -> FixedType:
        return FixedType.from_hls4ml(self.get_input_variable(self.inputs[i]).type.precision)

    @property
    def channels(self) -> int:
        """Channels of the output."""
        return int(self.get_attr('out_shape')[-1])

    @property
    def n_pixels(self) -> int:
        """Pixels of the output: all of its positions."""
        return positions(self.get_attr('out_shape'))

    def input_shape(self, i: int = 0) -> list[int]:
        return [int(d) for d in self.get_input_variable(self.inputs[i]).shape]

    # ------------------------------------------------------------------ beats

    @property
    def lanes_out(self) -> int:
        """Channels in a beat of the output."""
        return self.get_attr('lanes') or self.channels

    def lanes_in(self, i: int = 0) -> int:
        """Channels in a beat of input `i`."""
        return self.lanes_out if self.free_lanes else self.input_shape(i)[-1]

    @property
    def n_beats(self) -> int:
        """Beats of the output stream for one image."""
        return self.n_pixels * self.channels // self.lanes_out

    def input_beats(self, i: int = 0) -> int:
        """Beats of input `i` for one image."""
        return prod(self.input_shape(i)) // self.lanes_in(i)

    def last_input_of(self, i: int = 0) -> np.ndarray:
        """For each output beat, the number of the last beat of input `i` that it needs (0-based), never decreasing."""
        return np.arange(self.n_beats)

    # ------------------------------------------------------------------ costs

    @property
    def cycles(self) -> int:
        """Clock cycles for one image without the depth of the pipeline: the formula in the kernel's header."""
        return self.n_beats

    @property
    def interval(self) -> float:
        """Cycles of work for an output beat, where the input does not keep it waiting: what ``cycles`` leaves for it."""
        inputs = range(len(self.inputs))
        return work_interval(self.cycles, [self.last_input_of(i) for i in inputs], [self.input_beats(i) for i in inputs])

    @property
    def input_interval(self) -> float:
        """Cycles from one input beat to the next, if nothing else keeps it waiting."""
        return 1

    @property
    def delay(self) -> float:
        """Cycles between the last input beat that an output beat needs and the work for it."""
        return 0

    @property
    def pipeline_depths(self) -> tuple[int, ...]:
        """Cycles from taking a beat to giving the result of it, estimated to be rather too many than too few.

        One number for each pipeline that the data go through: first those that handle each input beat, such as the window of
        a convolution, last the one that does the work.
        """
        return (pipeline_depth(bool(self.memories), self.get_attr('simd', 1) if self.products else 0),)

    @property
    def products(self) -> list[Products]:
        """The multipliers."""
        return []

    @property
    def multipliers(self) -> int:
        """Products in each cycle."""
        return sum(p.count for p in self.products)

    @property
    def memories(self) -> list[Memory]:
        """The ROMs and RAMs, in the order in which a kernel takes them."""
        return []

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return 0

    @property
    def settings(self) -> dict:
        """The keys of ``hls_config`` that this node reads, with their values."""
        return {}

    def possible_foldings(self) -> list[Folding]:
        """The foldings among which its settings choose; none where there is nothing to fold."""
        return []

    def folded_attributes(self, folding: Folding) -> dict:
        """The attributes that one of :meth:`possible_foldings` gives this node."""
        return {}

    def folded_roms(self, folding: Folding) -> dict[str, int]:
        """Name of each ROM whose words a folding changes -> numbers in a word."""
        return {}

    def refolded(self, folding: Folding, **attributes) -> ExactLayer:
        """This node with another folding, to see what that would cost; it is in no graph.

        Shapes, types, cycles, products and memories are those of the new folding. Weights keep their order, and the FIFO
        behind it holds as many bits.

        Args:
            folding: One of :meth:`possible_foldings`.
            attributes: Others to change, such as ``mult_impl``.
        """
        other = copy(self)
        other.attributes = None  # a dictionary of its own, and hls4ml's views of it
        for view in ('weights', 'variables', 'types', 'code'):
            setattr(other, view, type(getattr(self, view))(other.attributes))
        changed = {**self.folded_attributes(folding), **attributes}
        other._attributes.attributes.update({**self._attributes.attributes, **changed})
        for name, lanes in self.folded_roms(folding).items():
            rom = self.weights[name]
            words = rom.data.reshape(-1, lanes)
            other._attributes.attributes[name] = RomVariable(rom.name, rom.stored_type.to_hls4ml(), words)
        key = next(key for key, v in other._attributes.attributes.items() if isinstance(v, TensorVariable))
        variable = other._attributes.attributes[key] = copy(self._attributes.attributes[key])
        if isinstance(pragma := getattr(variable, 'pragma', None), tuple):
            variable.pragma = (pragma[0], max(-(-pragma[1] * self.lanes_out // other.lanes_out), 2))
        return other

    def inner_layers(self) -> list[ExactLayer]:
        """The layers that this one is made of."""
        return []


def all_layers(hls_model) -> list[ExactLayer]:
    """The exact layers of a converted model, and those inside of them."""
    found = [node for node in hls_model.get_layers() if isinstance(node, ExactLayer)]
    for node in found:
        found += node.inner_layers()
    return found


def pipeline_depth(memories: bool = False, terms: int = 0) -> int:
    """An estimate of the depth of a kernel's pipeline, in cycles.

    A FIFO is read and written in one cycle each; a memory gives a word two cycles after its address; a product takes three,
    each level of an adder tree and the accumulator one; rounding and saturation take two.

    Args:
        memories: Whether it reads a memory.
        terms: Products in a sum; 0 if there are none.
    """
    return 4 + 2 * memories + (4 + (terms - 1).bit_length() if terms else 0)


def work_interval(cycles: float, needed: list[np.ndarray], input_beats: list[int]) -> float:
    """The ``interval`` with which a process of one beat of each input a cycle takes `cycles` for an image; at least 1.

    Args:
        needed: For each input, for each output beat the number of the last input beat that it needs.
        input_beats: Beats of each input.
    """
    fixed = max(int(n[0]) for n in needed) + max(beats - 1 - int(n[-1]) for beats, n in zip(input_beats, needed))
    waits, counts = np.unique(np.max([np.diff(n) for n in needed], axis=0), return_counts=True)
    # fixed + interval + sum(counts * max(interval, waits)) = cycles, piecewise linear in the interval
    for i in range(len(waits) + 1):
        interval = (cycles - fixed - (counts * waits)[i:].sum()) / (1 + counts[:i].sum())
        if i == len(waits) or interval <= waits[i]:
            break
    return max(int(interval) if interval == int(interval) else float(interval), 1)


class ExtPlaceholder(Layer):
    """Stands for a Keras layer until the exact graph is built; never reaches a backend."""

    _expected_attributes = [Attribute('out_shape', value_type=(list, tuple))]

    def initialize(self):
        self.add_output_variable(list(self.get_attr('out_shape')))


def positions(shape) -> int:
    """Pixels of a tensor: all of its elements but the channels."""
    return int(prod(shape[:-1]))


def lanes_of(node) -> int:
    """Lanes of the beats that a node gives: one of ours, or an input of the model."""
    return node.lanes_out if isinstance(node, ExactLayer) else int(node.get_attr('lanes', 0) or node_channels(node))


def node_channels(node) -> int:
    return int(node.get_output_variable(node.outputs[0]).shape[-1])


def beats_of(node, tensor: str) -> int:
    """Beats of an output of a node for one image."""
    return int(prod(node.get_output_variable(tensor).shape)) // lanes_of(node)
