"""How soon an ODE block's state comes back: what tuning knows of it is at most what the schedule says, and close to it."""

import keras
import numpy as np
import pytest
from exactness import INPUT, convert, mixed_reuse, randomize
from qkeras import QActivation, QConv2D, QDepthwiseConv2D

import hls4ml_ext
from hls4ml_ext.devices import load_device
from hls4ml_ext.layers.core.schedule import Process
from hls4ml_ext.registry import rtl_kernel_of
from hls4ml_ext.rtl.build import family_of
from hls4ml_ext.tuning.candidates import choices_of
from hls4ml_ext.tuning.loops import Timing
from hls4ml_ext.tuning.problem import solve

W, A, STATE = 'quantized_bits(4,0,alpha=1)', 'quantized_bits(8,1,alpha=1)', 'quantized_bits(12,3,alpha=1)'


def attend():
    return [
        QConv2D(8, 1, kernel_quantizer=W, use_bias=False, name='reduce'),
        QActivation(A, name='reduced'),
        hls4ml_ext.MultiHeadSelfAttention2D(2, 4, kernel_quantizer=W, use_bias=False, output_quantizer=A, name='attention'),
        QConv2D(16, 1, kernel_quantizer=W, use_bias=False, name='expand'),
        QActivation(A, name='slope'),
    ]


def convolve():
    return [
        QActivation('quantized_relu(8,1)', name='relu'),
        QDepthwiseConv2D(3, padding='same', depthwise_quantizer=W, use_bias=False, name='dw'),
        QActivation(A, name='dwa'),
        QConv2D(16, 1, kernel_quantizer=W, use_bias=False, name='pw'),
        QActivation(A, name='slope'),
    ]


def network(dynamics, size, solver):
    x = inputs = keras.Input((size, size, 16), name='image')
    x = QActivation(INPUT, name='q')(x)
    x = hls4ml_ext.ODEBlock(dynamics, 2, solver, state_quantizer=STATE, name='ode')(x)
    return randomize(keras.Model(inputs, QActivation(A, name='out')(x)))


@pytest.mark.parametrize(
    ('dynamics', 'size', 'solver', 'close'),
    [(attend, 4, 'euler', 0.8), (attend, 3, 'heun', 0.8), (convolve, 3, 'euler', 0.9), (convolve, 8, 'midpoint', 0.9)],
)
@pytest.mark.parametrize('seed', range(4))
def test_below_the_schedule_and_close_to_it(dynamics, size, solver, close, seed, tmp_path):
    """With every folding kept, the program is feasible at the interval of the schedule, and infeasible well below it."""
    model, device = network(dynamics(), size, solver), load_device('zcu104')
    config = {'Model': {}, **mixed_reuse(model, seed)}
    hls_model = convert(model, tmp_path / 'p', backend='RTL', hls_config=config)
    family = family_of(device.part)
    kept = {slot.name: slot.node.settings for slot in choices_of(hls_model, {}, family).slots}
    choices = choices_of(hls_model, kept, family)
    assert all(len({c.lanes_out for c in slot.candidates(1e9)}) == 1 for slot in choices.slots if slot.waits)
    ode = next(slot.node for slot in choices.slots if slot.name == 'ode')
    interval = ode.evaluations * rtl_kernel_of(ode).period(ode)
    assert solve(choices, interval, device.resources, None)
    assert not solve(choices, close * interval, device.resources, None)


def test_the_timing_of_a_process():
    needed = np.array([1, 3, 3, 7, 7, 7])
    timing = Timing.of(Process(('x',), ('y',), 6, (needed,), (8,), interval=2, delay=3, depths=(4, 5)))
    assert timing.lead == 1 + 3 + 2 + 9
    assert timing.tail == 3 + 2 + 9 + 2 * 2
    assert timing.span == 2 + 2 + 4 + 2 + 2
    assert timing.from_last is None
    complete = Timing.of(Process(('x',), ('y',), 6, (np.full(6, 7),), (8,), interval=2))
    assert (complete.from_last, complete.lead, complete.tail, complete.span) == (2, 9, 12, 10)
