"""The parts of the pooling operation."""

from pathlib import Path

from hls4ml_ext.layers.pooling import cost, hls, lowering, rtl
from hls4ml_ext.registry import Operation

HERE = Path(__file__).parent
KERAS = 'keras.src.layers.pooling'

OPERATION = Operation(
    name='pooling',
    lowerings={
        f'{KERAS}.max_pooling2d.MaxPooling2D': lowering.lower_pooling('max'),
        f'{KERAS}.average_pooling2d.AveragePooling2D': lowering.lower_pooling('average'),
        f'{KERAS}.global_max_pooling2d.GlobalMaxPooling2D': lowering.lower_global_pooling('max'),
        f'{KERAS}.global_average_pooling2d.GlobalAveragePooling2D': lowering.lower_global_pooling('average'),
        'qkeras.qpooling.QAveragePooling2D': lowering.lower_pooling('average'),
        'qkeras.qpooling.QGlobalAveragePooling2D': lowering.lower_global_pooling('average'),
    },
    nodes=(hls.ExactPooling2D, hls.ExactGlobalPooling2D),
    kernels=(hls.Pool2DKernel, hls.GlobalPoolingKernel),
    headers=(HERE / 'nnet_pooling_ext.h',),
    rtl_kernels=(rtl.Pool2DKernel, rtl.GlobalPoolingKernel),
    rtl_sources=tuple(sorted(HERE.glob('*.sv'))),
    rtl_costs=cost.MODULES,
    unknown_to_hls4ml=('qkeras.qpooling.QAveragePooling2D', 'qkeras.qpooling.QGlobalAveragePooling2D'),
)
