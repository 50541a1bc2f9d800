"""The parts of the convolution operation."""

from pathlib import Path

from hls4ml_ext.layers.convolution import hls
from hls4ml_ext.registry import Operation

HERE = Path(__file__).parent

OPERATION = Operation(
    name='convolution',
    lowerings={
        'qkeras.qconvolutional.QConv2D': hls.lower_conv2d,
        'qkeras.qconvolutional.QDepthwiseConv2D': hls.lower_depthwise_conv2d,
        'qkeras.qlayers.QDense': hls.lower_dense,
    },
    nodes=(hls.ExactConv2D, hls.ExactDepthwiseConv2D, hls.ExactDense),
    templates=(
        hls.Conv2DConfigTemplate,
        hls.Conv2DFunctionTemplate,
        hls.DepthwiseConv2DConfigTemplate,
        hls.DepthwiseConv2DFunctionTemplate,
        hls.DenseConfigTemplate,
        hls.DenseFunctionTemplate,
    ),
    headers=(
        HERE.parent / 'core' / 'nnet_ext.h',
        HERE / 'nnet_sliding_window.h',
        HERE / 'nnet_conv2d_ext.h',
        HERE / 'nnet_depthwise_conv2d_ext.h',
        HERE / 'nnet_dense_ext.h',
    ),
)
