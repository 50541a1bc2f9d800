"""Replaces the graph that hls4ml parsed by the exact graph of the Keras model."""

from __future__ import annotations

import os

from hls4ml.model.optimizer import ModelOptimizerPass

from hls4ml_ext.errors import ConversionError
from hls4ml_ext.layers.core import ExactLayer, GraphBuilder

BACKENDS = ('Vivado', 'Vitis')


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
        check_backend(model.config)
        from hls4ml_ext.ports import remember
        from hls4ml_ext.registry import lowerings

        model.index = 0
        GraphBuilder(model, lowerings()).build(keras_model)
        remember(model, keras_model)
        # The process may change its directory before it compiles the project.
        model.config.config['OutputDir'] = os.path.abspath(model.config.get_output_dir())
        model.config.pipeline_style = 'dataflow'
        return True


def check_backend(config):
    """Raises :class:`ConversionError` unless the project is for Vivado or Vitis."""
    backend = config.get_config_value('Backend', 'Vivado')
    if backend.lower() not in [b.lower() for b in BACKENDS]:
        raise ConversionError(
            config.get_project_name() or 'model', f'backend is {backend!r}', f'Use one of {", ".join(BACKENDS)}'
        )
