"""Lowerings of activations and quantizers."""

from __future__ import annotations

from hls4ml_ext import quantizers
from hls4ml_ext.errors import ConversionError


def apply_activation(activation, tensor: str, graph, name: str, fuse: bool = True) -> str:
    """Applies an activation or quantizer to a tensor.

    Args:
        activation: None, a QKeras quantizer or a Keras activation function.
        tensor: Name of the tensor.
        graph: The :class:`GraphBuilder`.
        name: Name of the node, if it needs one of its own.
        fuse: Whether the unrounded tensor has no other consumer.

    Raises:
        ConversionError: on an activation that isn't a rounding to a fixed-point type.
    """
    import keras

    if activation is None or activation is keras.activations.linear:
        return tensor
    if activation is keras.activations.relu:
        from hls4ml_ext.fixed import FixedType

        source = graph.type(tensor, name)
        width = max(source.width - source.signed, 1)
        positive = FixedType(width, width - source.frac, False, 'TRN', 'SAT')
        return graph.round(tensor, positive, name, fuse=fuse)
    if isinstance(activation, str):
        activation = quantizers.resolve(activation)
    if not hasattr(activation, 'get_config'):
        remedy = 'Use quantized_relu(bits, integer) or quantized_bits(bits, integer, alpha=1)'
        if activation is keras.activations.softmax:
            remedy = 'End the model with its logits (from_logits=True in the loss): the largest one is the same'
        raise ConversionError(name, f'activation {getattr(activation, "__name__", activation)} is not exact', remedy)
    return graph.quantize(tensor, activation, name, fuse)


def lower_activation(layer, inputs, graph) -> str:
    """Activation, QActivation."""
    return apply_activation(layer.activation, inputs[0], graph, graph.name(layer), graph.only_consumer(layer))


def lower_relu(layer, inputs, graph) -> str:
    """keras.layers.ReLU without threshold, slope and maximum."""
    import keras

    for option, neutral in (('max_value', None), ('negative_slope', 0), ('threshold', 0)):
        value = getattr(layer, option)
        if value != neutral and not (value is None or value == neutral):
            raise ConversionError(graph.name(layer), f'{option} is {value}', 'Use quantized_relu(bits, integer)')
    return apply_activation(keras.activations.relu, inputs[0], graph, graph.name(layer), graph.only_consumer(layer))


def lower_identity(layer, inputs, graph) -> str:
    """Layers that do nothing at inference: dropout, random augmentation; and flattening, which a stream does not feel."""
    return inputs[0]
