"""The parts of activations and quantizers, and of layers that do nothing at inference."""

from pathlib import Path

from hls4ml_ext.layers.activation import hls
from hls4ml_ext.registry import Operation

KERAS = 'keras.src.layers'

OPERATION = Operation(
    name='activation',
    lowerings={
        'qkeras.qlayers.QActivation': hls.lower_activation,
        f'{KERAS}.activations.activation.Activation': hls.lower_activation,
        f'{KERAS}.activations.relu.ReLU': hls.lower_relu,
        f'{KERAS}.core.identity.Identity': hls.lower_identity,
        f'{KERAS}.regularization.dropout.Dropout': hls.lower_identity,
        f'{KERAS}.regularization.spatial_dropout.SpatialDropout2D': hls.lower_identity,
        f'{KERAS}.regularization.gaussian_dropout.GaussianDropout': hls.lower_identity,
        f'{KERAS}.reshaping.flatten.Flatten': hls.lower_identity,
    },
    nodes=(hls.ExactQuantize,),
    templates=(hls.QuantizeConfigTemplate, hls.QuantizeFunctionTemplate),
    headers=(Path(__file__).parent / 'nnet_quantize_ext.h',),
    unknown_to_hls4ml=(f'{KERAS}.core.identity.Identity',),
)
