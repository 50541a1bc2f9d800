"""Graph node that copies a stream."""

from __future__ import annotations

from hls4ml_ext.layers.core.node import ExactLayer


class ExactCopy(ExactLayer):
    """The same beats on several streams: a stream has one reader.

    It has an output for each reader, of the type and the ``lanes`` of its input.
    """

    kind = 'copy'
    fuses_quantizer = False
    free_lanes = False
    inserted = True

    def initialize(self):
        source = self.get_input_variable()
        for i, name in enumerate(self.outputs, start=1):
            self.add_output_variable(
                self.get_attr('out_shape'),
                name,
                var_name='layer{index}_cpy' + str(i),
                type_name=source.type.name,
                precision=source.type.precision,
            )

    def lanes_in(self, i: int = 0):
        return self.lanes_out
