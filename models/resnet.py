"""A small quantized ResNet in the style of those for CIFAR: what an ODE network is compared with on the same hardware.

He et al., "Deep Residual Learning for Image Recognition" (arXiv 1512.03385), section 4.2: stages of basic blocks (figure 5,
left), each stage halving the map and widening it, global average pooling, one dense layer. Where a block changes the shape,
the shortcut is a 1x1 convolution (the paper's option B). Each convolution has its own weights: nothing is shared.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from hls4ml_ext.models.blocks import Blocks, chain
from hls4ml_ext.models.knobs import Channels, PresetKnobs, Quantization, Quantizers, Repeats
from hls4ml_ext.models.ode_mhsa import Stem

DEFAULT_BITS = Quantization()

PRESETS = {
    '32x32-small': {'stem': {'filters': 32, 'kernel_size': 5, 'strides': 2}, 'widths': [32, 64, 96], 'blocks': 1},
    '32x32': {'stem': {'filters': 16, 'kernel_size': 3, 'strides': 1}, 'widths': [16, 32, 64], 'blocks': 3},
}
"""'32x32-small': 11.3 M multiply-accumulates at 32x32x3, as many as fit the same board at the same speed as the ODE-MHSA
network of that name. '32x32': ResNet-20, with 40.8 M."""


class Knobs(PresetKnobs):
    """Everything that can be chosen.

    Attributes:
        preset: A key of :data:`PRESETS`: values for what is not given.
        stem: See :class:`hls4ml_ext.models.ode_mhsa.Stem`.
        widths: Channels of each stage; a stage after the first one halves height and width.
        blocks: Basic blocks: one number, or one for each stage.
    """

    presets = PRESETS
    stem: Stem = Stem()
    widths: Annotated[list[Channels], Field(min_length=1, max_length=6)] = [16, 32]
    blocks: Repeats | list[Repeats] = 1

    @model_validator(mode='after')
    def _one_block_count_for_each_stage(self):
        if isinstance(self.blocks, list) and len(self.blocks) != len(self.widths):
            raise ValueError(f'blocks: it has {len(self.blocks)} numbers, but widths has {len(self.widths)} stages')
        return self

    @property
    def blocks_of_stages(self) -> list[int]:
        """The number of blocks of each stage."""
        return self.blocks if isinstance(self.blocks, list) else [self.blocks] * len(self.widths)


def build(input_shape, n_classes: int, quantization: Quantization | None = DEFAULT_BITS, **knobs):
    """Builds the network. Its output are logits: train it with ``from_logits=True``.

    Args:
        input_shape: (height, width, channels) of the images, whose values lie between -1 and 1.
        n_classes: Number of classes.
        quantization: The bit widths; None builds it in floating point, with weights of the same shapes and order.
        knobs: Those of :class:`Knobs`; groups as dicts.

    Returns:
        keras.Model: with BatchNormalization, which :func:`hls4ml_ext.fold_batchnorm` removes.

    Raises:
        pydantic.ValidationError: on a knob that does not exist, or an impossible value.

    Example::

        model = build((32, 32, 3), 10, preset='32x32', blocks=2)  # ResNet-14
    """
    import keras

    knobs, q = Knobs(**knobs), Quantizers(quantization)
    layers, stem = Blocks(q), knobs.stem
    inputs = keras.Input(tuple(input_shape), name='image')
    x = q.input_layer('input_quantizer')(inputs)
    x = chain(x, [*layers.convolution('stem', stem.filters, stem.kernel_size, stem.strides), layers.relu('stem_act')])
    for stage, (width, n_blocks) in enumerate(zip(knobs.widths, knobs.blocks_of_stages), 1):
        for block in range(1, n_blocks + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            x = basic_block(layers, f'block{stage}_{block}', x, width, strides)
    x = chain(x, layers.classifier(n_classes, x.shape[1] * x.shape[2]))
    return keras.Model(inputs, x, name='resnet')


def basic_block(layers: Blocks, name: str, x, width: int, strides: int):
    """Two 3x3 convolutions and the shortcut around them [He et al., figure 5, left].

    Args:
        layers: Makes the layers.
        name: Of the block; its layers' names start with it.
        x: Its input, (batch, height, width, channels).
        width: Channels of its output.
        strides: Of the first convolution and the shortcut.

    Returns:
        Its output, (batch, height / strides, width / strides, width), each size rounded up.
    """
    import keras

    y = chain(
        x,
        [
            *layers.convolution(f'{name}_conv1', width, 3, strides),
            layers.relu(f'{name}_act1'),
            *layers.convolution(f'{name}_conv2', width, 3),
            layers.q.activation_layer(f'{name}_act2'),
        ],
    )
    if strides != 1 or x.shape[-1] != width:
        skip = [*layers.convolution(f'{name}_skip', width, 1, strides), layers.q.activation_layer(f'{name}_skip_act')]
        x = chain(x, skip)
    return layers.relu(f'{name}_act')(keras.layers.Add(name=f'{name}_add')([x, y]))
