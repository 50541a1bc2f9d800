"""The RTL of the ODE block: equal to Keras, evaluations that follow each other as a wave, in the cycles of its formula."""

import keras
import numpy as np
import pytest
from exactness import randomize
from qkeras import QActivation, QConv2D, QDepthwiseConv2D
from rtl import RTLTest, assert_cycles, assert_rtl_exact, compiled, inputs_of, separate

import hls4ml_ext
from hls4ml_ext import MultiHeadSelfAttention2D, ODEBlock, QLayerNormalization, Solver
from hls4ml_ext.layers.ode.node import ExactODEBlock
from hls4ml_ext.registry import rtl_kernel_of

WEIGHTS, BIAS = 'quantized_bits(4,0,alpha=1)', 'quantized_bits(6,1,alpha=1)'
STATE = 'quantized_bits(10,2,alpha=1)'
KUTTA3 = Solver('kutta3', ((), (0.5,), (-1.0, 2.0)), (1 / 6, 2 / 3, 1 / 6), (0.0, 0.5, 1.0), 3)


def separable(channels, slope='quantized_bits(8,2,alpha=1)', kernel=3):
    """The layers of a depthwise-separable dynamics."""
    return [
        QActivation('quantized_relu(8,2)'),
        QDepthwiseConv2D(kernel, padding='same', depthwise_quantizer=WEIGHTS, use_bias=False),
        QActivation('quantized_bits(8,2,alpha=1)'),
        QConv2D(channels, 1, kernel_quantizer=WEIGHTS, bias_quantizer=BIAS),
        *([QActivation(slope)] if slope else []),
    ]


def block(channels=3, n_steps=2, state=STATE, dynamics=None, **kwargs):
    return ODEBlock(dynamics or separable(channels), n_steps, state_quantizer=state, **kwargs)


def branching(shape):
    """Dynamics with a skip connection inside."""
    inputs = keras.Input(shape)
    x = skip = QActivation('quantized_bits(7,2,alpha=1)')(inputs)
    x = QDepthwiseConv2D(3, padding='same', depthwise_quantizer=WEIGHTS, bias_quantizer=BIAS)(x)
    x = QActivation('quantized_bits(8,2,alpha=1)')(x)
    x = keras.layers.Add()([x, skip])
    return keras.Model(inputs, QActivation('quantized_bits(6,1,alpha=1)')(x))


def attention_dynamics(shape):
    """Dynamics that needs the whole map before it gives its first slope."""
    inputs = keras.Input(shape)
    x = QActivation('quantized_bits(8,2,alpha=1)')(inputs)
    x = MultiHeadSelfAttention2D(num_heads=2, key_dim=2)(x)
    return keras.Model(inputs, QActivation('quantized_bits(8,2,alpha=1)')(x))


class TestSolvers(RTLTest):
    models = {
        '6x5': lambda: separate(
            (6, 5, 3),
            {
                **{name: block(solver=name, name=name) for name in ('euler', 'midpoint', 'heun', 'rk4')},
                'kutta3': block(solver=KUTTA3, n_steps=3, name='kutta3'),
                'backwards': block(solver='heun', step_size=-0.3, name='backwards'),
            },
        )
    }
    foldings = (1, 'mixed')
    cycles = False  # test_cycles counts


class TestStates(RTLTest):
    """One evaluation, a time channel, unsigned slopes and states, slopes that no quantizer rounds, a fused quantizer."""

    models = {
        '4x5': lambda: separate(
            (4, 5, 3),
            {
                'once': block(n_steps=1, name='once'),
                'time': block(n_steps=3, time_channel=True, name='time'),
                'rk4_time': block(solver='rk4', time_channel=True, name='rk4_time'),
                'unsigned_slope': block(dynamics=separable(3, 'quantized_relu(8,2)'), solver='heun', name='unsigned_slope'),
                'exact_slope': block(dynamics=separable(3, None), state='quantized_bits(16,6,alpha=1)', name='exact_slope'),
                'rounded': [block(name='rounded'), QActivation('quantized_relu(5,1)')],
                'symmetric': block(state='quantized_bits(9,2,1,alpha=1)', name='symmetric'),
            },
        ),
    }
    foldings = (1, 'largest')
    cycles = False


class TestDynamics(RTLTest):
    """Skip connections, attention and normalization inside, a block in a block, maps that are smaller than the windows."""

    models = {
        '4x3': lambda: separate(
            (4, 3, 4),
            {
                'skip': block(dynamics=branching((4, 3, 4)), n_steps=3, name='skip'),
                'attention': block(dynamics=attention_dynamics((4, 3, 4)), n_steps=2, name='attention'),
                'norm': block(
                    dynamics=[
                        QActivation('quantized_bits(8,2,alpha=1)'), QLayerNormalization(),
                        QActivation('quantized_bits(8,2,alpha=1)'),
                    ],
                    name='norm',
                ),
                'nested': block(
                    dynamics=[block(4, n_steps=2, state=STATE, name='inner'), QActivation('quantized_bits(8,2,alpha=1)')],
                    n_steps=2, solver='heun', name='nested',
                ),
            },
        ),
        'tiny': lambda: separate(
            {'1x1': (1, 1, 3), '2x1': (2, 1, 3), '1x5': (1, 5, 3), '2x2': (2, 2, 3)},
            {
                '1x1': block(name='a'), '2x1': block(solver='midpoint', name='b'), '1x5': block(n_steps=3, name='c'),
                '2x2': block(dynamics=separable(3, kernel=5), n_steps=3, name='d'),
            },
        ),
    }  # fmt: skip
    foldings = (1, 'mixed')
    cycles = False


