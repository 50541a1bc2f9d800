"""Copies of a stream in RTL."""

import keras
from exactness import INPUT, images, randomize
from qkeras import QActivation, QConv2D
from rtl import RTLTest, assert_rtl_exact, compiled, inputs_of

import hls4ml_ext
from hls4ml_ext.layers.copy.node import ExactCopy

STATE = 'quantized_bits(8,1,alpha=1)'


def conv(name, filters=2):
    return QConv2D(filters, 1, kernel_quantizer='quantized_bits(3,0,alpha=1)', use_bias=False, name=name)


def readers(n):
    """n readers of the input, each of its own pace."""
    inputs = keras.Input((3, 4, 2), name='image')
    x = QActivation(INPUT, name='q')(inputs)
    return randomize(keras.Model(inputs, [conv(f'c{i}', i + 1)(x) for i in range(n)]))


def outputs_with_readers():
    """Two tensors that are outputs of the model, and also read by layers."""
    inputs = keras.Input((3, 4, 2), name='image')
    a = QActivation(STATE, name='a')(conv('c1')(QActivation(INPUT, name='q')(inputs)))
    b = keras.layers.Add(name='add')([QActivation(STATE, name='b')(conv('c2')(a)), a])
    return randomize(keras.Model(inputs, [a, b, conv('c3')(b), conv('c4')(b)]))


class TestCopies(RTLTest):
    models = {'9': lambda: readers(9), 'outputs': outputs_with_readers}
    foldings = ('mixed',)
    cycles = False


def test_cycles(tmp_path):
    """A copy costs the two cycles of its FIFOs, and no time."""
    inputs = keras.Input((3, 4, 2), name='image')
    x = QActivation(INPUT, name='q')(inputs)
    model = keras.Model(inputs, [QActivation(f'quantized_bits({n},0,alpha=1)', name=f'q{n}')(x) for n in (2, 3, 4)])
    hls_model = compiled(model, tmp_path / 'p')
    assert_rtl_exact(model, hls_model, inputs_of(model, 1))
    cycles = hls4ml_ext.measure_cycles(hls_model, images((3, 4, 2), 1))
    (copy,) = (n for n in hls_model.get_layers() if isinstance(n, ExactCopy))
    assert (cycles.latency, cycles.interval) == (12 + 2 + 4, 12)
    (engine,) = (e for e in cycles.engines if e.name == copy.layer_name)
    assert engine.beats == 12 * cycles.images and engine.stalled == 0
