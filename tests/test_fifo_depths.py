"""FIFO depths: a simulation at token level finds no deadlock with them, and one with less."""

import keras
import numpy as np
import pytest
from exactness import INPUT, branches, convert, randomize
from qkeras import QActivation, QConv2D, QDepthwiseConv2D

from hls4ml_ext.layers.core import ExactLayer
from hls4ml_ext.passes.fifo_depths import SLACK

W = 'quantized_bits(3,0,alpha=1)'


def conv(name, size=3, strides=1, padding='same'):
    return QConv2D(2, size, strides=strides, padding=padding, kernel_quantizer=W, use_bias=False, name=name)


def quantize(name):
    return QActivation('quantized_bits(6,1,alpha=1)', name=name)


def skip(size, shape=(7, 8, 2)):
    """A convolution with a skip path around it."""
    x = inputs = keras.Input(shape, name='image')
    x = QActivation(INPUT, name='q')(x)
    y = quantize('a')(conv('c', size)(x))
    return randomize(keras.Model(inputs, keras.layers.Add(name='add')([x, y])))


def two_skips():
    x = inputs = keras.Input((7, 8, 2), name='image')
    x = quantize('b0')(conv('stem')(QActivation(INPUT, name='q')(x)))
    y = quantize('b1')(conv('c1')(x))
    z = QDepthwiseConv2D(5, padding='same', depthwise_quantizer=W, use_bias=False, name='d')(y)
    z = keras.layers.Add(name='inner')([quantize('b2')(z), y])
    return randomize(keras.Model(inputs, keras.layers.Add(name='outer')([conv('c2', 1)(quantize('b3')(z)), x])))


def strided():
    x = inputs = keras.Input((8, 7, 2), name='image')
    x = QActivation(INPUT, name='q')(x)
    y = quantize('a')(conv('c1', 3, 2)(x))
    y = quantize('b')(conv('c2', 3)(y))
    return randomize(keras.Model(inputs, keras.layers.Add(name='add')([y, conv('shortcut', 1, 2)(x)])))


def pooled():
    x = inputs = keras.Input((6, 6, 2), name='image')
    x = QActivation(INPUT, name='q')(x)
    y = keras.layers.MaxPooling2D(2, name='p1')(quantize('a')(conv('c1', 3)(x)))
    z = quantize('b')(conv('c2', 2, 2, 'valid')(x))
    return randomize(keras.Model(inputs, keras.layers.Add(name='add')([y, z])))


class Node:
    """A process that takes the tokens which its next output needs, as soon as they are there, and writes it."""

    def __init__(self, inputs, outputs, needs, n_outputs):
        self.inputs, self.outputs, self.needs, self.n_outputs = inputs, outputs, needs, n_outputs
        self.read, self.written = [0] * len(inputs), 0

    def step(self, fifos, depths, last):
        """One cycle: reads at most a token of each input and writes at most one; whether anything happened.

        A kernel reads its next token even if the next output doesn't need it, but not while an output waits.
        """
        ready = self.written < self.n_outputs and all(r > need[self.written] for r, need in zip(self.read, self.needs))
        if ready:
            if all(fifos[o] < depths.get(o, 1 << 30) for o in self.outputs):
                for o in self.outputs:
                    fifos[o] += 1
                self.written += 1
                return True
            return False
        # An operation of several inputs, an add, reads all of them or none.
        waiting = [
            i
            for i, (r, need) in enumerate(zip(self.read, self.needs))
            if self.written == self.n_outputs or r <= need[self.written]
        ]
        waiting = [i for i in waiting if self.read[i] < last[self.inputs[i]]]
        if waiting and all(fifos[self.inputs[i]] for i in waiting):
            for i in waiting:
                fifos[self.inputs[i]] -= 1
                self.read[i] += 1
            return True
        return False


def simulate(hls_model, depths) -> bool:
    """Does one image go through?"""
    nodes, totals = [], {}
    for node in hls_model.get_layers():
        outs = list(node.outputs)
        shape = node.get_output_variable(outs[0]).shape
        n = int(np.prod(shape[:-1]))
        totals.update(dict.fromkeys(outs, n))
        if node.inputs == ['input']:
            nodes.append(Node([], outs, [], n))
            continue
        needs = [node.last_input_of(i) if isinstance(node, ExactLayer) else np.arange(n) for i in range(len(node.inputs))]
        nodes.append(Node(list(node.inputs), outs, needs, n))
    fifos = dict.fromkeys(totals, 0)
    bounded = {t: d for t, d in depths.items() if t not in hls_model.outputs}
    while sum(node.step(fifos, bounded, totals) for node in nodes):
        pass
    return all(node.written == node.n_outputs for node in nodes)


def depths_of(hls_model):
    return {name: v.pragma[1] for name, v in hls_model.output_vars.items()}


MODELS = {
    '3x3': lambda: skip(3),
    '5x5': lambda: skip(5),
    '1x1': lambda: skip(1),
    'two': two_skips,
    'strided': strided,
    'pooled': pooled,
}


@pytest.mark.parametrize('build', list(MODELS.values()), ids=list(MODELS))
def test_no_deadlock(build, tmp_path):
    hls_model = convert(build(), tmp_path / 'p')
    depths = depths_of(hls_model)
    assert simulate(hls_model, depths)
    assert all(d >= SLACK for d in depths.values())


@pytest.mark.parametrize('size', [3, 5])
def test_a_shallower_skip_deadlocks(size, tmp_path):
    hls_model = convert(skip(size), tmp_path / 'p')
    depths = depths_of(hls_model)
    deepest = max(depths, key=depths.get)
    needed = next(d for d in range(1, 100) if simulate(hls_model, {**depths, deepest: d}))
    assert needed <= depths[deepest] <= needed + SLACK + 1


@pytest.mark.parametrize('size', [1, 3, 5])
def test_depth_of_a_skip_is_the_fill_of_the_convolution(size, tmp_path):
    """A convolution of size k on rows of W pixels gives its first output after (k-1)/2 rows and (k-1)/2 pixels."""
    half, width = (size - 1) // 2, 8
    hls_model = convert(skip(size, (12, width, 2)), tmp_path / 'p')
    depths = depths_of(hls_model)
    assert max(depths.values()) == max(half * width + half + SLACK, SLACK)
    assert max(depths.values()) < 12 * width


def test_straight_paths_need_no_depth(tmp_path):
    model = branches((6, 6, 2), {'a': [conv('c1'), quantize('a'), conv('c2', 3, 2)]})
    assert set(depths_of(convert(model, tmp_path / 'p')).values()) == {SLACK}


def test_depths_reach_the_project(tmp_path):
    hls_model = convert(skip(3), tmp_path / 'p')
    hls_model.write()
    depth = max(depths_of(hls_model).values())
    assert f'depth={depth}\n' in (tmp_path / 'p/firmware/myproject.cpp').read_text()
