"""The parts of a copy of a stream."""

from hls4ml_ext.layers.copy import hls, rtl
from hls4ml_ext.registry import Operation

OPERATION = Operation(name='copy', nodes=(hls.ExactCopy,), kernels=(hls.CopyKernel,), rtl_kernels=(rtl.CopyKernel,))
