"""FIFO depths in RTL: random residual and attention networks never hang, and lose no cycle, at the depths of the schedule.

``pytest --fifo-networks 100`` draws that many.
"""

import random

import keras
import numpy as np
import pytest
from exactness import mixed_reuse
from qkeras import QActivation, QConv2D, QDepthwiseConv2D
from rtl import convert_to_rtl, inputs_of, separate

import hls4ml_ext
from hls4ml_ext.layers.core.node import ExactLayer
from hls4ml_ext.registry import rtl_kernel_of

W, A = 'quantized_bits(3,0,alpha=1)', 'quantized_bits(6,1,alpha=1)'
PER_MODEL, IMAGES = 12, 16


class Network:
    """A random network: a stem, and residual blocks of convolutions, attention or an ODE block, with a path around each."""

    def __init__(self, name: str, rng: random.Random):
        self.name, self.rng, self.layers = name, rng, 0
        self.channels = rng.choice([2, 4, 8])

    def next(self) -> str:
        self.layers += 1
        return f'{self.name}_{self.layers}'

    def quantize(self, x):
        return QActivation(A, name=self.next())(x)

    def convolution(self, size):
        if self.rng.random() < 0.4:
            return QDepthwiseConv2D(size, padding='same', depthwise_quantizer=W, use_bias=False, name=self.next())
        return QConv2D(self.channels, size, padding='same', kernel_quantizer=W, use_bias=False, name=self.next())

    def convolve(self, x, size):
        return self.quantize(self.convolution(size)(x))

    def attend(self, x):
        kind, position = self.rng.choice(['relu', 'softmax']), self.rng.choice(['relative', None])
        return hls4ml_ext.MultiHeadSelfAttention2D(
            2, self.rng.choice([1, 2]), attention=kind, position=position, output_quantizer=A, name=self.next()
        )(x)

    def integrate(self, x):
        dynamics = []
        for _ in range(self.rng.randint(1, 3)):
            dynamics += [self.convolution(self.rng.choice([1, 3])), QActivation(A, name=self.next())]
        solver = self.rng.choice(['euler', 'heun'])
        return hls4ml_ext.ODEBlock(
            dynamics, self.rng.randint(1, 3), solver, state_quantizer='quantized_bits(8,2,alpha=1)', name=self.next()
        )(x)

    def block(self, x, depth=1):
        """What a path goes around."""
        for _ in range(self.rng.randint(1, 2)):
            kind = self.rng.choice(['convolve', 'convolve', 'attend', 'integrate', 'block'])
            if kind == 'block' and depth:
                x = self.quantize(keras.layers.Add(name=self.next())([self.block(x, depth - 1), x]))
            elif kind in ('attend', 'integrate'):
                x = getattr(self, kind)(x)
            else:
                x = self.convolve(x, self.rng.choice([1, 3, 5]))
        return x

    def __call__(self, x):
        x = self.quantize(QConv2D(self.channels, 1, kernel_quantizer=W, use_bias=False, name=self.next())(x))
        for _ in range(self.rng.randint(1, 2)):
            x = self.quantize(keras.layers.Add(name=self.next())([self.block(x), x]))
        return x


def upstream(hls_model, tensor: str, found: set) -> set:
    """The nodes that an output comes from."""
    for node in hls_model.get_layers():
        if tensor in node.outputs and isinstance(node, ExactLayer) and node not in found:
            found.add(node)
            for other in node.inputs:
                upstream(hls_model, other, found)
    return found


