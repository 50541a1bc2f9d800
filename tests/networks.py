"""Random small networks, as hypothesis strategies: descriptions that print well, and the Keras models that they mean."""

from __future__ import annotations

from dataclasses import dataclass, field

import hypothesis.strategies as st

CHANNELS = st.integers(1, 4)

KINDS = ('conv', 'ode', 'ode', 'attention', 'norm', 'pool', 'skip', 'quantize')
"""What the parts of a network are drawn from."""


@dataclass(frozen=True)
class Part:
    """One layer of a network: a kind and its settings."""

    kind: str
    settings: dict = field(default_factory=dict)
    inner: tuple[Part, ...] = ()


# ---------------------------------------------------------------------------------------------------------------------
# Drawing
# ---------------------------------------------------------------------------------------------------------------------


@st.composite
def quantizers(draw, signed=None, bits=(2, 8)):
    """Activation quantizers: signed or a ReLU, any number of integer bits, symmetric or not."""
    width = draw(st.integers(*bits))
    if signed is False or (signed is None and draw(st.booleans())):
        return f'quantized_relu({width},{draw(st.integers(0, 3))})'
    return f'quantized_bits({width},{draw(st.integers(-1, 3))},{draw(st.integers(0, 1))},alpha=1)'


@st.composite
def weights(draw):
    """Weight quantizers."""
    bits = draw(st.integers(2, 6))
    return draw(
        st.sampled_from([f'quantized_bits({bits},0,alpha=1)', f'quantized_bits({bits},1,1,alpha=1)', 'ternary(alpha=1)'])
    )


def quantized(draw):
    return Part('quantize', {'activation': draw(quantizers())})


@st.composite
def convolutions(draw, channels=None, keep_shape=False):
    """A dense or depthwise convolution; with `channels` and `keep_shape` one that an ODE block can iterate."""
    common = {
        'kernel_size': draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        'strides': 1 if keep_shape else draw(st.integers(1, 2)),
        'padding': 'same' if keep_shape else draw(st.sampled_from(['same', 'valid'])),
        'use_bias': draw(st.booleans()),
        'bias_quantizer': 'quantized_bits(6,1,alpha=1)',
    }
    if draw(st.booleans()):
        return Part('depthwise', {**common, 'depthwise_quantizer': draw(weights())})
    return Part('conv', {**common, 'filters': channels or draw(CHANNELS), 'kernel_quantizer': draw(weights())})


@st.composite
def attentions(draw):
    attention = draw(st.sampled_from(['relu', 'softmax']))
    return Part(
        'attention',
        {
            'num_heads': draw(st.integers(1, 3)),
            'key_dim': draw(st.integers(1, 4)),
            'position': draw(st.sampled_from(['relative', 'additive', None])),
            'attention': attention,
            'use_bias': draw(st.booleans()),
            'kernel_quantizer': draw(weights()),
            'qkv_quantizer': draw(quantizers(signed=True, bits=(3, 8))),
        },
    )


@st.composite
def ode_blocks(draw, channels, depth=1, kinds=KINDS):
    """An ODE block of one to three layers, each with a quantizer behind; sometimes attention or another block."""
    inner = [quantized(draw)]
    for _ in range(draw(st.integers(1, 2))):
        possible = ['conv', 'conv', 'conv', *(kind for kind in ('attention', 'ode') if kind in kinds)]
        kind = draw(st.sampled_from(possible if depth else ['conv']))
        if kind == 'ode':
            inner.append(draw(ode_blocks(channels, depth - 1, kinds)))
        elif kind == 'attention':
            inner.append(draw(attentions()))
        else:
            inner.append(draw(convolutions(channels, keep_shape=True)))
        inner.append(quantized(draw))
    # A time channel is one more input: the first layer must be one that brings the channels back.
    time = draw(st.booleans())
    if time:
        settings = {'filters': channels, 'kernel_size': 1, 'kernel_quantizer': draw(weights()), 'use_bias': False}
        inner[1:1] = [Part('conv', settings), quantized(draw)]
    return Part(
        'ode',
        {
            'n_steps': draw(st.integers(1, 3)),
            'solver': draw(st.sampled_from(['euler', 'midpoint', 'heun', 'rk4'])),
            'state_quantizer': draw(quantizers(signed=True, bits=(4, 10))),
            'time_channel': time,
            'coefficient_bits': draw(st.integers(1, 8)),
        },
        tuple(inner),
    )


