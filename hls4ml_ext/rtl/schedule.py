"""FIFO depths of an RTL graph: from when the beats of its engines move, not those of HLS."""

from __future__ import annotations

from math import ceil

from hls4ml_ext.layers.core.node import ExactLayer
from hls4ml_ext.layers.core.schedule import connected, processes_of
from hls4ml_ext.layers.core.schedule import fifo_depths as depths_for
from hls4ml_ext.layers.core.schedule import latency as latency_of
from hls4ml_ext.passes.fifo_depths import depths_of, outputs_of
from hls4ml_ext.passes.lanes import is_inner


def fifo_depths(model) -> dict[str, int]:
    """The depths with which no engine waits longer than the slowest one takes from one image to the next.

    An ODE block takes its input in its first evaluation and gives its output in the last, both faster than once in an
    interval: the FIFOs around it hold what comes and goes meanwhile. Pipelines run free, and keep nothing.

    Returns:
        Tensor name -> depth, in beats.
    """
    nodes = list(model.get_layers())
    kernels = kernels_of(nodes)
    if any(k is None and isinstance(node, ExactLayer) for node, k in zip(nodes, kernels)):
        return depths_of(model)  # a layer without RTL is refused elsewhere
    paths = Paths(nodes)
    if is_inner(model):
        depths = {**depths_of(model), **around_whole_images(nodes)}
        room = [before_idle_pixels(paths)]
    else:
        pairs = zip(nodes, kernels, processes_of(model))
        processes = [kernel.process(node) if kernel else process for node, kernel, process in pairs]
        depths = {}
        for part in connected(processes):
            members = [processes[i] for i in part]
            period = max((ceil(kernels[i].interval(nodes[i])) for i in part if kernels[i]), default=1)
            depths |= depths_for(members, outputs_of(model, members), period, stalls=False)
        room = [ahead_of_forks(paths), between_whole_images(paths)]
    for more in room:
        for tensor, beats in more.items():
            depths[tensor] += beats
    return depths


def kernels_of(nodes) -> list:
    """The RTL kernel of each node; None for inputs, and layers that have none."""
    from hls4ml_ext.registry import rtl_kernel_of

    return [rtl_kernel_of(node) if isinstance(node, ExactLayer) else None for node in nodes]


def latency(model) -> int:
    """Cycles from the first beat of an image that a graph takes to the last that it gives, with nothing in it before."""
    nodes = list(model.get_layers())
    kernels = kernels_of(nodes)
    parts = [k.steps(node) if k else [process] for node, k, process in zip(nodes, kernels, processes_of(model))]
    return latency_of([process for part in parts for process in part], model.outputs)


class Paths:
    """Where the streams of a graph lead.

    Attributes:
        nodes: Of the graph.
        consumers: Tensor -> the nodes that take it, and as which input.
        behind: Tensor -> the nodes that it reaches.
    """

    def __init__(self, nodes):
        self.nodes = nodes
        self.consumers: dict[str, list[tuple[ExactLayer, int]]] = {}
        self.behind: dict[str, set] = {}
        for node in nodes:
            for i, tensor in enumerate(node.inputs):
                self.consumers.setdefault(tensor, []).append((node, i))
        for node in reversed(nodes):
            after = set().union(*(self.behind.get(tensor, set()) for tensor in node.outputs))
            for tensor in node.inputs:
                self.behind.setdefault(tensor, set()).update({node}, after)

    def needed(self, tensor: str, join, known: dict | None = None) -> tuple[int, bool]:
        """Beats of the next images that must have come on a path to a node until all of this image is there; and whether an
        engine on it needs a whole image.

        Args:
            tensor: Where the path begins.
            join: The node.
            known: Results for tensors on the way.
        """
        from hls4ml_ext.registry import rtl_kernel_of

        known = {} if known is None else known
        if tensor not in known:
            found = [(0, False)]
            for node, i in self.consumers.get(tensor, []):
                outputs = [t for t in node.outputs if join in self.behind.get(t, set())]
                if node is join or not outputs:
                    continue
                wanted, waits = (max(values) for values in zip(*(self.needed(t, join, known) for t in outputs)))
                last, beats = node.last_input_of(i), node.input_beats(i)
                images, rest = divmod(wanted, node.n_beats)
                wanted = images * beats + max(rtl_kernel_of(node).ahead(node), int(last[rest - 1]) + 1 if rest else 0)
                found.append((wanted, waits or (node.n_pixels > 1 and last[0] >= beats - 1)))
            known[tensor] = tuple(max(values) for values in zip(*found))
        return known[tensor]


