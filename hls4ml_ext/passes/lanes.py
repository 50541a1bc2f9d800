"""Chooses the lanes of nodes that have no folding of their own, and puts a repack where two ends of an edge differ."""

from __future__ import annotations

from math import gcd, lcm, prod

from hls4ml.model.optimizer import ModelOptimizerPass

from hls4ml_ext.layers.core import ExactLayer
from hls4ml_ext.layers.core.folding import divisors
from hls4ml_ext.layers.core.node import lanes_of, node_channels

WIDE = 1024
"""Bits up to which the model's own inputs and outputs travel in whole pixels, as hls4ml's interface has them."""


class Lanes(ModelOptimizerPass):
    """Lanes follow the work: a node that only adds, rounds or pools takes as few as keep up with the slowest layer.

    Within that bound it takes those that are cheapest together with the repacks that they would need.
    """

    name = 'lanes'

    def __init__(self):
        pass

    def transform(self, model):
        nodes = list(model.get_layers())
        exact = [n for n in nodes if isinstance(n, ExactLayer)]
        if not exact or any(n.class_name == 'ExactRepack' or n.get_attr('lanes', 0) for n in nodes):
            return False
        choose_lanes(model)
        if model.config.get_config_value('IOType') == 'io_stream':
            insert_repacks(model)
        return False


def choose_lanes(model):
    """Sets ``lanes`` of every node whose lanes are free, and of the model's inputs."""
    nodes = list(model.get_layers())
    budget = max((cycles_of(n) for n in nodes if isinstance(n, ExactLayer) and not n.free_lanes), default=0)
    consumers = {}
    for node in nodes:
        for i, tensor in enumerate(node.inputs):
            consumers.setdefault(tensor, []).append((node, i))
    for node in nodes:
        if not isinstance(node, ExactLayer):
            if not is_inner(model):
                node.set_attr('lanes', _port_lanes(node, consumers.get(node.outputs[0], [])))
        elif node.free_lanes:
            fixed = [lanes_of(model.graph[t]) for t in node.inputs if t in model.graph and model.graph[t].get_attr('lanes')]
            fixed += [lanes_of(model.graph[t]) for t in node.inputs if _is_fixed(model.graph.get(t))]
            fixed += [n.lanes_in(i) for n, i in consumers.get(node.outputs[0], []) if _is_fixed(n)]
            node.set_attr('lanes', _best(node, fixed, budget))
    if is_inner(model):
        for node in nodes:
            if not isinstance(node, ExactLayer):
                node.set_attr('lanes', _inner_lanes(model, node, consumers.get(node.outputs[0], [])))


def cycles_of(node) -> float:
    """Cycles of a node from one image to the next, in the spelling of its back end."""
    interval = getattr(node.model.config.backend, 'interval_of', None)
    return interval(node) if interval else node.cycles


def is_inner(model) -> bool:
    """Is this the graph of a node of another graph?"""
    return getattr(model, 'owner', None) is not None


def _is_fixed(node) -> bool:
    return isinstance(node, ExactLayer) and not node.free_lanes


def _port_lanes(node, consumers) -> int:
    """Lanes of an input of the model: a whole pixel, unless it is wide."""
    channels = node_channels(node)
    if channels * node.get_output_variable(node.outputs[0]).type.precision.width <= WIDE:
        return channels
    return max((n.lanes_in(i) for n, i in consumers if _is_fixed(n)), default=1)


def _inner_lanes(model, node, consumers) -> int:
    """Lanes of the input of an inner graph: its owner keeps a state in words of the lanes in which the graph's output comes.

    An input of other channels (a state and the time) is taken from those words one by one: it has the lanes that are wanted.
    """
    output = model.graph[model.outputs[0]]
    if node_channels(node) == output.channels:
        return lanes_of(output)
    return max((n.lanes_in(i) for n, i in consumers), default=node_channels(node))


