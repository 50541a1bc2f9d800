"""The parts of multi-head self-attention."""

from pathlib import Path

from hls4ml_ext.layers.attention import cost, hls, lowering, rtl
from hls4ml_ext.registry import Operation

HERE = Path(__file__).parent
LAYER = 'hls4ml_ext.layers.attention.keras.MultiHeadSelfAttention2D'

OPERATION = Operation(
    name='attention',
    lowerings={LAYER: lowering.lower_attention},
    nodes=(hls.ExactReluAttention, hls.ExactSoftmaxAttention),
    kernels=(hls.ReluAttentionKernel, hls.SoftmaxAttentionKernel),
    headers=(HERE / 'nnet_softmax_ext.h', HERE / 'nnet_attention_ext.h'),
    rtl_kernels=(rtl.ReluAttentionKernel, rtl.SoftmaxAttentionKernel),
    rtl_sources=tuple(sorted(HERE.glob('*.sv'))),
    rtl_costs=cost.MODULES,
    unknown_to_hls4ml=(LAYER,),
)
