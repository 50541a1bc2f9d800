"""The parts of normalization."""

from pathlib import Path

from hls4ml_ext.layers.normalization import hls, lowering
from hls4ml_ext.registry import Operation

OPERATION = Operation(
    name='normalization',
    lowerings={
        'hls4ml_ext.layers.normalization.keras.QLayerNormalization': lowering.lower_layer_norm,
        'keras.src.layers.normalization.batch_normalization.BatchNormalization': lowering.lower_batch_norm,
        'qkeras.qnormalization.QBatchNormalization': lowering.lower_batch_norm,
    },
    nodes=(hls.ExactLayerNorm,),
    kernels=(hls.LayerNormKernel,),
    headers=(Path(__file__).parent / 'nnet_layer_norm_ext.h',),
    unknown_to_hls4ml=('hls4ml_ext.layers.normalization.keras.QLayerNormalization',),
)
