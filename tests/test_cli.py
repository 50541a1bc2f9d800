"""The command line, from a project file to results.json."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import hls4ml_ext
from hls4ml_ext.cli import app
from hls4ml_ext.errors import ProjectError
from hls4ml_ext.files import LOCK, locked
from hls4ml_ext.project import load_project
from hls4ml_ext.run import MARK, Run

PROJECTS = Path(__file__).parents[1] / 'projects'

TINY = {
    'seed': 1,
    'data': {'source': 'digits', 'limit': 40},
    'model': {
        'builder': 'ode_mhsa',
        'stem': {'filters': 4},
        'widths': [4],
        'ode': {'n_steps': 2},
        'mhsa': {'heads': 1, 'key_dim': 3, 'n_steps': 1},
    },
    'training': {'batch_size': 128, 'validation_fraction': 0, 'qat': {'epochs': 2, 'learning_rate': 0.01}},
    'hls': {'reuse_factor': 2, 'layers': {'ode1.pw1': {'reuse_factor': 4}}},
}


CLI = 'from hls4ml_ext.cli import main; main()'


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], env={'COLUMNS': '100'})


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp('cli') / 'tiny.yml'
    path.write_text(yaml.safe_dump(TINY))
    return path


@pytest.fixture(scope='module')
def trained(tiny):
    """A run directory with a trained model in it."""
    result = invoke('train', tiny, '-o', tiny.parent / 'run')
    assert result.exit_code == 0, result.output
    return tiny.parent / 'run'


def test_help_is_quick_and_needs_no_keras():
    code = "import sys, hls4ml_ext.cli as c\ntry: c.app(['run', '--help'])\nexcept SystemExit: print('keras' in sys.modules)"
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert done.stdout.endswith('False\n')
    assert 'PROJECT.yml' in done.stdout
    for command in (
        'run',
        'train',
        'convert',
        'simulate',
        'evaluate',
        'plot',
        'report',
        'study',
        'models',
        'projects',
        '--version',
    ):
        assert command in invoke('--help').output


def test_run(tiny, trained):
    result = invoke('run', tiny, '-o', trained)
    assert result.exit_code == 0, result.output
    assert 'The C simulation equals Keras bit for bit: 0 of' in result.output
    assert 'is up to date' in result.output
    assert max(map(len, result.output.splitlines())) <= 100
    results = json.loads((trained / 'results.json').read_text())
    assert results['mismatches']['wrong'] == results['mismatches']['outputs'] == 0
    assert results['accuracy']['keras'] == results['accuracy']['csim']
    assert results['seed'] == 1
    assert results['versions']['backend'] == 'tensorflow'
    assert {'python', 'keras', 'tensorflow', 'hls4ml', 'qkeras-v3', 'hls4ml-ext'} <= set(results['versions'])
    assert {'qat', 'convert', 'compile', 'simulate', 'compare'} <= set(results['seconds'])
    layers = {layer['name']: layer for layer in results['layers']}
    assert [name for name in layers if 'mismatches' in layers[name]] == ['stem', 'ode1', 'mhsa', 'pool', 'logits']
    assert layers['stem']['values'] == 40 * 8 * 8 * 4
    inner = {layer['name']: layer for layer in layers['ode1']['layers']}
    assert inner['ode1.pw1']['reuse_factor'] == 4
    assert inner['ode1.pw1']['values'] == 2 * layers['stem']['values'] and inner['ode1.pw1']['mismatches'] == 0
    assert inner['ode1.pw1']['weight_bits'] == 4 * 4 * 4 + 4 * 12
    assert layers['mhsa']['parameters'] == sum(layer['parameters'] for layer in layers['mhsa']['layers'])
    import keras

    assert results['model']['parameters'] == keras.models.load_model(trained / 'model.keras').count_params()
    training = json.loads((trained / 'training.json').read_text())
    assert len(training['phases'][0]['history']['loss']) == 2
    assert (trained / 'hls' / 'firmware' / 'myproject.cpp').is_file()


def test_a_single_different_value_fails(tiny, trained, monkeypatch):
    simulate = hls4ml_ext.simulate

    def broken(*args, **kwargs):
        y = simulate(*args, **kwargs)
        y[7, 3] += 2**-8
        return y

    monkeypatch.setattr(hls4ml_ext, 'simulate', broken)
    result = invoke('simulate', tiny, '-o', trained)
    assert result.exit_code == 1
    assert 'The C simulation differs from Keras: 1 of' in result.output
    assert json.loads((trained / 'results.json').read_text())['mismatches']['outputs'] == 1


def test_the_first_wrong_layer_is_named(tiny, trained, monkeypatch):
    compare = hls4ml_ext.compare

    def broken(*args, **kwargs):
        wrong = {'ode1.pw1[1]': 3, 'ode1': 5}
        return [replace(c, mismatches=wrong.get(c.layer, 0)) for c in compare(*args, **kwargs)]

    monkeypatch.setattr(hls4ml_ext, 'compare', broken)
    result = invoke('simulate', tiny, '-o', trained)
    assert result.exit_code == 1
    assert 'first in ode1.pw1[1].' in result.output
    results = json.loads((trained / 'results.json').read_text())
    assert (results['mismatches']['first'], results['mismatches']['wrong']) == ('ode1.pw1[1]', 8)
    (ode1,) = [layer for layer in results['layers'] if layer['name'] == 'ode1']
    assert {layer['name']: layer.get('mismatches') for layer in ode1['layers']}['ode1.pw1'] == 3


def test_convert(tiny, trained):
    result = invoke('convert', tiny, '-o', trained)
    assert result.exit_code == 0, result.output
    assert 'attention.core' in result.output
    assert 'ap_fixed' in (trained / 'hls' / 'firmware' / 'defines.h').read_text()


def test_convert_and_simulate_want_a_model_of_this_project(tiny, trained, tmp_path):
    for command in ('convert', 'simulate'):
        result = invoke(command, tiny, '-o', tmp_path / 'new')
        assert result.exit_code == 2
        assert "model.keras' is missing. Make it: hls4ml-ext train" in result.output.replace('\n', '')
    changed = tmp_path / 'tiny.yml'
    changed.write_text(yaml.safe_dump({**TINY, 'seed': 2}))
    result = invoke('convert', changed, '-o', trained)
    assert result.exit_code == 2
    assert 'is from another version of the project' in result.output.replace('\n', '')


def test_evaluate_and_plot(tiny, trained):
    result = invoke('evaluate', tiny, '-o', trained, '-n', 1, '-n', 2)
    assert result.exit_code == 0, result.output
    evaluation = json.loads((trained / 'evaluation.json').read_text())
    accuracy = evaluation['accuracy']
    assert accuracy['float'] is None and accuracy['ptq'] == {}  # there was no phase in floating point
    assert accuracy['qat_epochs'] == 2
    assert set(accuracy['steps']['quantized']) == {'1', '2'}
    assert f'{accuracy["quantized"]:.2%} of 40 test images' in result.output
    assert evaluation['model']['n_steps'] == 2
    result = invoke('plot', tiny, '-o', trained)
    assert result.exit_code == 0, result.output
    for picture in ('weights', 'activations', 'attention', 'curves'):
        assert (trained / f'{picture}.png').read_bytes()[:4] == b'\x89PNG'


def test_backends(tiny, tmp_path, monkeypatch):
    result = invoke('train', tiny, '-o', tmp_path / 'run', '--backend', 'theano')
    assert result.exit_code == 2
    assert "backend 'theano' is not one of tensorflow, jax, torch" in result.output
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    result = invoke('train', tiny, '-o', tmp_path / 'run', '--backend', 'jax')
    assert result.exit_code == 2
    assert "backend 'jax' is not installed. Install it (pip install jax)" in result.output
    assert not (tmp_path / 'run').exists()


@pytest.mark.slow
def test_jax_trains_too(tiny, tmp_path):
    pytest.importorskip('jax')
    command = [sys.executable, '-c', CLI, 'train', tiny, '-o', tmp_path, '--backend', 'jax']
    environment = {**os.environ, 'KERAS_BACKEND': 'jax', 'COLUMNS': '100'}
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'on jax' in done.stdout
    assert len(json.loads((tmp_path / 'training.json').read_text())['phases'][0]['history']['loss']) == 2


def test_a_model_file(trained, tmp_path):
    (tmp_path / 'model.keras').write_bytes((trained / 'model.keras').read_bytes())
    x = np.random.default_rng(0).uniform(-1, 1, (6, 8, 8, 1))
    np.savez(tmp_path / 'x.npz', images=x, labels=np.arange(6) % 2)
    project = {'model': 'model.keras', 'data': {'source': 'npz', 'path': 'x.npz', 'test_fraction': 0.5}}
    (tmp_path / 'file.yml').write_text(yaml.safe_dump(project))
    result = invoke('run', tmp_path / 'file.yml', '-o', tmp_path / 'run')
    assert result.exit_code == 0, result.output
    np.savez(tmp_path / 'x.npz', images=x[:, :7], labels=np.arange(6) % 2)
    result = invoke('run', tmp_path / 'file.yml', '-o', tmp_path / 'run')
    assert result.exit_code == 2
    assert 'data: images of shape (7, 8, 1), but the model takes (8, 8, 1)' in result.output
    (tmp_path / 'model.keras').write_bytes(b'no model')
    result = invoke('train', tmp_path / 'file.yml', '-o', tmp_path / 'run')
    assert result.exit_code == 2
    assert "can't be loaded as a Keras model" in result.output


def test_refusals(tiny, trained, tmp_path, monkeypatch):
    (tmp_path / 'mine.txt').write_text('precious')
    result = invoke('run', tiny, '-o', tmp_path)
    assert result.exit_code == 2
    assert 'has files in it and is not a run of hls4ml-ext' in result.output
    assert [p.name for p in tmp_path.iterdir()] == ['mine.txt']
    for path in (tmp_path / 'mine.txt', tmp_path / 'mine.txt' / 'below'):
        result = invoke('run', tiny, '-o', path)
        assert result.exit_code == 2
        assert result.output == (
            f"error: output directory '{path}' can't be used: '{tmp_path}/mine.txt' is a file. "
            'Choose another one with --output\n'
        )

    result = invoke('run', tmp_path / 'none.yml')
    assert result.exit_code == 2
    assert result.output.startswith('error: there is no project file')

    wrong = tmp_path / 'wrong.yml'
    wrong.write_text(yaml.safe_dump({**TINY, 'hls': {'layers': {'ode1.pw7': {'reuse_factor': 4}}}}))
    result = invoke('convert', wrong, '-o', trained)
    assert result.exit_code == 2
    assert "layer 'ode1.pw7': hls_config sets it, but the model has no such layer" in result.output

    result = invoke('train', wrong, '-o', tmp_path / 'early')  # refused before it is trained
    assert result.exit_code == 2
    assert "layer 'ode1.pw7': hls_config sets it" in result.output
    assert {p.name for p in (tmp_path / 'early').iterdir()} == {MARK, LOCK}

    monkeypatch.setenv('PATH', str(tmp_path))
    result = invoke('run', tiny, '-o', tmp_path / 'new')
    assert result.exit_code == 2
    assert 'C simulation needs g++' in result.output
    assert not (tmp_path / 'new').exists()


def test_the_directory_is_checked_before_keras_loads(tiny, tmp_path):
    """Which takes 10 s and more."""
    (tmp_path / 'file').write_text('')
    code = (
        'import sys, hls4ml_ext.cli as c\n'
        "try: c.app(['train', *sys.argv[1:]])\n"
        "except SystemExit as e: print(e.code, 'keras' in sys.modules)"
    )
    command = [sys.executable, '-c', code, tiny, '-o', tmp_path / 'file']
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == '2 False\n'
    assert 'is a file. Choose another one with --output' in done.stderr


def test_a_second_run_in_one_directory(tiny, tmp_path):
    with locked(tmp_path):
        for command in ('run', 'train', 'convert', 'simulate', 'evaluate', 'plot'):
            result = invoke(command, tiny, '-o', tmp_path)
            assert result.exit_code == 2
            assert result.output == (
                f"error: output directory '{tmp_path}' is in use by another run of hls4ml-ext. Wait for its end, or choose "
                'another one with --output\n'
            )
    result = invoke('convert', tiny, '-o', tmp_path)
    assert "model.keras' is missing" in result.output  # and no longer in use
    assert not list(tmp_path.glob('unfinished*'))
    with Run(load_project(tiny), tmp_path), pytest.raises(ProjectError, match='is in use by another run'):
        Run(load_project(tiny), tmp_path)


def test_the_model_before_training_is_the_same_each_time(tiny, tmp_path):
    with Run(load_project(tiny), tmp_path) as run:
        first, second = run.any_model().get_weights(), run.any_model().get_weights()
    assert first
    assert all((a == b).all() for a, b in zip(first, second, strict=True))


def test_results_that_cannot_be_written_are_shown(tiny, trained, tmp_path, monkeypatch):
    directory = tmp_path / 'run'
    directory.mkdir()
    for name in (MARK, 'model.keras', 'training.json'):
        (directory / name).write_bytes((trained / name).read_bytes())
    (directory / 'results.json').mkdir()
    result = invoke('simulate', tiny, '-o', directory)
    assert result.exit_code == 2
    shown, error = result.output.split('The C simulation equals Keras bit for bit: 0 of')
    assert 'accuracy' in shown and 'error' not in shown
    assert f"error: file '{directory}/results.json' can't be written: Is a directory" in error

    simulate = hls4ml_ext.simulate
    monkeypatch.setattr(hls4ml_ext, 'simulate', lambda *a, **k: simulate(*a, **k) + 2**-8)
    result = invoke('simulate', tiny, '-o', directory)
    assert result.exit_code == 1, result.output  # it differs from Keras: that is worse
    assert "can't be written" in result.output.split('The C simulation differs from Keras')[1]


def test_a_damaged_model_of_a_run(tiny, trained, tmp_path):
    for name in (MARK, 'training.json'):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    whole = (trained / 'model.keras').read_bytes()
    for content, problem in ((b'', 'the file is empty'), (whole[: len(whole) // 2], 'the file is not complete')):
        (tmp_path / 'model.keras').write_bytes(content)
        for command in ('simulate', 'train'):
            result = invoke(command, tiny, '-o', tmp_path)
            assert result.exit_code == 2
            assert result.output.endswith(
                f"error: '{tmp_path}/model.keras' can't be loaded as a Keras model: {problem}. "
                f'Train it again: hls4ml-ext train {tiny} --retrain\n'
            )


def test_random_weights_are_quick(tmp_path, monkeypatch):
    """Statistics of batch normalization are of a few batches, not of the whole data set."""
    (tmp_path / 'p.yml').write_text(yaml.safe_dump({**TINY, 'training': 'none'}))
    calls = []
    monkeypatch.setattr('hls4ml_ext.report.console.Step.advance', lambda step, n=1: calls.append(n))
    result = invoke('train', tmp_path / 'p.yml', '-o', tmp_path / 'run')
    assert result.exit_code == 0, result.output
    assert 'random, seed 1; batch normalization folded' in result.output
    assert calls == [1] * 6


def test_versions():
    result = invoke('--version')
    assert result.exit_code == 0
    versions = dict(line.split() for line in result.output.splitlines() if not line.endswith('not installed'))
    assert list(versions)[0] == 'hls4ml-ext'
    assert versions['hls4ml-ext'] == hls4ml_ext.__version__
    for package in ('hls4ml', 'keras', 'tensorflow', 'qkeras-v3'):
        assert versions[package] == metadata.version(package)
    code = "import sys, hls4ml_ext.cli as c\ntry: c.app(['--version'])\nexcept SystemExit: print('keras' in sys.modules)"
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == 'False'


@pytest.mark.parametrize(
    ('error', 'message'),
    [
        (OSError(errno.ENOSPC, 'No space left on device', '/a/b'), "'/a/b': No space left on device"),
        (OSError(errno.ENOSPC, 'No space left on device'), 'No space left on device'),
        (MemoryError(), 'there is not enough memory. Use a smaller model, smaller images, or a smaller training.batch_size'),
    ],
)
def test_problems_of_the_machine_are_one_message(error, message, tiny, tmp_path, monkeypatch):
    def broken(run):
        raise error

    monkeypatch.setattr(Run, 'load_data', broken)
    result = invoke('train', tiny, '-o', tmp_path)
    assert result.exit_code == 2
    assert result.output.endswith(f'error: {message}\n')


def test_problems_of_the_program_are_not_hidden(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(Run, 'load_data', lambda run: 1 / 0)
    assert isinstance(invoke('train', tiny, '-o', tmp_path).exception, ZeroDivisionError)


def test_sums_too_wide_for_floats_are_a_note_before_training(tmp_path):
    """Trained weights may be smaller."""
    wide = {**TINY, 'quantization': {'weights': 12, 'activations': 12, 'input': 12}}
    (tmp_path / 'wide.yml').write_text(yaml.safe_dump(wide))
    result = invoke('run', tmp_path / 'wide.yml', '-o', tmp_path / 'run')
    assert result.exit_code == 2
    note, error = (result.output.index(text) for text in ('With the weights before training: layer', 'error: layer'))
    assert note < result.output.index('epoch 2/2') < error
    assert 'which holds integers of 24 bits exactly' in result.output.replace('\n', ' ')


def test_runs_go_below_the_current_directory(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert invoke('convert', tiny).exit_code == 2  # nothing is trained
    assert (tmp_path / 'runs' / 'tiny' / MARK).is_file()


@pytest.mark.slow
@pytest.mark.stock_compiler
def test_digits(tmp_path):
    result = invoke('run', PROJECTS / 'digits.yml', '-o', tmp_path / 'run')
    assert result.exit_code == 0, result.output
    results = json.loads((tmp_path / 'run' / 'results.json').read_text())
    assert results['accuracy']['csim'] >= 0.96
    assert results['data']['test_images'] == 450


@pytest.mark.slow
def test_digits_rtl(tmp_path):
    """The whole network in RTL, on real images; its hardware is built by the tests of synthesis."""
    project = yaml.safe_load((PROJECTS / 'digits_rtl.yml').read_text())
    project['hls']['build'] = False
    project['data']['limit'] = 60
    project['training']['pretrain']['epochs'] = project['training']['finetune']['epochs'] = 2
    (tmp_path / 'p.yml').write_text(yaml.safe_dump(project))
    result = invoke('run', tmp_path / 'p.yml', '-o', tmp_path / 'run')
    assert result.exit_code == 0, result.output
    results = json.loads((tmp_path / 'run' / 'results.json').read_text())
    assert results['accuracy']['rtl'] == results['accuracy']['keras']
    assert results['mismatches']['wrong'] == 0
    assert any(layer['layers'] for layer in results['layers'])  # compared inside of ODE blocks, too
    assert 'images per second at 100 MHz' in result.output
    cycles = results['cycles']
    busiest = max(engine['busy'] for engine in cycles['engines'])
    assert cycles['interval'] <= busiest / cycles['images'] * 1.5


@pytest.mark.slow
def test_stl10_smoke(tmp_path):
    project = yaml.safe_load((PROJECTS / 'stl10_smoke.yml').read_text())
    project['data'] = {'source': 'stl10_smoke', 'crops': 4}  # whatever is in ../shared
    (tmp_path / 'p.yml').write_text(yaml.safe_dump(project))
    result = invoke('run', tmp_path / 'p.yml', '-o', tmp_path / 'run')
    assert result.exit_code == 0, result.output
    results = json.loads((tmp_path / 'run' / 'results.json').read_text())
    assert results['accuracy'] == {'keras': None, 'csim': None}
    assert results['model']['parameters'] == 447594
