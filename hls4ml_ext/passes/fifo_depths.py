"""Gives each stream the depth it needs instead of a whole image."""

from __future__ import annotations

import numpy as np
from hls4ml.model.optimizer import ModelOptimizerPass

from hls4ml_ext.layers.core import ExactLayer
from hls4ml_ext.layers.core.node import beats_of

SLACK = 2
"""Tokens of a FIFO beyond the computed need: a full handshake on both of its sides."""


class FifoDepths(ModelOptimizerPass):
    """Computes the depths of all streams of an exact graph.

    Where a graph forks and joins again, the shorter branch must hold the tokens that the longer one needs before its first
    token comes out: the line buffers of its convolutions, a whole image for attention. With :math:`t(j)` the number of the
    model's input token that makes token `j` of a stream available, at the earliest, a join takes token `j` of both branches
    at :math:`\\max(t_a(j), t_b(j))`; the depth of a branch is the largest number of its tokens that wait by then.
    """

    name = 'fifo_depths'

    def __init__(self):
        pass

    def transform(self, model):
        if model.config.get_config_value('IOType') != 'io_stream':
            return False
        if not any(isinstance(n, ExactLayer) for n in model.get_layers()):
            return False
        for tensor, depth in fifo_depths(model).items():
            model.output_vars[tensor].pragma = ('stream', depth)
        return False


def fifo_depths(model) -> dict[str, int]:
    """Tensor name -> depth of its FIFO, in tokens."""
    times: dict[str, np.ndarray] = {}
    depths: dict[str, int] = {}
    for node in model.get_layers():
        if not node.inputs or node.inputs == ['input']:
            for out in node.outputs:
                times[out] = np.arange(beats_of(node, out))
                depths[out] = SLACK
            continue
        arrivals = []
        for i, tensor in enumerate(node.inputs):
            arrivals.append(times[tensor][node.last_input_of(i)])
        ready = np.max(arrivals, axis=0)
        # No two tokens of a stream come at once: what the last input completes (padding below the image) comes after it.
        ready = np.maximum.accumulate(ready - np.arange(len(ready))) + np.arange(len(ready))
        for i, tensor in enumerate(node.inputs):
            # Tokens of this input that have come when output j is complete, less those that were used for it. One that comes
            # just then counts: it may share a fork with the token that completes the output.
            if len(node.inputs) > 1:
                last = node.last_input_of(i)
                waiting = np.searchsorted(times[tensor], ready, side='right') - (last + 1)
                depths[tensor] = max(int(waiting.max()), 0) + SLACK
        for out in node.outputs:
            times[out] = ready
            depths.setdefault(out, SLACK)
    return depths
