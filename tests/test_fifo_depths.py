"""FIFO depths: a simulation of beats finds no deadlock and no lost cycle with them, and one or the other with less."""

from math import ceil

import keras
import numpy as np
import pytest
from dataflow import simulate
from exactness import INPUT, branches, convert, randomize
from qkeras import QActivation, QConv2D, QDepthwiseConv2D

import hls4ml_ext
from hls4ml_ext.layers.core.schedule import MIN_DEPTH, Process, fifo_depths, latency, processes_of

W, B, A = 'quantized_bits(3,0,alpha=1)', 'quantized_bits(6,1,alpha=1)', 'quantized_bits(6,1,alpha=1)'
STALLS = pytest.mark.parametrize('stalls', [False, True], ids=['flushing', 'stalling'])


def conv(name, size=3, strides=1, padding='same', filters=2):
    return QConv2D(filters, size, strides=strides, padding=padding, kernel_quantizer=W, use_bias=False, name=name)


def quantize(name):
    return QActivation(A, name=name)


def skip(size, shape=(7, 8, 2)):
    """A convolution with a skip path around it."""
    x = inputs = keras.Input(shape, name='image')
    x = QActivation(INPUT, name='q')(x)
    y = quantize('a')(conv('c', size)(x))
    return randomize(keras.Model(inputs, keras.layers.Add(name='add')([x, y])))


def two_skips(channels=2):
    x = inputs = keras.Input((7, 8, channels), name='image')
    x = quantize('b0')(conv('stem', filters=channels)(QActivation(INPUT, name='q')(x)))
    y = quantize('b1')(conv('c1', filters=channels)(x))
    z = QDepthwiseConv2D(5, padding='same', depthwise_quantizer=W, use_bias=False, name='d')(y)
    z = keras.layers.Add(name='inner')([quantize('b2')(z), y])
    z = conv('c2', 1, filters=channels)(quantize('b3')(z))
    return randomize(keras.Model(inputs, keras.layers.Add(name='outer')([z, x])))


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


def ode(n_steps=3, solver='euler', dynamics=None, channels=4, **kwargs):
    return hls4ml_ext.ODEBlock(
        dynamics or [conv('dc', filters=channels), quantize('da')],
        n_steps, solver, state_quantizer='quantized_bits(8,2,alpha=1)', name='ode', **kwargs,
    )  # fmt: skip


def attention(kind, **kwargs):
    return hls4ml_ext.MultiHeadSelfAttention2D(2, 2, attention=kind, output_quantizer=A, name='mhsa', **kwargs)


def with_attention(kind):
    """Attention with a skip path around it, between convolutions."""
    x = inputs = keras.Input((4, 5, 4), name='image')
    x = quantize('a')(conv('stem', filters=4)(QActivation(INPUT, name='q')(x)))
    x = quantize('b')(keras.layers.Add(name='add')([attention(kind)(x), x]))
    return randomize(keras.Model(inputs, conv('c', filters=4)(x)))


def with_ode_blocks():
    """Blocks that take and give their beats at a time of their own, between convolutions that stream all the time."""
    x = inputs = keras.Input((6, 6, 2), name='image')
    x = quantize('a')(conv('stem', filters=4)(QActivation(INPUT, name='q')(x)))
    x = ode()(x)
    x = quantize('b')(conv('down', 3, 2, filters=4)(x))
    inside = keras.Input((3, 3, 4))
    slope = keras.layers.Add(name='residual')([inside, attention('relu')(inside)])
    block = hls4ml_ext.ODEBlock(
        keras.Model(inside, quantize('slope')(slope)),
        2,
        'heun',
        state_quantizer='quantized_bits(8,2,alpha=1)',
        name='second',
    )
    x = keras.layers.Add(name='around')([block(x), x])
    return randomize(keras.Model(inputs, x))


