"""The parts of the residual add."""

from pathlib import Path

from hls4ml_ext.layers.merge import hls, lowering
from hls4ml_ext.registry import Operation

OPERATION = Operation(
    name='merge',
    lowerings={'keras.src.layers.merging.add.Add': lowering.lower_add},
    nodes=(hls.ExactAdd,),
    kernels=(hls.AddKernel,),
    headers=(Path(__file__).parent / 'nnet_add_ext.h',),
)
