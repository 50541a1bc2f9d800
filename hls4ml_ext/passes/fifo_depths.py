"""Gives each stream the depth it needs instead of a whole image."""

from __future__ import annotations

from hls4ml.model.optimizer import ModelOptimizerPass

from hls4ml_ext.layers.core import ExactLayer
from hls4ml_ext.layers.core.schedule import connected, fifo_depths, processes_of
from hls4ml_ext.passes.lanes import is_inner


class FifoDepths(ModelOptimizerPass):
    """Computes the depths of all streams of an exact graph; see :mod:`hls4ml_ext.layers.core.schedule`.

    Where a graph forks and joins again, the shorter branch holds the beats that the longer one needs before its first beat
    comes out: the line buffers of its convolutions, a whole image for attention, what is in its pipelines. In front of and
    behind a layer that takes or gives its beats at a time of its own, such as an ODE block, a stream holds what comes
    meanwhile, as far as the slowest layer of the model leaves no time to wait.
    """

    name = 'fifo_depths'

    def __init__(self):
        pass

    def transform(self, model):
        if model.config.get_config_value('IOType') != 'io_stream':
            return False
        if not any(isinstance(n, ExactLayer) for n in model.get_layers()):
            return False
        # A back end whose engines are not those of HLS knows when their beats move.
        depths = getattr(model.config.backend, 'fifo_depths', depths_of)(model)
        for tensor, depth in depths.items():
            model.output_vars[tensor].pragma = ('stream', depth)
        return False


def depths_of(model) -> dict[str, int]:
    """Tensor name -> depth of its FIFO, in beats."""
    processes = processes_of(model)
    if is_inner(model):  # it begins its next evaluation when it is done with the last
        return fifo_depths(processes, model.outputs)
    depths = {}
    for part in connected(processes):
        members = [processes[i] for i in part]
        depths |= fifo_depths(members, outputs_of(model, members), max(process.period for process in members))
    return depths


def outputs_of(model, processes) -> list[str]:
    """The outputs of a model that come from these processes."""
    given = {name for process in processes for name in process.outputs}
    return [name for name in model.outputs if name in given]
