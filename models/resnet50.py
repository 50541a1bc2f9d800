"""ResNet-50, in floating point: the network with which small ones are compared.

He et al., "Deep Residual Learning for Image Recognition" (arXiv 1512.03385), table 1 and figure 5, right: a 7x7 stem with
max pooling, four stages of 3, 4, 6 and 3 bottleneck blocks, global average pooling, one dense layer. As in torchvision, a
stage's stride is in the 3x3 convolution of its first block, not in the 1x1 convolution before it, and convolutions have no
biases. It has 25,557,032 parameters for 1000 classes, 23,528,522 for 10, at any size of the images; and for 1000 classes at
224x224 4.09 G multiply-accumulates, the figure of torchvision (3.86 G with the stride in front, as in keras.applications).
"""

from __future__ import annotations

from hls4ml_ext.models.blocks import chain, refuse_quantization
from hls4ml_ext.models.knobs import Section

BLOCKS = (3, 4, 6, 3)
"""Bottleneck blocks of the stages c2 to c5."""


class Knobs(Section):
    """There is nothing to choose."""


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
    refuse_quantization('resnet50', quantization)
    Knobs(**knobs)
    return network('resnet50', input_shape, n_classes)


def network(name: str, input_shape, n_classes: int, c5_spatial=None):
    """The network.

    Args:
        name: Of the model.
        input_shape: (height, width, channels) of the images.
        n_classes: Number of classes.
        c5_spatial: Function (name, width, strides) -> layers that take the place of the 3x3 convolutions of the last stage.
    """
    import keras

    inputs = keras.Input(tuple(input_shape), name='image')
    x = chain(inputs, [*convolution('c1', 64, 7, 2), keras.layers.ReLU(name='c1_act')])
    x = keras.layers.MaxPooling2D(3, 2, 'same', name='c1_pool')(x)
    for stage, n_blocks in enumerate(BLOCKS, 2):
        spatial = c5_spatial if stage == 5 and c5_spatial else convolution3x3
        for block in range(1, n_blocks + 1):
            strides = 2 if stage > 2 and block == 1 else 1
            x = bottleneck(f'c{stage}_{block}', x, 64 * 2 ** (stage - 2), strides, spatial)
    x = keras.layers.GlobalAveragePooling2D(name='pool')(x)
    return keras.Model(inputs, keras.layers.Dense(n_classes, name='logits')(x), name=name)


def bottleneck(name: str, x, width: int, strides: int, spatial):
    """1x1 convolution to `width` channels, a spatial operation, 1x1 convolution to ``4 * width``; a shortcut around them."""
    import keras

    y = chain(
        x,
        [
            *convolution(f'{name}_conv1', width),
            keras.layers.ReLU(name=f'{name}_act1'),
            *spatial(f'{name}_conv2', width, strides),
            keras.layers.ReLU(name=f'{name}_act2'),
            *convolution(f'{name}_conv3', 4 * width),
        ],
    )
    if strides != 1 or x.shape[-1] != 4 * width:
        x = chain(x, convolution(f'{name}_skip', 4 * width, 1, strides))
    return keras.layers.ReLU(name=f'{name}_act')(keras.layers.Add(name=f'{name}_add')([x, y]))


def convolution3x3(name: str, width: int, strides: int) -> list:
    """The spatial operation of a plain bottleneck."""
    return convolution(name, width, 3, strides)


def convolution(name: str, filters: int, kernel_size: int = 1, strides: int = 1) -> list:
    """Convolution without bias, and batch normalization."""
    import keras

    conv = keras.layers.Conv2D(
        filters, kernel_size, strides=strides, padding='same', use_bias=False, kernel_initializer='he_normal', name=name
    )
    return [conv, normalization(name)]


def normalization(name: str):
    """The batch normalization behind layer `name`."""
    import keras

    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f'{name}_bn')
