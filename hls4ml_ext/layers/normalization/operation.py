"""The parts of normalization."""

from pathlib import Path

from hls4ml_ext.layers.normalization import cost, hls, lowering, rtl
from hls4ml_ext.registry import Operation

HERE = Path(__file__).parent

OPERATION = Operation(
    name='normalization',
    lowerings={
        'hls4ml_ext.layers.normalization.keras.QLayerNormalization': lowering.lower_layer_norm,
        'keras.src.layers.normalization.batch_normalization.BatchNormalization': lowering.lower_batch_norm,
        'qkeras.qnormalization.QBatchNormalization': lowering.lower_batch_norm,
    },
    nodes=(hls.ExactLayerNorm,),
    kernels=(hls.LayerNormKernel,),
    headers=(HERE / 'nnet_layer_norm_ext.h',),
    rtl_kernels=(rtl.LayerNormKernel,),
    rtl_sources=tuple(sorted(HERE.glob('*.sv'))),
    rtl_costs=cost.MODULES,
    unknown_to_hls4ml=('hls4ml_ext.layers.normalization.keras.QLayerNormalization',),
)