@st.composite
def networks(draw, channels, kinds=KINDS):
    """A network of one to three parts behind a quantized input, on maps of the given number of channels.

    Args:
        kinds: Of its parts, and of those inside of ODE blocks.
    """
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(kinds))
        if kind == 'conv':
            parts.append(draw(convolutions()))
            channels = parts[-1].settings.get('filters', channels)
        elif kind == 'ode':
            parts.append(draw(ode_blocks(channels, kinds=kinds)))
        elif kind == 'attention':
            parts.append(draw(attentions()))
        elif kind == 'norm':
            parts.append(Part('norm', {'input_quantizer': draw(quantizers(signed=True, bits=(4, 8)))}))
        elif kind == 'pool':
            parts.append(
                Part('pool', {'op': draw(st.sampled_from(['max', 'average'])), 'pool_size': draw(st.sampled_from([1, 2]))})
            )
        elif kind == 'skip':
            parts.append(Part('skip', {}, (draw(convolutions(channels, keep_shape=True)),)))
        parts.append(quantized(draw))
    if draw(st.booleans()):
        if draw(st.booleans()) and 'pool' in kinds:
            parts += [Part('gap', {'average_quantizer': 'quantized_bits(8,0,alpha=1)'}), quantized(draw)]
        else:
            parts.append(Part('flatten'))
        parts.append(
            Part('dense', {'units': draw(st.integers(1, 3)), 'kernel_quantizer': draw(weights()), 'use_bias': False})
        )
    return tuple(parts)


@st.composite
def joins(draw, channels):
    """Two maps of one shape, added: each as it is, or through a convolution that keeps the shape and a quantizer."""
    branches = []
    for _ in range(2):
        inner = (draw(convolutions(channels, keep_shape=True)), quantized(draw)) if draw(st.booleans()) else ()
        branches.append(Part('branch', {}, inner))
    return Part('join', {}, tuple(branches))


@st.composite
def networks_of_two_inputs(draw, channels):
    """A network on the sum of two maps of one shape, rounded behind it or not."""
    start = (draw(joins(channels)), *((quantized(draw),) if draw(st.booleans()) else ()))
    return (*start, *draw(networks(channels))) if draw(st.booleans()) else start


# ---------------------------------------------------------------------------------------------------------------------
# Building
# ---------------------------------------------------------------------------------------------------------------------


def build(part: Part):
    """The Keras layer of a part, or a function from tensor to tensor."""
    import keras
    import qkeras

    import hls4ml_ext

    def join(sources):
        return keras.layers.Add()([apply(branch.inner, x) for branch, x in zip(part.inner, sources)])

    def skip(x):
        return keras.layers.Add()([apply(part.inner, x), x])

    def pool(x):
        size = min(part.settings['pool_size'], *x.shape[1:3])
        layers = {'max': keras.layers.MaxPooling2D, 'average': keras.layers.AveragePooling2D}
        return layers[part.settings['op']](size)(x)

    def convolve(layer):
        def call(x):  # no larger than the image
            sizes = {'kernel_size': tuple(min(k, d) for k, d in zip(_pair(part.settings['kernel_size']), x.shape[1:3]))}
            return layer(**{**part.settings, **sizes})(x)

        return call

    if part.kind == 'join':
        return join
    if part.kind == 'skip':
        return skip
    if part.kind == 'pool':
        return pool
    if part.kind == 'conv':
        return convolve(qkeras.QConv2D)
    if part.kind == 'depthwise':
        return convolve(qkeras.QDepthwiseConv2D)
    if part.kind == 'ode':

        def ode(x):
            time = part.settings['time_channel']
            inputs = keras.Input((*x.shape[1:3], x.shape[3] + time))
            return hls4ml_ext.ODEBlock(keras.Model(inputs, apply(part.inner, inputs)), **part.settings)(x)

        return ode
    layers = {
        'quantize': qkeras.QActivation,
        'attention': hls4ml_ext.MultiHeadSelfAttention2D,
        'norm': hls4ml_ext.QLayerNormalization,
        'gap': qkeras.QGlobalAveragePooling2D,
        'flatten': keras.layers.Flatten,
        'dense': qkeras.QDense,
    }
    return layers[part.kind](**part.settings)


def apply(parts, x):
    """The output of one part after the other, for a tensor (or for the tensors that the first part takes)."""
    for part in parts:
        x = build(part)(x)
    return x


def _pair(x):
    return (x, x) if isinstance(x, int) else x
