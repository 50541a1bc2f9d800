"""The ODE-MHSA network: a stem, Neural-ODE stages of depthwise-separable convolutions, an ODE block with self-attention.

The network follows the idea of Okubo, Sugiura, Matsutani, "A Cost-Efficient FPGA Implementation of Tiny Transformer
Model using Neural ODE" (arXiv 2401.02721): the residual stages of a ResNet become ODE blocks, whose steps share one set of
weights, and the last one is BoTNet's bottleneck, in which attention takes the place of the 3x3 convolution (arXiv
2101.11605). Widths, steps and bit widths are our own.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hls4ml_ext.models.blocks import Blocks, chain
from hls4ml_ext.models.knobs import MAX_CHANNELS, Channels, PresetKnobs, Quantization, Quantizers, Repeats, Section

DEFAULT_BITS = Quantization()

SolverName = Literal['euler', 'midpoint', 'heun', 'rk4']
ConvolutionName = Literal['separable', 'dense']


class Stem(Section):
    """The first convolution: ``filters`` of ``kernel_size`` squared, with a stride.

    Attributes:
        pool: Whether a max pooling of 3x3, stride 2, follows, as in ResNet and BoTNet.
    """

    filters: Channels = 16
    kernel_size: Annotated[int, Field(strict=True, ge=1, le=11)] = 3
    strides: Annotated[int, Field(strict=True, ge=1, le=4)] = 1
    pool: bool = False


class ODE(Section):
    """The blocks of the stages.

    Attributes:
        n_steps: Steps of the solver: one number, or one for each stage.
        solver: euler, midpoint, heun or rk4.
        convolution: 'separable' (depthwise, then 1x1) or 'dense'.
        depth: Convolutions in the dynamics.
        kernel_size: Of the dense or depthwise convolutions.
        time_channel: Whether the dynamics sees the time.
    """

    n_steps: Repeats | list[Repeats] = 4
    solver: SolverName = 'euler'
    convolution: ConvolutionName = 'separable'
    depth: Annotated[int, Field(strict=True, ge=1, le=4)] = 1
    kernel_size: Annotated[int, Field(strict=True, ge=1, le=11)] = 3
    time_channel: bool = False


class MHSA(Section):
    """The attention block: 1x1 convolution to ``heads * key_dim`` channels, attention, 1x1 convolution back."""

    heads: Channels = 2
    key_dim: Channels = 8
    position: Literal['relative', 'additive'] | None = 'relative'
    attention: Literal['relu', 'softmax'] = 'relu'
    n_steps: Repeats = 2
    solver: SolverName = 'euler'

    @model_validator(mode='after')
    def _not_too_wide(self):
        if self.heads * self.key_dim > MAX_CHANNELS:
            raise ValueError(f'heads: {self.heads} heads of {self.key_dim} channels are more than {MAX_CHANNELS}')
        return self


PRESETS = {
    '8x8': {
        'stem': {'filters': 16, 'kernel_size': 3, 'strides': 1},
        'widths': [16, 32],
        'ode': {'n_steps': 2, 'depth': 1},
        'mhsa': {'heads': 2, 'key_dim': 16, 'n_steps': 1},
    },
    '32x32-small': {
        'stem': {'filters': 64, 'kernel_size': 5, 'strides': 2},
        'widths': [64, 128, 192],
        'ode': {'n_steps': 2, 'depth': 1},
        'mhsa': {'heads': 4, 'key_dim': 32, 'n_steps': 2},
    },
    '32x32-dense': {
        'stem': {'filters': 16, 'kernel_size': 3, 'strides': 1},
        'widths': [16, 32, 80],
        'downsample': 'dense',
        'ode': {'n_steps': 2, 'convolution': 'dense', 'depth': 2},
        'mhsa': {'heads': 4, 'key_dim': 12, 'n_steps': 2},
    },
    '32x32': {
        'stem': {'filters': 64, 'kernel_size': 3, 'strides': 1},
        'widths': [64, 128, 256],
        'ode': {'n_steps': 4, 'depth': 2},
        'mhsa': {'heads': 4, 'key_dim': 48, 'n_steps': 4},
    },
    '96x96': {
        'stem': {'filters': 64, 'kernel_size': 7, 'strides': 2, 'pool': True},
        'widths': [64, 128, 256],
        'ode': {'n_steps': 4, 'depth': 2},
        'mhsa': {'heads': 4, 'key_dim': 48, 'n_steps': 4},
    },
    '96x96-large': {
        'stem': {'filters': 64, 'kernel_size': 7, 'strides': 2},
        'widths': [64, 128, 256],
        'ode': {'n_steps': 4, 'depth': 2},
        'mhsa': {'heads': 4, 'key_dim': 48, 'n_steps': 4},
    },
}


class Knobs(PresetKnobs):
    """Everything that can be chosen.

    Attributes:
        preset: A key of :data:`PRESETS`: values for what is not given.
        stem: See :class:`Stem`.
        widths: Channels of each ODE stage; a stage after the first one halves height and width.
        downsample: Convolution between stages: 'separable' (depthwise, then 1x1) or 'dense' (3x3).
        ode: See :class:`ODE`.
        mhsa: See :class:`MHSA`; None leaves out the attention block.
        shared: Whether the steps of a block share one set of weights. If not, each step has its own: the plain residual
            network, to see what sharing saves and costs.
    """

    presets = PRESETS
    stem: Stem = Stem()
    widths: Annotated[list[Channels], Field(min_length=1, max_length=6)] = [16, 32]
    downsample: ConvolutionName = 'separable'
    ode: ODE = ODE()
    mhsa: MHSA | None = MHSA()
    shared: bool = True

    @model_validator(mode='after')
    def _one_step_count_for_each_stage(self):
        steps = self.ode.n_steps
        if isinstance(steps, list) and len(steps) != len(self.widths):
            raise ValueError(f'ode.n_steps: it has {len(steps)} numbers, but widths has {len(self.widths)} stages')
        return self


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

        model = build((96, 96, 3), 10, preset='96x96', ode={'n_steps': 8})
    """
    return Builder(Knobs(**knobs), quantization).build(tuple(input_shape), n_classes)


