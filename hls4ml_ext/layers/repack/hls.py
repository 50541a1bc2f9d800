"""The C++ of a repack."""

from __future__ import annotations

from hls4ml_ext.layers.core.kernel import HLSKernel
from hls4ml_ext.layers.repack.node import ExactRepack


class RepackKernel(HLSKernel):
    node = ExactRepack
    name = 'repack'
    header = 'nnet_repack_ext.h'

    def members(self, node):
        return {'n_cycles': node.cycles}
