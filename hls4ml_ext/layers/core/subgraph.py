"""A graph inside of a node: converted by hls4ml like any other, written by the node that owns it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from hls4ml.model.types import Serializable

from hls4ml_ext.errors import ConversionError
from hls4ml_ext.layers.core.node import lanes_of

if TYPE_CHECKING:
    from hls4ml.model.graph import ModelGraph


@cache
def _inner_graph_class():
    from hls4ml.model.graph import ModelGraph  # not yet there when hls4ml loads its plugins

    class InnerGraph(ModelGraph):
        """A graph whose output has a type name of its own: hls4ml calls the type of every single output ``result_t``."""

        def make_node(self, kind, name, attributes, inputs, outputs=None, initialize=True):
            graph_outputs, self.outputs = self.outputs, []
            try:
                return super().make_node(kind, name, attributes, inputs, outputs, initialize)
            finally:
                self.outputs = graph_outputs

        def register_output_variable(self, out_name, variable):
            self.output_vars[out_name] = variable

    return InnerGraph


class SubGraph(Serializable):
    """An hls4ml graph whose C++ belongs to a node of another graph.

    Its layers have gone through hls4ml's flows, templates included, so that each holds its config and its call as text; the
    owner puts the calls into a function of its own. It is always streaming inside.

    Args:
        graph: The graph, with one input and one output.
    """

    def __init__(self, graph: ModelGraph):
        self.graph = graph

    @classmethod
    def build(cls, builder, keras_model, name: str, input_types) -> SubGraph:
        """Converts a Keras model to the sub-graph of a node.

        Args:
            builder: The :class:`GraphBuilder` of the graph that owns the node.
            keras_model: A built Keras model of one input and one output.
            name: Name of the node; the layers inside are called ``'name.layer'``.
            input_types: The :class:`FixedType` of each input.

        Raises:
            ConversionError: as for any conversion, with the full name of the layer.
        """
        from hls4ml.model.graph import HLSConfig

        from hls4ml_ext.layers.core.builder import GraphBuilder

        owner = builder.model
        config = {k: v for k, v in owner.config.config.items() if k not in ('KerasModel', 'InputShapes', 'OutputShapes')}
        config['IOType'] = 'io_stream'
        graph = _inner_graph_class()(HLSConfig(config), [], [], initial_index=owner.index)
        graph.owner = name
        GraphBuilder(graph, builder.lowerings, name + '.', builder.names).build(keras_model, input_types)
        if len(graph.inputs) != 1 or len(graph.outputs) != 1:
            raise ConversionError(
                name, f'its model has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs', 'Use one of each'
            )
        for flow in graph.config.flows:
            graph.apply_flow(flow)
        owner.index = graph.index
        return cls(graph)

    @property
    def lanes_in(self) -> int:
        """Lanes of its input."""
        return lanes_of(self.graph.graph[self.graph.inputs[0]])

    @property
    def lanes_out(self) -> int:
        """Lanes of its output."""
        return lanes_of(self.graph.graph[self.graph.outputs[0]])

    @property
    def input(self):
        """The variable of its input."""
        return self.graph.get_input_variables()[0]

    @property
    def output(self):
        """The variable of its output."""
        return self.graph.get_output_variables()[0]

    def types(self) -> dict:
        """C++ type name -> type, of all layers inside."""
        return {name: t for node in self.graph.get_layers() for name, t in node.get_layer_precision().items()}

    def headers(self) -> list[str]:
        """The C++ headers that the layers inside need."""
        return sorted({h for node in self.graph.get_layers() for h in node.get_attr('include_header', [])})

    def configs(self) -> list[str]:
        """The config structs of the layers inside."""
        configs = [(node.name, node.get_attr('config_cpp')) for node in self.graph.get_layers()]
        return [f'// {name}\n{config}' for name, config in configs if config]

    def body(self) -> list[str]:
        """Lines of C++: the streams between the layers and the calls of the layers, whose outputs are recorded if traced."""
        lines = []
        for node in self.graph.get_layers():
            for variable in node.get_variables():
                if variable in (self.input, self.output):
                    continue
                lines.append(f'{variable.definition_cpp()};')
                lines.append(f'#pragma HLS STREAM variable={variable.name} depth={variable.pragma[1]}')
        for node in self.graph.get_layers():
            calls = node.get_attr('function_cpp', [])
            calls = [calls] if isinstance(calls, str) else calls
            if calls:
                lines.append(f'// {node.name}')
                lines += calls
            if node.get_attr('trace', False):
                (variable,) = node.get_variables()
                record = f'nnet::ext::record({variable.name}, "{node.name}", {node.n_beats});'
                lines += ['#ifndef __SYNTHESIS__', record, '#endif']
        return lines

    # ------------------------------------------------------------------ hls4ml's serialization

    def serialize_state(self):
        return {
            'layers': {name: node.serialize() for name, node in self.graph.graph.items()},
            'config': self.graph.config.serialize(),
            'graph': self.graph.serialize(),
            'owner': self.graph.owner,
        }

    @classmethod
    def deserialize(cls, state):
        from hls4ml.model.graph import HLSConfig
        from hls4ml.utils import serialization as hls4ml_serialization

        from hls4ml_ext.passes import RestoreStreams

        graph = _inner_graph_class().from_saved_state(HLSConfig.deserialize(state['config']), state['graph'])
        graph.owner = state['owner']
        for name, layer in state['layers'].items():
            kind = hls4ml_serialization._deserialize_class_name(layer['class_name'])
            attributes = hls4ml_serialization._deserialize_layer_attrs(layer['state']['attributes'])
            inputs, outputs = layer['state']['inputs'], layer['state']['outputs']
            graph.graph[name] = graph.make_node(kind, name, attributes, inputs, outputs, initialize=False)
        hls4ml_serialization._reapply_type_conversion_flow(graph)
        RestoreStreams().transform(graph)
        return cls(graph)