MODELS = {
    '3x3': lambda: skip(3),
    '5x5': lambda: skip(5),
    '1x1': lambda: skip(1),
    'two': two_skips,
    'beats': lambda: two_skips(4),
    'strided': strided,
    'pooled': pooled,
    'relu': lambda: with_attention('relu'),
    'softmax': lambda: with_attention('softmax'),
    'ode': with_ode_blocks,
}


class Graph:
    """The processes of a converted model, with the depths that its project has.

    Attributes:
        period: Cycles from an image to the next: those of the slowest process.
    """

    def __init__(self, hls_model):
        self.processes = processes_of(hls_model)
        self.outputs = list(hls_model.outputs)
        self.depths = {name: v.pragma[1] for name, v in hls_model.output_vars.items()}
        self.period = max(p.cycles + p.depths[-1] for p in self.processes)

    def simulate(self, images=3, stalls=True, **depths):
        return simulate(self.processes, {**self.depths, **depths}, self.outputs, images, stalls)

    def least_depth(self, name, stalls=True) -> int:
        """The smallest depth of a FIFO with which no image comes later than with the one that it has."""
        best, depth = self.simulate(stalls=stalls).finished, self.depths[name]
        while depth > 1 and self.simulate(stalls=stalls, **{name: depth - 1}).finished == best:
            depth -= 1
        return depth


# ---------------------------------------------------------------------------------------------------------------------
# Networks
# ---------------------------------------------------------------------------------------------------------------------


@STALLS
@pytest.mark.parametrize('reuse', [1, 4])
@pytest.mark.parametrize('build', list(MODELS.values()), ids=list(MODELS))
def test_no_deadlock_and_no_lost_cycle(build, reuse, stalls, tmp_path):
    graph = Graph(convert(build(), tmp_path / 'p', reuse=reuse))
    run = graph.simulate(stalls=stalls)
    assert len(run.finished) == 3

    # A pipeline whose result waits for a FIFO stops all of its work, also that for which the schedule has room.
    assert run.interval <= ceil(graph.period) + (2 if stalls else 8)
    assert all(d >= MIN_DEPTH for d in graph.depths.values())


@pytest.mark.parametrize('build', [MODELS['3x3'], MODELS['beats'], MODELS['relu']], ids=['3x3', 'beats', 'relu'])
def test_less_deadlocks(build, tmp_path):
    """With FIFOs of a few beats only, the networks hang; the simulation can tell."""
    graph = Graph(convert(build(), tmp_path / 'p'))
    assert graph.simulate(images=1, **dict.fromkeys(graph.depths, MIN_DEPTH)).finished == []


@pytest.mark.parametrize('size', [3, 5])
def test_the_depth_of_a_skip_is_tight(size, tmp_path):
    """A beat less, and images come later; with pipelines that stall a few beats less, and they never come."""
    graph = Graph(convert(skip(size), tmp_path / 'p'))
    deepest = max(graph.depths, key=graph.depths.get)
    for stalls in (False, True):
        assert graph.depths[deepest] - 2 <= graph.least_depth(deepest, stalls) <= graph.depths[deepest]
    least = next(d for d in range(1, 1000) if graph.simulate(1, **{deepest: d}).finished)
    assert graph.simulate(1, **{deepest: least - 1}).finished == []
    assert least <= graph.depths[deepest] <= least + 4


@pytest.mark.parametrize('name', ['two', 'beats'])
def test_no_depth_is_more_than_needed(name, tmp_path):
    """Of any FIFO a beat less costs time; those that are on no skip path have the least depth there is."""
    graph = Graph(convert(MODELS[name](), tmp_path / 'p'))
    assert graph.simulate().interval == graph.period
    inner = [tensor for tensor in graph.depths if tensor not in graph.outputs]
    assert {tensor: graph.depths[tensor] for tensor in inner} == {tensor: graph.least_depth(tensor) for tensor in inner}
    assert sum(graph.depths[tensor] > MIN_DEPTH for tensor in inner) == 2


