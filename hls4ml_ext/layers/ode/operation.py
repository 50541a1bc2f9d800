"""The parts of the Neural-ODE block."""

from pathlib import Path

from hls4ml_ext.layers.ode import cost, hls, lowering, rtl
from hls4ml_ext.registry import Operation

OPERATION = Operation(
    name='ode',
    lowerings={'hls4ml_ext.layers.ode.keras.ODEBlock': lowering.lower_ode_block},
    nodes=(hls.ExactODEBlock,),
    kernels=(hls.ODEKernel,),
    headers=tuple(Path(__file__).parent / name for name in ('nnet_ode_ext.h', 'nnet_record_ext.h')),
    rtl_kernels=(rtl.ODEKernel,),
    rtl_sources=tuple(sorted(Path(__file__).parent.glob('*.sv'))),
    rtl_costs=cost.MODULES,
    unknown_to_hls4ml=('hls4ml_ext.layers.ode.keras.ODEBlock',),
)
