"""Vision Transformers, in floating point: for comparison.

Dosovitskiy et al., "An Image is Worth 16x16 Words" (arXiv 2010.11929), section 3.1: patches become tokens; a class token
and position embeddings; blocks of self-attention and a two-layer perceptron (GELU), each behind a layer normalization and
with a shortcut around it; the class token is classified. The sizes 'tiny-16' and 'small-16' are those of DeiT (Touvron et
al., arXiv 2012.12877, table 1).

For 1000 classes at 224x224 they have 5,717,416, 22,050,664 and ('base-16') 86,567,656 parameters.
"""

from __future__ import annotations

import keras
from pydantic import model_validator

from hls4ml_ext.errors import ExtError
from hls4ml_ext.models.blocks import refuse_quantization
from hls4ml_ext.models.knobs import Count, PresetKnobs
from hls4ml_ext.report.macs import macs_of_call

PRESETS = {
    'tiny-16': {'patch_size': 16, 'dim': 192, 'depth': 12, 'heads': 3, 'mlp_dim': 768},
    'small-16': {'patch_size': 16, 'dim': 384, 'depth': 12, 'heads': 6, 'mlp_dim': 1536},
    'base-16': {'patch_size': 16, 'dim': 768, 'depth': 12, 'heads': 12, 'mlp_dim': 3072},
}


class Knobs(PresetKnobs):
    """Everything that can be chosen.

    Attributes:
        preset: A key of :data:`PRESETS`: values for what is not given.
        patch_size: Height and width of a patch.
        dim: Size of a token, a multiple of `heads`.
        depth: Number of blocks.
        heads: Heads of self-attention.
        mlp_dim: Units of the hidden layer of the perceptrons.
    """

    presets = PRESETS
    patch_size: Count = 16
    dim: Count = 192
    depth: Count = 12
    heads: Count = 3
    mlp_dim: Count = 768

    @model_validator(mode='after')
    def _heads_divide_dim(self):
        if self.dim % self.heads:
            raise ValueError(f'heads: {self.heads} heads do not divide dim = {self.dim}')
        return self


def build(input_shape, n_classes: int, quantization: None = None, **knobs):
    """Builds the network in floating point. Its output are logits.

    Args:
        input_shape: (height, width, channels) of the images; height and width are multiples of the patch size.
        n_classes: Number of classes.
        quantization: None.
        knobs: Those of :class:`Knobs`.

    Returns:
        keras.Model

    Raises:
        ExtError: (a ValueError) on a quantization: the network is for comparison only; and on images that can't be cut into
            patches.
        pydantic.ValidationError: on a knob that does not exist, or an impossible value.
    """
    refuse_quantization('vit', quantization)
    knobs = Knobs(**knobs)
    size, (height, width, _) = knobs.patch_size, input_shape
    if height % size or width % size:
        raise ExtError(
            f'vit: images of {height}x{width} can not be cut into patches of {size}x{size}. Use multiples of {size}'
        )
    inputs = keras.Input(tuple(input_shape), name='image')
    x = keras.layers.Conv2D(knobs.dim, size, strides=size, name='patches')(inputs)
    x = keras.layers.Reshape((-1, knobs.dim), name='tokens')(x)
    x = ClassTokenAndPositions(name='embedding')(x)
    for number in range(1, knobs.depth + 1):
        x = encoder_block(f'block{number}', x, knobs)
    x = keras.layers.LayerNormalization(epsilon=1e-6, name='norm')(x)
    x = keras.layers.Dense(n_classes, name='logits')(x[:, 0])
    return keras.Model(inputs, x, name='vit')


def encoder_block(name: str, x, knobs: Knobs):
    """Self-attention and a perceptron [Dosovitskiy et al., equations 2 and 3]; (batch, tokens, dim) to the same."""

    def norm(number):
        return keras.layers.LayerNormalization(epsilon=1e-6, name=f'{name}_norm{number}')

    y = norm(1)(x)
    y = keras.layers.MultiHeadAttention(knobs.heads, knobs.dim // knobs.heads, name=f'{name}_attention')(y, y)
    x = keras.layers.Add(name=f'{name}_add1')([x, y])
    y = keras.layers.Dense(knobs.mlp_dim, 'gelu', name=f'{name}_mlp1')(norm(2)(x))
    y = keras.layers.Dense(knobs.dim, name=f'{name}_mlp2')(y)
    return keras.layers.Add(name=f'{name}_add2')([x, y])


@keras.saving.register_keras_serializable(package='hls4ml_ext.models')
class ClassTokenAndPositions(keras.layers.Layer):
    """Puts a trained token before the others and adds a trained embedding to each.

    Input: (batch, tokens, dim). Output: (batch, tokens + 1, dim).
    """

    def build(self, input_shape):
        _, n_tokens, dim = input_shape
        normal = keras.initializers.TruncatedNormal(stddev=0.02)
        self.token = self.add_weight(name='token', shape=(1, 1, dim), initializer=normal)
        self.positions = self.add_weight(name='positions', shape=(1, n_tokens + 1, dim), initializer=normal.clone())
        super().build(input_shape)

    def call(self, inputs):
        token = keras.ops.broadcast_to(self.token, (keras.ops.shape(inputs)[0], 1, inputs.shape[-1]))
        return keras.ops.concatenate([token, inputs], axis=1) + self.positions

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[1] + 1, input_shape[2])


@macs_of_call.register
def _(layer: ClassTokenAndPositions, inputs, output) -> int:
    return 0