@STALLS
@pytest.mark.parametrize('kind', ['relu', 'softmax'])
def test_beside_attention_waits_an_image(kind, stalls, tmp_path):
    """Attention gives nothing before it has all of the image: with a beat less beside it, the network hangs."""
    graph = Graph(convert(with_attention(kind), tmp_path / 'p'))
    (skip,) = [p.inputs[1] for p in graph.processes if p.outputs == ('add',)]
    image = next(p.n_beats for p in graph.processes if skip in p.outputs)
    assert graph.depths[skip] >= image == 20
    assert len(graph.simulate(1, stalls, **{skip: image}).finished) == 1
    assert graph.simulate(1, stalls, **{skip: image - 1}).finished == []


def test_depths_reach_the_project(tmp_path):
    hls_model = convert(skip(3), tmp_path / 'p')
    hls_model.write()
    depth = max(Graph(hls_model).depths.values())
    assert f'depth={depth}\n' in (tmp_path / 'p/firmware/myproject.cpp').read_text()


def test_straight_paths_need_no_depth(tmp_path):
    """A FIFO on a straight path only helps the slowest layers to fill their windows without waiting."""
    model = branches((6, 6, 2), {'a': [conv('c1'), quantize('a'), conv('c2')]})
    graph = Graph(convert(model, tmp_path / 'p'))
    assert max(fifo_depths(graph.processes, graph.outputs, 1.5 * graph.period).values()) <= MIN_DEPTH + 1
    assert max(graph.depths.values()) < 10


@pytest.mark.parametrize('solver', ['euler', 'heun'])
@pytest.mark.parametrize('time_channel', [False, True], ids=['', 'time'])
def test_the_state_that_waits_for_its_slope(solver, time_channel, tmp_path):
    """Within an ODE block the state is held for the update, around the dynamics: one word less is too few, or costs time."""
    block = ode(4, solver, time_channel=time_channel)
    node = convert(branches((6, 5, 4), {'a': [block]}), tmp_path / 'p', reuse=4).graph['ode']
    processes = node.processes
    depths = fifo_depths(processes, ['next'])
    assert depths['held'] == node.held_depth
    for stalls in (False, True):
        best = simulate(processes, depths, ['next'], 1, stalls).finished
        assert best == simulate(processes, dict.fromkeys(depths, 10**6), ['next'], 1, stalls).finished
        assert best[0] == node.evaluation_cycles if not stalls else best[0] <= latency(processes, ['next'], stalls=True)
    least = next(d for d in range(1, 10**6) if simulate(processes, {**depths, 'held': d}, ['next']).finished == best)
    assert least <= depths['held'] <= least + 8
    stuck = next(d for d in range(least, 0, -1) if not simulate(processes, {**depths, 'held': d}, ['next']).finished)
    assert stuck >= least - 8


# ---------------------------------------------------------------------------------------------------------------------
# Processes by themselves
# ---------------------------------------------------------------------------------------------------------------------


def diamond(fill, interval, depths, n=40):
    """A source, a copy, and a process that lags by `fill` beats, beside a path around it."""
    every = np.arange(n)
    return [
        Process((), ('x',), n),
        Process(('x',), ('a', 'skip'), n, (every,), (n,), depths=(2,)),
        Process(('a',), ('c',), n, (np.minimum(every + fill, n - 1),), (n,), interval, depths=depths),
        Process(('c', 'skip'), ('out',), n, (every, every), (n, n), depths=(5,)),
    ]


@STALLS
@pytest.mark.parametrize('depths_of_pipelines', [(7,), (1,), (20,), (5, 7), (3, 3), (4, 2, 9)], ids=str)
@pytest.mark.parametrize('fill', [0, 9])
def test_what_waits_is_what_the_other_path_holds(fill, depths_of_pipelines, stalls):
    """At a beat a cycle: the fill of the convolution, what is in its pipelines, and a beat in each of three places.

    These are the register in front of it, the FIFO behind it, and the beat that comes in the cycle in which one goes.
    """
    processes = diamond(fill, 1, depths_of_pipelines)
    period = max(p.cycles + p.depths[-1] for p in processes)
    depths = fifo_depths(processes, ['out'], period, stalls)
    assert depths == {'x': 2, 'a': 2, 'c': 2, 'out': 2, 'skip': fill + sum(depths_of_pipelines) + 3}
    best = simulate(processes, depths, ['out'], 3, stalls)
    assert best.finished[0] == latency(processes, ['out'], stalls)
    assert best.interval == period
    less = simulate(processes, {**depths, 'skip': depths['skip'] - 1}, ['out'], 3, stalls)
    assert less.finished[-1] > best.finished[-1]


