"""Lets hls4ml's Keras-3 parser read QKeras layers whose activation is a quantizer.

hls4ml reads QKeras layers by its Keras-2 parser, which stops at quantizers that are given as ``activation``: QActivation has
one always. The handler here calls the same functions of the Keras-2 parser, and converts the activation too. Every other
layer is left to hls4ml, and all of them are once hls4ml has handlers of its own.
"""

from __future__ import annotations

import numpy as np

from hls4ml_ext.layers.core.handler import SteppingBackHandler, register_handler

LAYERS = (
    'qkeras.qlayers.QDense',
    'qkeras.qlayers.QActivation',
    'qkeras.qconvolutional.QConv2D',
    'qkeras.qconvolutional.QDepthwiseConv2D',
)
"""The layers that the handler reads, besides those that hls4ml has a handler for."""


def _config_of(layer) -> dict:
    """The layer's config with quantizers as dicts of class name and config, which the Keras-2 parser expects."""
    from hls4ml_ext import quantizers

    config = layer.get_config()
    for key in list(config):
        if key.endswith('_quantizer'):
            config[key] = quantizers.serialize(getattr(layer, key + '_internal', None))
    is_activation = type(layer).__name__ == 'QActivation'
    config['activation'] = quantizers.serialize(layer.activation) if is_activation else 'linear'
    return {'class_name': type(layer).__name__, 'config': config}


class _Reader:
    """Reads the weights of one layer as the Keras-2 parser asks for them."""

    def __init__(self, layer):
        self.layer = layer

    def get_weights_data(self, layer_name, var_name):
        found = [np.array(w) for w in self.layer.weights if var_name in w.name]
        return found[0] if found else None


def _activation(layer, name, in_tensor: str, out_tensor: str, shape):
    """The Keras-2 dict of a quantizer that a layer applies as its ``activation``."""
    from hls4ml.converters.keras.qkeras import get_activation_quantizer

    from hls4ml_ext import quantizers

    config = {'name': name, 'activation': quantizers.serialize(layer.activation)}
    result = get_activation_quantizer({'class_name': 'QActivation', 'config': config}, [in_tensor])
    result.update(input_keras_tensor_names=[in_tensor], output_keras_tensor_names=[out_tensor], n_in=int(np.prod(shape)))
    return result


class QuantizerHandler(SteppingBackHandler):
    """Reads the layers of :data:`LAYERS` whose activation is a quantizer."""

    def serves(self, layer):
        return hasattr(layer.activation, 'get_config')

    def handle(self, layer, in_tensors, out_tensors):
        from hls4ml.converters.keras_v2_to_hls import layer_handlers

        from_name, to_name = in_tensors[0].name, out_tensors[0].name
        shapes = [list(t.shape) for t in in_tensors]
        parse = layer_handlers[type(layer).__name__]
        config, _ = parse(_config_of(layer), [from_name], shapes, _Reader(layer))
        if type(layer).__name__ == 'QActivation':
            config.update(input_keras_tensor_names=[from_name], output_keras_tensor_names=[to_name])
            return (config,)
        between = f'{to_name}_activation'
        config.update(input_keras_tensor_names=[from_name], output_keras_tensor_names=[between])
        return config, _activation(layer, f'{layer.name}_activation', between, to_name, out_tensors[0].shape[1:])


def register_handlers():
    """Registers the handler, for the layers that hls4ml has none for."""
    register_handler(LAYERS, QuantizerHandler())
