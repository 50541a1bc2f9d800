"""When the tokens of a dataflow graph are ready, from the cycles of its kernels."""

from __future__ import annotations

import numpy as np

from hls4ml_ext.layers.core.node import ExactLayer, beats_of


def dataflow_latency(graph) -> int:
    """Cycles from the first token that enters a streaming graph to the last that leaves it, without pipeline depths.

    Each kernel makes a token every ``node.interval`` cycles, as soon as the tokens that it needs are there; kernels run at
    the same time, and FIFOs are deep enough. One token of the input arrives each cycle.

    Args:
        graph: An hls4ml graph of exact layers.
    """
    ready: dict[str, np.ndarray] = {}
    for node in graph.get_layers():
        if not isinstance(node, ExactLayer):  # an input
            times = np.arange(1, beats_of(node, node.outputs[0]) + 1)
        else:
            needed = np.max([ready[tensor][node.last_input_of(i)] for i, tensor in enumerate(node.inputs)], axis=0)
            interval = node.interval
            number = np.arange(node.n_beats)
            # times[j] = interval + max(needed[j], times[j - 1])
            times = np.maximum.accumulate(needed - interval * number) + interval * (number + 1)
        for out in node.outputs:
            ready[out] = times
    return int(max(ready[out][-1] for out in graph.outputs))
