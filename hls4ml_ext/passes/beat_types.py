"""Gives each stream the type of its beats: hls4ml packs whole pixels."""

from __future__ import annotations

from hls4ml.model.optimizer import ModelOptimizerPass

from hls4ml_ext.errors import ConversionError
from hls4ml_ext.layers.core import ExactLayer
from hls4ml_ext.layers.core.folding import MAX_BEAT_BITS
from hls4ml_ext.layers.core.node import lanes_of


class BeatTypes(ModelOptimizerPass):
    """Sets the number of elements of each stream's type to the lanes of its node, and refuses beats that are too wide."""

    name = 'beat_types'

    def __init__(self):
        pass

    def transform(self, model):
        nodes = list(model.get_layers())
        if model.config.get_config_value('IOType') != 'io_stream' or not any(isinstance(n, ExactLayer) for n in nodes):
            return False
        for node in nodes:
            lanes = lanes_of(node)
            for out in node.outputs:
                variable = node.get_output_variable(out)
                bits = lanes * variable.type.precision.width
                if bits > MAX_BEAT_BITS:
                    raise ConversionError(
                        node.name,
                        f'a beat of its output has {bits} bits, and Vitis HLS takes at most {MAX_BEAT_BITS}',
                        'Raise its ReuseFactor, or lower PE',
                    )
                if hasattr(variable.type, 'n_elem'):
                    variable.type.n_elem = lanes
        model.has_beat_types = True
        return False


def has_beat_types(model) -> bool:
    """Have the streams of this very object, which may have been loaded from a file, got their types?"""
    return getattr(model, 'has_beat_types', False)
