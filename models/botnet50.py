"""BoTNet-50, in floating point: the attention network with which small ones are compared.

Srinivas et al., "Bottleneck Transformers for Visual Recognition" (arXiv 2101.11605): ResNet-50, in whose last stage c5
self-attention takes the place of the three 3x3 convolutions; 4 heads of 128, softmax, relative positions that the heads
share, no projection behind (the 1x1 convolution of the bottleneck is there).

*Stride.* c5 halves the map. Its first attention sees the larger map (14x14 for images of 224x224), and 2x2 average pooling
behind it halves, as the paper has it (section 3); the variant BoTNet-S1, whose c5 has no stride, is not built here.

*Parameters.* Each attention layer replaces 9 * 512 * 512 weights by 3 * 512 * 512 and the relative positions, which depend
on the size of the images: 54, 26 and 26 vectors of 128 for 224x224. That leaves 23,528,522 - 3 * 6 * 512 * 512 + 106 * 128 =
18,823,498 for 10 classes, the 18.8 M of the literature, and 20,852,008 for 1000 classes, where the paper gives 20.8 M.

*Logits* are scaled by 1/16, the power of two nearest to ``128 ** -0.5``, as by all of our attention layers; it changes no
count.
"""

from __future__ import annotations

from hls4ml_ext.models.blocks import refuse_quantization
from hls4ml_ext.models.resnet50 import Knobs, network, normalization

HEADS = 4

QUANTIZERS = ('kernel', 'bias', 'position', 'qkv', 'logit', 'attention', 'context', 'output')


def build(input_shape, n_classes: int, quantization: None = None, **knobs):
    """Builds the network in floating point. Its output are logits.

    Args:
        input_shape: (height, width, channels) of the images.
        n_classes: Number of classes.
        quantization: None.
        knobs: None.

    Returns:
        keras.Model

    Raises:
        ExtError: (a ValueError) on a quantization: the network is for comparison only.
        pydantic.ValidationError: on any knob.
    """
    refuse_quantization('botnet50', quantization)
    Knobs(**knobs)
    return network('botnet50', input_shape, n_classes, attention)


def attention(name: str, width: int, strides: int) -> list:
    """Self-attention in place of a 3x3 convolution: `width` channels in and out."""
    import keras

    from hls4ml_ext import MultiHeadSelfAttention2D

    layers = [
        MultiHeadSelfAttention2D(
            HEADS, width // HEADS, 'relative', 'softmax', use_output_projection=False, name=name,
            **{f'{what}_quantizer': None for what in QUANTIZERS},
        )
    ]  # fmt: skip
    if strides > 1:
        layers.append(keras.layers.AveragePooling2D(strides, padding='same', name=f'{name}_pool'))
    return [*layers, normalization(name)]
