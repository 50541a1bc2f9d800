"""Lowering of the residual add."""

from __future__ import annotations

from hls4ml_ext.errors import ConversionError
from hls4ml_ext.layers.merge.node import ExactAdd


def lower_add(layer, inputs, graph) -> str:
    """keras.layers.Add of any number of tensors of one shape: a chain of adds."""
    name = graph.name(layer)
    shapes = [graph.shape(i) for i in inputs]
    if any(s != shapes[0] for s in shapes):
        raise ConversionError(
            name, f'its inputs have shapes {shapes}', 'Add tensors of one shape: broadcasting is not supported'
        )
    if len(set(inputs)) != len(inputs):
        raise ConversionError(name, 'it adds a tensor to itself', 'Multiply the weights before it by two')
    total = inputs[0]
    for i, other in enumerate(inputs[1:], start=1):
        sums = graph.type(total, name).range + graph.type(other, name).range
        graph.check_float(name, sums, layer.compute_dtype, 'a sum')
        part = name if i == len(inputs) - 1 else graph.name(layer, str(i))
        total = graph.add(ExactAdd, part, [total, other], sums, out_shape=shapes[0], acc_width=sums.signed_bits)
    return total
