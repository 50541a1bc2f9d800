"""The parts of the residual add."""

from pathlib import Path

from hls4ml_ext.layers.merge import cost, hls, lowering, rtl
from hls4ml_ext.registry import Operation

OPERATION = Operation(
    name='merge',
    lowerings={'keras.src.layers.merging.add.Add': lowering.lower_add},
    nodes=(hls.ExactAdd,),
    kernels=(hls.AddKernel,),
    headers=(Path(__file__).parent / 'nnet_add_ext.h',),
    rtl_kernels=(rtl.AddKernel,),
    rtl_sources=(Path(__file__).parent / 'ext_add.sv',),
    rtl_costs=cost.MODULES,
)