def late_networks(hls_model, x) -> list[str]:
    """The outputs that come less often than the slowest engine in front of them allows; a network that hangs raises."""
    run = hls_model.run_once([np.resize(a, (IMAGES, *a.shape[1:])) for a in x])
    late = []
    for tensor, times in zip(hls_model.outputs, run.output_times):
        ends = times.reshape(IMAGES, -1)[:, -1]
        # Without the last image, behind which nothing comes: windows complete it sooner.
        interval = (ends[-2] - ends[IMAGES // 2 - 1]) / (IMAGES - 1 - IMAGES // 2)
        slowest = max(upstream(hls_model, tensor, set()), key=lambda node: rtl_kernel_of(node).interval(node))
        if interval != rtl_kernel_of(slowest).interval(slowest):
            late.append(f'{tensor}: {interval}, {slowest.layer_name} {rtl_kernel_of(slowest).interval(slowest)}')
    return late


def beside_attention(x):
    """Attention waits for the last windows of an image, which the first pixels of the next complete."""
    x = QActivation(A, name='stem_act')(QConv2D(2, 1, kernel_quantizer=W, use_bias=False, name='stem')(x))
    y = QActivation(A, name='c_act')(QConv2D(2, 5, padding='same', kernel_quantizer=W, use_bias=False, name='c')(x))
    y = hls4ml_ext.MultiHeadSelfAttention2D(2, 1, attention='softmax', output_quantizer=A, name='mhsa')(y)
    return QActivation(A, name='sum')(keras.layers.Add(name='add')([y, x]))


def one_evaluation(x):
    """An ODE block of one evaluation: several images are in its dynamics at once."""
    dynamics = []
    for i in range(2):
        dynamics.append(QConv2D(2, 3, padding='same', kernel_quantizer=W, use_bias=False, name=f'd{i}'))
        dynamics.append(QActivation(A, name=f'd{i}_act'))
    return hls4ml_ext.ODEBlock(dynamics, 1, 'euler', state_quantizer='quantized_bits(8,2,alpha=1)', name='ode')(x)


def two_attentions(x):
    """The second attention waits for windows that pixels complete which the first one gives only after its next image."""
    x = QActivation(A, name='q1')(QConv2D(2, 1, kernel_quantizer=W, use_bias=False, name='c1')(x))
    x = hls4ml_ext.MultiHeadSelfAttention2D(2, 1, output_quantizer=A, name='mhsa1')(x)
    x = QDepthwiseConv2D(3, padding='same', depthwise_quantizer=W, use_bias=False, name='dw')(x)
    x = QConv2D(2, 5, padding='same', kernel_quantizer=W, use_bias=False, name='c2')(QActivation(A, name='q2')(x))
    x = QActivation(A, name='q3')(x)
    return hls4ml_ext.MultiHeadSelfAttention2D(2, 1, attention='softmax', output_quantizer=A, name='mhsa2')(x)


def test_windows_between_two_attentions(tmp_path):
    model = separate((7, 7, 2), {'two': two_attentions})
    hls_model = convert_to_rtl(model, tmp_path / 'p', reuse=4)
    hls4ml_ext.compile(hls_model)
    assert not late_networks(hls_model, inputs_of(model))


def test_known_networks(tmp_path):
    model = separate((5, 6, 2), {'attention': beside_attention, 'ode': one_evaluation})
    hls_model = convert_to_rtl(model, tmp_path / 'p')
    hls4ml_ext.compile(hls_model)
    assert not late_networks(hls_model, inputs_of(model))


@pytest.mark.slow
def test_random_networks(request, tmp_path):
    wanted = request.config.getoption('--fifo-networks')
    rng = random.Random(request.config.getoption('--networks-seed') or 0)
    late, counted = [], 0
    for i in range(-(-wanted // PER_MODEL)):
        n = min(PER_MODEL, wanted - i * PER_MODEL)
        shape = (rng.randint(5, 8), rng.randint(5, 8), 2)
        model = separate(shape, {f'n{j}': Network(f'n{j}', rng) for j in range(n)})
        reuse = rng.choice([1, 4, 'mixed'])
        config = {'hls_config': mixed_reuse(model, seed=i, backend='RTL')} if reuse == 'mixed' else {'reuse': reuse}
        hls_model = convert_to_rtl(model, tmp_path / f'p{i}', **config)
        hls4ml_ext.compile(hls_model)
        counted += len(hls_model.outputs)
        late += [f'{shape} {reuse} {network}' for network in late_networks(hls_model, inputs_of(model))]
    assert counted == wanted
    assert not late, f'{len(late)} of {counted} networks\n' + '\n'.join(late)
