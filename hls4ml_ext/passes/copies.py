"""Gives each reader of a stream a stream of its own."""

from __future__ import annotations

from itertools import count

from hls4ml.model.optimizer import ModelOptimizerPass

from hls4ml_ext.layers.core import ExactLayer
from hls4ml_ext.layers.core.node import lanes_of
from hls4ml_ext.passes.lanes import insert_after


class Copies(ModelOptimizerPass):
    """Puts a copy behind each tensor that has several readers, of which the model's output is one.

    So hls4ml's own pass for that finds nothing to do: its copies are at most seven, and their pipelines keep the last beats
    while they wait for the next ones.
    """

    name = 'copies'

    def __init__(self):
        pass

    def transform(self, model):
        if model.config.get_config_value('IOType') != 'io_stream':
            return False
        if not any(isinstance(n, ExactLayer) for n in model.get_layers()):
            return False
        copied = [_copy(model, node, tensor) for node in list(model.get_layers()) for tensor in list(node.outputs)]
        return any(copied)


def _copy(model, node, tensor: str) -> bool:
    """Inserts a copy behind the output `tensor` of a node, if it is needed."""
    from hls4ml_ext.layers.copy.node import ExactCopy

    readers = [(reader, i) for reader in model.get_layers() for i, name in enumerate(reader.inputs) if name == tensor]
    is_output = tensor in model.outputs
    n_copies = len(readers) + is_output
    if n_copies < 2:
        return False
    free = (name for name in (f'{tensor}_cpy{i}' for i in count(1)) if name not in model.output_vars)
    names = [next(free) for _ in range(n_copies)]
    variable = node.get_output_variable(tensor)
    attributes = {'out_shape': [int(d) for d in variable.shape], 'lanes': lanes_of(node)}
    attributes['identifier'] = f'{node.identifier}__copies'
    insert_after(model, node.name, model.make_node(ExactCopy, f'{tensor}.copies', attributes, [tensor], names))
    unused = iter(names)
    if is_output:
        model.outputs = [next(unused) if name == tensor else name for name in model.outputs]
    for reader, i in readers:
        reader.inputs[i] = next(unused)
    return True
