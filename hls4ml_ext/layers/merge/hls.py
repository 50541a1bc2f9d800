"""The C++ of the residual add."""

from __future__ import annotations

from hls4ml_ext.layers.core.kernel import HLSKernel
from hls4ml_ext.layers.merge.node import ExactAdd


class AddKernel(HLSKernel):
    node = ExactAdd
    name = 'add'
    header = 'nnet_add_ext.h'
