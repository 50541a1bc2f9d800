"""Replaces the graph that hls4ml parsed by the exact graph of the Keras model."""

from __future__ import annotations

import os

from hls4ml.model.optimizer import ModelOptimizerPass

from hls4ml_ext.errors import ConversionError
from hls4ml_ext.layers.core import ExactLayer, GraphBuilder


class ExactGraph(ModelOptimizerPass):
    """Builds the exact graph where it is wanted: the model has a layer of ours, or its config says ``Exact: True``.

    Any other model is left alone: hls4ml converts it as if hls4ml-ext were not installed.
    """

    name = 'exact_graph'

    def __init__(self):
        pass

    def transform(self, model):
        keras_model = model.config.get_config_value('KerasModel')
        if keras_model is None or any(isinstance(n, ExactLayer) for n in model.get_layers()):
            return False
        settings = model.config.config['HLSConfig'].get('Model') or {}
        placeholders = [n for n in model.get_layers() if n.class_name == 'ExtPlaceholder']
        # Layers of Keras and QKeras alone don't ask for exact hardware, not even those that hls4ml lacks.
        ours = any(n.get_attr('module', '').split('.')[0] not in ('keras', 'qkeras') for n in placeholders)
        if not (settings.get('Exact', False) or ours):
            for node in placeholders:
                raise ConversionError(
                    node.name,
                    f'stock hls4ml has no {node.get_attr("layer_class")}',
                    'Convert the model with hls4ml_ext.convert',
                )
            return False
        from hls4ml_ext.ports import remember
        from hls4ml_ext.registry import lowerings
        from hls4ml_ext.settings import check_backend, check_config, check_layer_names

        check_backend(model.config.get_config_value('Backend', 'Vivado'))
        # What hls4ml's config_from_keras_model writes for the layers that its parser has made. It traces none.
        attributes = {a for node in model.get_layers() for a in node.expected_attributes if a.configurable}
        stock = {a.config_name for a in attributes} - {'Trace'}
        check_config(model.config.config, stock)

        model.index = 0
        builder = GraphBuilder(model, lowerings())
        builder.build(keras_model)
        layer_names = model.config.config['HLSConfig'].get('LayerName') or {}
        check_layer_names(layer_names, keys_read(model.get_layers()), builder.names.layers, stock)
        remember(model, keras_model)
        # The process may change its directory before it compiles the project.
        model.config.config['OutputDir'] = os.path.abspath(model.config.get_output_dir())
        model.config.pipeline_style = 'dataflow'
        return True


def keys_read(nodes, inside: bool = False) -> dict[str, set[str]]:
    """Name of each exact layer, also of those inside of others -> the keys of ``hls_config`` that it reads.

    Args:
        nodes: The nodes of a graph.
        inside: Whether the graph is inside of a layer: hls4ml traces none of its layers.
    """
    read = {}
    for node in nodes:
        if isinstance(node, ExactLayer) and not node.inserted:
            read[node.layer_name] = set(node.settings) | (set() if inside else {'Trace'})
            read |= keys_read(node.inner_layers(), inside=True)
    return read
