"""The parts of a repack."""

from pathlib import Path

from hls4ml_ext.layers.repack import cost, hls, rtl
from hls4ml_ext.registry import Operation

OPERATION = Operation(
    name='repack',
    nodes=(hls.ExactRepack,),
    kernels=(hls.RepackKernel,),
    headers=(Path(__file__).parent / 'nnet_repack_ext.h',),
    rtl_kernels=(rtl.RepackKernel,),
    rtl_sources=(Path(__file__).parent / 'ext_repack.sv',),
    rtl_costs=cost.MODULES,
)
