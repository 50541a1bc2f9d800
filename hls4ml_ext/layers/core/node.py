"""The base class of the exact layers in hls4ml's graph."""

from __future__ import annotations

from math import prod

import numpy as np
from hls4ml.model.attributes import Attribute, AttributeDict
from hls4ml.model.layers import Input, Layer
from hls4ml.model.types import TensorVariable, UnspecifiedPrecisionType

from hls4ml_ext.fixed import FixedType


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
    shapes, types, folding, storage. Subclasses add:

    * ``kernel``: name of the C++ function template in ``nnet::ext``;
    * ``header``: its header;
    * ``fuses_quantizer``: whether the kernel can round its result to the type of the quantizer that follows;
    * ``cycles`` and ``multipliers``: the formulas of the header, as properties;
    * ``last_input_of``: which input tokens an output token needs.

    Attributes:
        output_of: Name of the Keras layer whose output this node's output equals, or '' if it is an intermediate result.
        out_shape: Shape of the output without the batch dimension.
        acc_width: Bits of the widest intermediate sum, sign included.
    """

    kernel = ''
    header = ''
    fuses_quantizer = True

    _expected_attributes = [
        Attribute('out_shape', value_type=(list, tuple)),
        Attribute('output_of', value_type=str, default=''),
        Attribute('acc_width', value_type=int, default=1),
    ]

    def initialize(self):
        result: FixedType = self.attributes.attributes.pop('result_type')
        self.add_output_variable(list(self.get_attr('out_shape')), precision=result.to_hls4ml())

    def set_result_type(self, result: FixedType):
        """Makes the kernel round its result to `result` (a fused quantizer)."""
        self.get_output_variable().type.precision = result.to_hls4ml()

    def add_exact_weights(self, name: str, prefix: str, stored_type: FixedType, values: np.ndarray):
        """Adds a weight array in the order in which the kernel reads it, `prefix` + the node's index being its C++ name."""
        self.add_weights_variable(
            name=name,
            var_name=prefix + '{index}',
            type_name=name + '{index}_t',
            precision=stored_type.to_hls4ml(),
            data=np.ascontiguousarray(values, np.float64),
        )

    # ------------------------------------------------------------------ facts

    @property
    def result_type(self) -> FixedType:
        return FixedType.from_hls4ml(self.get_output_variable().type.precision)

    def input_type(self, i: int = 0) -> FixedType:
        return FixedType.from_hls4ml(self.get_input_variable(self.inputs[i]).type.precision)

    @property
    def n_tokens(self) -> int:
        """Tokens (pixels) of the output stream for one image."""
        return tokens(self.get_attr('out_shape'))

    @property
    def cycles(self) -> int:
        """Clock cycles for one image without the depth of the pipeline: the formula in the kernel's header."""
        return self.n_tokens

    @property
    def interval(self) -> int:
        """Cycles from one output token to the next, where the input does not keep it waiting."""
        return -(-self.cycles // self.n_tokens)

    @property
    def multipliers(self) -> int:
        """Products that the kernel computes in each cycle."""
        return 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return 0

    def last_input_of(self, i: int = 0) -> np.ndarray:
        """For each output token, the number of the last token of input `i` that it needs (0-based), never decreasing."""
        return np.arange(self.n_tokens)

    @property
    def settings(self) -> dict:
        """The keys of ``hls_config`` that this node reads, with their values."""
        return {}

    def inner_layers(self) -> list[ExactLayer]:
        """The layers that this one is made of."""
        return []

    # ------------------------------------------------------------------ C++

    def callee(self, types: list[str]) -> str:
        """The C++ function to call, given the types of the input tokens, of the output token and of the config."""
        return f'nnet::ext::{self.kernel}<{", ".join(types)}>'

    def call_arguments(self) -> list[str]:
        """What the kernel takes after its streams, for instance the names of the weights."""
        return [w.name for w in self.get_weights()]

    def pragmas(self) -> list[str]:
        """Pragmas for the function that calls the kernel, such as where a weight ROM lives."""
        return []


class ExtPlaceholder(Layer):
    """Stands for a Keras layer until the exact graph is built; never reaches a backend."""

    _expected_attributes = [Attribute('out_shape', value_type=(list, tuple))]

    def initialize(self):
        self.add_output_variable(list(self.get_attr('out_shape')))


def tokens(shape) -> int:
    """Tokens of a tensor in a stream: all of its elements but the channels, which travel together."""
    return int(prod(shape[:-1]))