def test_a_stalling_pipeline_needs_more_than_a_flushing_one():
    """A convolution that works three cycles for a beat has two results in a pipeline of five: they wait for new inputs."""
    processes = diamond(9, 3, (5, 14))
    flushing = fifo_depths(processes, ['out'], stalls=False)
    stalling = fifo_depths(processes, ['out'], stalls=True)
    assert simulate(processes, flushing, ['out'], 1, stalls=False).finished
    assert simulate(processes, flushing, ['out'], 1, stalls=True).finished == []
    for stalls in (False, True):
        assert simulate(processes, stalling, ['out'], 1, stalls).finished


@STALLS
@pytest.mark.parametrize('before, after', [(9, 9), (5, 3), (2, 2)])
def test_streams_around_a_block_hold_what_comes_meanwhile(before, after, stalls):
    """A block takes and gives its image at once; layers around it that stream all the time must not wait for it."""
    n = 50
    needed = (np.minimum(np.arange(n) + 5, n - 1),)
    processes = [
        Process((), ('x',), n),
        Process(('x',), ('stem',), n, needed, (n,), before, depths=(5, 9)),
        Process(('stem',), ('block',), n, (np.full(n, n - 1),), (n,), delay=400),
        Process(('block',), ('out',), n, needed, (n,), after, depths=(5, 9)),
    ]
    period = max(p.cycles + p.depths[-1] for p in processes)
    assert period == processes[2].cycles == 499
    depths = fifo_depths(processes, ['out'], period, stalls)
    assert simulate(processes, depths, ['out'], 4, stalls).interval == period
    assert MIN_DEPTH < depths['stem'] <= n and MIN_DEPTH < depths['block'] <= n
    less = {**depths, 'stem': depths['stem'] - 2}
    assert simulate(processes, less, ['out'], 4, stalls).interval > period
    shallow = simulate(processes, dict.fromkeys(depths, MIN_DEPTH), ['out'], 4, stalls)
    assert shallow.interval > 1.1 * period


@STALLS
@pytest.mark.parametrize('front', [3, 9])
def test_a_layer_takes_the_next_image_while_its_last_pipeline_works(front, stalls):
    """Layers of one pace, each with a pipeline in front: none of them has to wait for the one before, nor to hold its beats.

    With one in front that is deeper than the last one, images are that much further apart.
    """
    n, depths = 50, (front, 6)
    every = (np.arange(n),)
    processes = [Process((), ('x',), n)]
    processes += [Process((a,), (b,), n, every, (n,), depths=depths) for a, b in ('xa', 'ab', 'bc')]
    period = max(p.period for p in processes)
    assert period == n + max(depths)
    found = fifo_depths(processes, ['c'], period, stalls)
    assert found == dict.fromkeys('xabc', MIN_DEPTH)
    assert simulate(processes, found, ['c'], 4, stalls).interval <= period


def test_layers_with_time_to_spare_need_no_room():
    """If a block leaves the others enough time, they may wait for it."""
    n = 50
    processes = [
        Process((), ('x',), n),
        Process(('x',), ('stem',), n, (np.arange(n),), (n,), 2),
        Process(('stem',), ('block',), n, (np.full(n, n - 1),), (n,), delay=400),
    ]
    depths = fifo_depths(processes, ['block'], 700)
    assert depths['stem'] <= MIN_DEPTH + 1
    assert simulate(processes, depths, ['block'], 3).interval <= 700
