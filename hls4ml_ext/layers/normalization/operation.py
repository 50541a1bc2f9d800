"""The parts of normalization."""

from pathlib import Path

from hls4ml_ext.layers.normalization import hls
from hls4ml_ext.registry import Operation

OPERATION = Operation(
    name='normalization',
    lowerings={
        'hls4ml_ext.layers.normalization.keras.QLayerNormalization': hls.lower_layer_norm,
        'keras.src.layers.normalization.batch_normalization.BatchNormalization': hls.lower_batch_norm,
        'qkeras.qnormalization.QBatchNormalization': hls.lower_batch_norm,
    },
    nodes=(hls.ExactLayerNorm,),
    templates=(hls.LayerNormConfigTemplate, hls.LayerNormFunctionTemplate),
    headers=(Path(__file__).parent / 'nnet_layer_norm_ext.h',),
    unknown_to_hls4ml=('hls4ml_ext.layers.normalization.keras.QLayerNormalization',),
)