def _best(node, neighbours: list[int], budget: int) -> int:
    """The lanes that keep up, at the least cost: lanes of its own, and the registers of repacks to its neighbours."""
    costs = []
    for lanes in divisors(node.channels):
        node.set_attr('lanes', lanes)
        if costs or lanes == node.channels or (node.n_beats <= budget and cycles_of(node) <= budget):
            repacks = sum(max(lanes, other) for other in neighbours if other != lanes)
            costs.append((lanes * len(node.inputs) + repacks, lanes))
    return min(costs)[1]


# ---------------------------------------------------------------------------------------------------------------------
# Repacks
# ---------------------------------------------------------------------------------------------------------------------


def insert_repacks(model):
    """Puts a repack on every edge whose ends differ; consumers that want the same lanes share one."""
    edges = []
    for node in list(model.get_layers()):
        if isinstance(node, ExactLayer):
            for i, tensor in enumerate(node.inputs):
                edges.append((node, i, tensor, node.lanes_in(i)))
    made: dict[tuple[str, int], str] = {}
    for node, i, tensor, wanted in edges:
        node.inputs[i] = _repacked(model, tensor, wanted, made)
    outputs = list(model.outputs)
    for i, tensor in enumerate(outputs):
        node = model.graph[tensor]
        if not is_inner(model) and node.channels * node.result_type.width <= WIDE:
            outputs[i] = _repacked(model, tensor, node.channels, made)
            _rename_types(node, model.graph[outputs[i]])
    model.outputs = outputs


def _between(model, source, have: int, wanted: int) -> int:
    """The lanes on the way between two widths of which none divides the other: narrow, if that keeps up, else wide."""
    if max(have, wanted) % min(have, wanted) == 0:
        return have
    slowest = max(cycles_of(n) for n in model.get_layers() if isinstance(n, ExactLayer))
    narrow, numbers = gcd(have, wanted), prod(source.get_output_variable(source.outputs[0]).shape)
    return narrow if numbers // narrow <= slowest else lcm(have, wanted)


def _repacked(model, tensor: str, lanes: int, made) -> str:
    """The tensor in beats of `lanes`."""
    from hls4ml_ext.layers.repack.node import ExactRepack

    source = model.graph[tensor]
    have = lanes_of(source)
    if have == lanes:
        return tensor
    if (tensor, lanes) in made:
        return made[tensor, lanes]
    between = _between(model, source, have, lanes)
    origin = tensor if between in (have, lanes) else _repacked(model, tensor, between, made)
    name = f'{tensor.split(".to")[0] if ".to" in tensor else tensor}.to{lanes}'
    variable = source.get_output_variable(source.outputs[0])
    node = model.make_node(
        ExactRepack,
        name,
        {
            'result_type': _type_of(variable),
            'out_shape': [int(d) for d in variable.shape],
            'lanes': lanes,
            'lanes_from': lanes_of(model.graph[origin]),
            'identifier': f'{source.identifier.split("__to")[0]}__to{lanes}',  # no name of a user's has two underscores
        },
        [origin],
        [name],
    )
    insert_after(model, origin, node)
    made[tensor, lanes] = name
    return name


def _rename_types(before, after):
    """The type of a single output is called ``result_t``, and now belongs to the repack."""
    types = [n.get_output_variable().type for n in (before, after)]
    if before is not after and types[0].name == 'result_t':
        types[0].name, types[1].name = f'layer{before.index}_t', 'result_t'


def _type_of(variable):
    from hls4ml_ext.fixed import FixedType

    return FixedType.from_hls4ml(variable.type.precision)


def insert_after(model, name: str, node):
    """Puts a node behind the node called `name`, in the order in which hls4ml writes them."""
    items = list(model.graph.items())
    at = [key for key, _ in items].index(name) + 1
    model.graph.clear()
    model.graph.update([*items[:at], (node.name, node), *items[at:]])
