"""The parts of activations and quantizers, and of layers that do nothing at inference."""

from pathlib import Path

from hls4ml_ext.layers.activation import cost, hls, lowering, rtl
from hls4ml_ext.registry import Operation

KERAS = 'keras.src.layers'

OPERATION = Operation(
    name='activation',
    lowerings={
        'qkeras.qlayers.QActivation': lowering.lower_activation,
        f'{KERAS}.activations.activation.Activation': lowering.lower_activation,
        f'{KERAS}.activations.relu.ReLU': lowering.lower_relu,
        f'{KERAS}.core.identity.Identity': lowering.lower_identity,
        f'{KERAS}.regularization.dropout.Dropout': lowering.lower_identity,
        f'{KERAS}.regularization.spatial_dropout.SpatialDropout2D': lowering.lower_identity,
        f'{KERAS}.regularization.gaussian_dropout.GaussianDropout': lowering.lower_identity,
        f'{KERAS}.reshaping.flatten.Flatten': lowering.lower_identity,
    },
    nodes=(hls.ExactQuantize,),
    kernels=(hls.QuantizeKernel,),
    headers=(Path(__file__).parent / 'nnet_quantize_ext.h',),
    rtl_kernels=(rtl.QuantizeKernel,),
    rtl_sources=(Path(__file__).parent / 'ext_quantize.sv',),
    rtl_costs=cost.MODULES,
    unknown_to_hls4ml=(f'{KERAS}.core.identity.Identity',),
)