def ahead_of_forks(paths: Paths) -> dict[str, int]:
    """The streams behind a fork that must take more beats than the schedule gives them, for the other streams to go on.

    The last windows of an image may be completed by the first pixels of the next (see ``ext_window_parallel``). An engine
    that needs the whole image waits for them, and so does the end of the fork, where the other path has all of this image
    already: there must be room on it for what has to come for these pixels, or nobody ever moves again.

    Returns:
        Tensor name -> beats.
    """
    more: dict[str, int] = {}
    for fork in paths.nodes:
        for tensor in fork.outputs if len(fork.outputs) > 1 else ():
            for other in fork.outputs:
                common = paths.behind.get(tensor, set()) & paths.behind.get(other, set())
                join = next((node for node in paths.nodes if node in common), None)
                if other != tensor and join is not None:
                    beats, waits = paths.needed(other, join)
                    more[tensor] = max(more.get(tensor, 0), beats if waits else 0)
    return more


def between_whole_images(paths: Paths) -> dict[str, int]:
    """The streams in front of an engine that needs a whole image, behind windows and another such engine: room for an image.

    It waits for the last windows of an image, and these for the first pixels of the next. The engine in front gives them in
    time only if this image has left the windows before, while the engine behind is busy with the image before.

    Returns:
        Tensor name -> beats of an image.
    """
    whole = [node for node in paths.nodes if isinstance(node, ExactLayer) and needs_whole_image(node)]
    more = {}
    for node in whole:
        before = (tensor for other in whole for tensor in other.outputs if node in paths.behind.get(tensor, ()))
        if any(paths.needed(tensor, node)[0] for tensor in before):
            more |= {tensor: node.input_beats(i) for i, tensor in enumerate(node.inputs)}
    return more


def before_idle_pixels(paths: Paths) -> dict[str, int]:
    """The streams in front of windows inside an ODE block: room for what comes while they are idle between two evaluations.

    Where a window does not find the next evaluation when it has all of this one, it goes on with a pixel that is none. A
    layer in front that has no cycles to lose goes on meanwhile.

    Returns:
        Tensor name -> beats.
    """
    nodes = [node for node in paths.nodes if isinstance(node, ExactLayer)]
    kernels = dict(zip(nodes, kernels_of(nodes)))
    intervals = {node: kernels[node].interval(node) for node in nodes}
    period, more = max(intervals.values(), default=0), {}
    # One that is as slow as the slowest is behind, and always finds the next evaluation.
    idle = {node: n for node in nodes if intervals[node] < period and (n := kernels[node].idles(node))}
    for node in nodes:
        behind = [other for other in idle if any(other in paths.behind.get(tensor, ()) for tensor in node.outputs)]
        if intervals[node] + sum(idle[other] for other in behind) > period:
            more |= {other.inputs[0]: ceil(idle[other] * other.input_beats(0) / period) for other in behind}
    return more


def needs_whole_image(node) -> bool:
    """Whether a layer gives nothing before it has all of an image."""
    return node.n_pixels > 1 and all(node.last_input_of(i)[0] >= node.input_beats(i) - 1 for i in range(len(node.inputs)))


def around_whole_images(nodes) -> dict[str, int]:
    """The streams around engines that need a whole image before they give anything, as attention does: room for all of it.

    Such an engine takes the next evaluation when it is done with this one. With room on both sides it waits for nobody: the
    layers in front of it work on the next evaluation while it, and those behind it, work on this one.

    Returns:
        Tensor name -> beats of an image.
    """
    depths = {}
    for node in nodes:
        if isinstance(node, ExactLayer) and needs_whole_image(node):
            depths[node.outputs[0]] = node.n_beats
            depths |= {tensor: node.input_beats(i) for i, tensor in enumerate(node.inputs)}
    return depths