class Builder:
    """Builds a network from validated knobs."""

    def __init__(self, knobs: Knobs, quantization: Quantization | None):
        self.knobs = knobs
        self.q = Quantizers(quantization)
        self.layers = Blocks(self.q)

    def build(self, input_shape, n_classes):
        import keras

        knobs, stem = self.knobs, self.knobs.stem
        inputs = keras.Input(input_shape, name='image')
        x = self.q.input_layer('input_quantizer')(inputs)
        x = chain(
            x, [*self.layers.convolution('stem', stem.filters, stem.kernel_size, stem.strides), self.layers.relu('stem_act')]
        )
        if stem.pool:
            x = keras.layers.MaxPooling2D(3, 2, padding='same', name='stem_pool')(x)
        for i, width in enumerate(knobs.widths, 1):
            if i > 1 or width != stem.filters:
                name, strides = (f'down{i - 1}', 2) if i > 1 else ('widen', 1)
                x = chain(x, self._transition(name, width, strides))
            x = chain(x, self._ode_stage(i, width))
        if knobs.mhsa:
            x = chain(x, self._attention_block(knobs.widths[-1]))
        x = self.q.activation_layer('features', integer=3, relu=True)(x)
        x = chain(x, self.layers.classifier(n_classes, x.shape[1] * x.shape[2]))
        return keras.Model(inputs, x, name='ode_mhsa')

    # ------------------------------------------------------------------ parts

    def _transition(self, name, n_out, strides):
        """From one stage to the next."""
        if self.knobs.downsample == 'dense':
            return [*self.layers.convolution(name, n_out, 3, strides), self.layers.relu(f'{name}_act')]
        return [
            *self.layers.depthwise(f'{name}_dw', 3, strides),
            self.q.activation_layer(f'{name}_dw_act'),
            *self.layers.convolution(f'{name}_pw', n_out),
            self.layers.relu(f'{name}_act'),
        ]

    def _ode_stage(self, number, width):
        ode = self.knobs.ode
        n_steps = ode.n_steps[number - 1] if isinstance(ode.n_steps, list) else ode.n_steps

        def dynamics():
            layers = []
            for j in range(1, ode.depth + 1):
                layers += [self.layers.relu(f'relu{j}'), *self._convolution(j, width)]
            return [*layers, self.q.activation_layer('slope')]

        return self._blocks(f'ode{number}', dynamics, n_steps, ode.solver, ode.time_channel)

    def _convolution(self, number, width):
        """One convolution of the dynamics."""
        ode = self.knobs.ode
        if ode.convolution == 'dense':
            return self.layers.convolution(f'conv{number}', width, ode.kernel_size)
        return [
            *self.layers.depthwise(f'dw{number}', ode.kernel_size),
            self.q.activation_layer(f'dw{number}_act'),
            *self.layers.convolution(f'pw{number}', width),
        ]

    def _attention_block(self, width):
        mhsa = self.knobs.mhsa

        def dynamics():
            return [
                self.layers.relu('relu'),
                *self.layers.convolution('reduce', mhsa.heads * mhsa.key_dim),
                self.q.activation_layer('reduce_act'),
                self._attention(),
                *self.layers.convolution('expand', width),
                self.q.activation_layer('slope'),
            ]

        return self._blocks('mhsa', dynamics, mhsa.n_steps, mhsa.solver, False)

    def _attention(self):
        from hls4ml_ext import MultiHeadSelfAttention2D

        mhsa = self.knobs.mhsa
        return MultiHeadSelfAttention2D(
            mhsa.heads, mhsa.key_dim, mhsa.position, mhsa.attention, use_output_projection=False,
            kernel_quantizer=self.q.weights, position_quantizer=self.q.weights, qkv_quantizer=self.q.activation(),
            logit_quantizer=self.q.activation(3), attention_quantizer=self.q.relu(2 if mhsa.attention == 'relu' else 0),
            context_quantizer=self.q.activation(0),
            name='attention',
        )  # fmt: skip

    def _blocks(self, name, dynamics, n_steps, solver, time_channel):
        """One block of `n_steps` steps; or, where weights are not shared, `n_steps` blocks of one step of the same size."""
        from hls4ml_ext import ODEBlock

        options = {'solver': solver, 'time_channel': time_channel, 'state_quantizer': self.q.state}
        if self.knobs.shared:
            return [ODEBlock(dynamics(), n_steps=n_steps, name=name, **options)]
        return [
            ODEBlock(dynamics(), n_steps=1, step_size=1 / n_steps, name=f'{name}_{n}', **options)
            for n in range(1, n_steps + 1)
        ]
