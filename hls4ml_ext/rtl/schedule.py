"""FIFO depths of an RTL graph: from when the beats of its engines move, not those of HLS."""

from __future__ import annotations

from math import ceil

from hls4ml_ext.layers.core.node import ExactLayer
from hls4ml_ext.layers.core.schedule import fifo_depths as depths_for
from hls4ml_ext.layers.core.schedule import processes_of
from hls4ml_ext.passes.fifo_depths import depths_of
from hls4ml_ext.passes.lanes import is_inner


def fifo_depths(model) -> dict[str, int]:
    """The depths with which no engine waits longer than the slowest one takes from one image to the next.

    An ODE block takes its input in its first evaluation and gives its output in the last, both faster than once in an
    interval: the FIFOs around it hold what comes and goes meanwhile. Pipelines run free, and keep nothing.

    Returns:
        Tensor name -> depth, in beats.
    """
    from hls4ml_ext.registry import rtl_kernel_of

    nodes = model.get_layers()
    kernels = [rtl_kernel_of(node) if isinstance(node, ExactLayer) else None for node in nodes]
    if any(k is None and isinstance(node, ExactLayer) for node, k in zip(nodes, kernels)):
        return depths_of(model)  # a layer without RTL is refused elsewhere
    if is_inner(model):
        return {**depths_of(model), **around_whole_images(nodes)}
    known = dict(zip(nodes, kernels))
    processes = [known[node].process(node) if known[node] else process for node, process in zip(nodes, processes_of(model))]
    period = max(ceil(kernel.interval(node)) for node, kernel in known.items() if kernel)
    return depths_for(processes, model.outputs, period, stalls=False)


def around_whole_images(nodes) -> dict[str, int]:
    """The streams around engines that need a whole image before they give anything, as attention does: room for all of it.

    Such an engine takes the next evaluation when it is done with this one. With room on both sides it waits for nobody: the
    layers in front of it work on the next evaluation while it, and those behind it, work on this one.

    Returns:
        Tensor name -> beats of an image.
    """
    depths = {}
    for node in nodes:
        if isinstance(node, ExactLayer) and node.n_pixels > 1 and node.last_input_of()[0] >= node.input_beats() - 1:
            depths[node.outputs[0]] = node.n_beats
            depths |= {tensor: node.input_beats(i) for i, tensor in enumerate(node.inputs)}
    return depths