@pytest.mark.parametrize('reuse', (1, 4))
@pytest.mark.parametrize('solver, n_steps', (('euler', 1), ('euler', 4), ('heun', 2), ('rk4', 2), (KUTTA3, 3)))
def test_cycles(solver, n_steps, reuse, tmp_path):
    """One image, and the distance of two: as the formula says, without a tolerance."""
    model = separate((6, 7, 8), {'ode': block(8, n_steps, solver=solver, name='ode')})
    hls_model = compiled(model, tmp_path / 'project', reuse)
    assert_cycles(hls_model, inputs_of(model), of=ExactODEBlock)


@pytest.mark.parametrize('reuse', (1, 2))
def test_cycles_of_attention(reuse, tmp_path):
    """Attention needs the whole map: on a small one the time in which the state comes back decides, to the cycle."""

    def dynamics():
        attention = MultiHeadSelfAttention2D(num_heads=2, key_dim=4, kernel_quantizer=WEIGHTS, use_bias=False)
        return [*separable(8)[2:], attention, *separable(8)[2:]]

    model = separate(
        (4, 4, 8),
        {
            'once': block(8, 1, dynamics=dynamics(), name='once'),
            'euler': block(8, 2, dynamics=dynamics(), name='euler'),
            'heun': block(8, 2, dynamics=dynamics(), solver='heun', name='heun'),
            'alone': block(8, 2, dynamics=attention_dynamics((4, 4, 8)), name='alone'),
        },
    )
    hls_model = compiled(model, tmp_path / 'project', reuse)
    assert_cycles(hls_model, inputs_of(model), of=ExactODEBlock)


@pytest.mark.parametrize('channels, simd, pe', ((16, 8, 1), (16, 2, 4), (32, 16, 1)))
def test_idle_windows_cost_nothing(channels, simd, pe, tmp_path):
    """A window faster than the slowest engine is idle for a pixel between evaluations: the engine in front goes on."""

    def pointwise(name):
        layer = QConv2D(channels, 1, kernel_quantizer=WEIGHTS, bias_quantizer=BIAS, name=name)
        return [layer, QActivation('quantized_bits(8,2,alpha=1)')]

    window = QDepthwiseConv2D(3, padding='same', depthwise_quantizer=WEIGHTS, use_bias=False, name='window')
    dynamics = [QActivation('quantized_relu(8,2)'), *pointwise('front'), window, *pointwise('back')]
    model = separate((6, 7, channels), {'ode': block(channels, dynamics=dynamics, name='ode')})
    slow = {'SIMD': simd, 'PE': pe}
    settings = {'ode.front': slow, 'ode.window': {'SIMD': 9, 'PE': 1}, 'ode.back': slow}
    hls_model = compiled(model, tmp_path / 'project', hls_config={'LayerName': settings})
    assert_cycles(hls_model, inputs_of(model), of=ExactODEBlock)
    counted = hls4ml_ext.measure_cycles(hls_model, np.zeros((8, 6, 7, channels), np.float32))
    assert counted.interval == 2 * 42 * (channels // simd) * (channels // pe)  # the last image ends sooner


def test_no_engine_waits_between_evaluations(tmp_path):
    """A block takes evaluations times the cycles of its slowest engine, whose multipliers are busy all the time."""
    inputs = x = keras.Input((8, 8, 8))
    x = QActivation('quantized_bits(8,1,alpha=1)')(x)
    model = randomize(keras.Model(inputs, block(8, n_steps=6, name='ode')(x)))
    hls_model = compiled(model, tmp_path / 'project', 4)
    node = hls_model.graph['ode']
    slowest = max(rtl_kernel_of(layer).cycles(layer) for layer in node.inner_layers() if layer.kind == 'conv2d')
    counted = hls4ml_ext.measure_cycles(hls_model, np.zeros((12, 8, 8, 8), np.float32))
    assert counted.interval == 6 * slowest == 6 * 64 * 4
    (inside,) = (engine for engine in counted.engines if engine.kind == 'conv2d')
    assert inside.name.startswith('ode.')
    assert inside.busy == 12 * 6 * slowest
    assert counted.cycles - inside.busy == inside.starved < slowest  # before the first pixel, and after the last


def test_windows_may_not_overlap_where_the_loop_is_too_short(tmp_path):
    """The pixels of the next evaluation come from the last windows of this one: two of 5x5 reach further than a 3x3 map."""
    dynamics = [*separable(4, kernel=5)[:2], *separable(4, kernel=5)]
    model = separate((3, 3, 4), {'ode': block(4, 3, dynamics=dynamics, name='ode')})
    hls_model = compiled(model, tmp_path / 'project', 1)
    top = (tmp_path / 'project' / 'rtl' / 'myproject.sv').read_text()
    assert ".OVERLAP(1'b0)" in top and ".OVERLAP(1'b1)" not in top
    assert_rtl_exact(model, hls_model, inputs_of(model))
