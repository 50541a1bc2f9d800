"""The parts of the convolution operation."""

from pathlib import Path

from hls4ml_ext.layers.convolution import cost, hls, lowering, rtl
from hls4ml_ext.registry import Operation

HERE = Path(__file__).parent

OPERATION = Operation(
    name='convolution',
    lowerings={
        'qkeras.qconvolutional.QConv2D': lowering.lower_conv2d,
        'qkeras.qconvolutional.QDepthwiseConv2D': lowering.lower_depthwise_conv2d,
        'qkeras.qlayers.QDense': lowering.lower_dense,
    },
    nodes=(hls.ExactConv2D, hls.ExactDepthwiseConv2D, hls.ExactDense),
    kernels=(hls.Conv2DKernel, hls.DepthwiseConv2DKernel, hls.DenseKernel),
    headers=(
        HERE.parent / 'core' / 'nnet_ext.h',
        HERE.parent / 'core' / 'nnet_bridge_ext.h',
        HERE / 'nnet_window_ext.h',
        HERE / 'nnet_matvec_ext.h',
        HERE / 'nnet_depthwise_ext.h',
    ),
    rtl_kernels=(rtl.Conv2DKernel, rtl.DepthwiseConv2DKernel, rtl.DenseKernel),
    rtl_sources=tuple(sorted(HERE.glob('*.sv'))),
    rtl_costs=cost.MODULES,
)
