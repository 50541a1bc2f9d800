"""Project files: what they mean, and what a mistake in one says."""

import copy
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.project import BuiltModel, ModelFile, load_project

PROJECTS = Path(__file__).parents[1] / 'projects'

GOOD = {
    'seed': 3,
    'data': {'source': 'digits'},
    'model': {'builder': 'ode_mhsa', 'preset': '8x8'},
    'training': {'qat': {'epochs': 2}},
}

MERGES = """
hls:
  layers:
    a: &a {reuse_factor: 2, weight_storage: bram}
    b: &b {<<: *a, reuse_factor: 3}
    c: {reuse_factor: 5, <<: [*b, *a]}
    d: {<<: [*b, *a], mult_impl: dsp}
"""


def write(directory, **changes) -> Path:
    """A project file: GOOD with other values; None removes a key, and a dict changes what it names."""
    content = copy.deepcopy(GOOD)
    for key, value in changes.items():
        if value is None:
            del content[key]
        elif isinstance(value, dict) and isinstance(content.get(key), dict):
            content[key].update(value)
        else:
            content[key] = value
    path = directory / 'p.yml'
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize('name', ['digits', 'stl10_smoke', 'cifar10_train'])
def test_shipped_projects_are_valid(name):
    project = load_project(PROJECTS / f'{name}.yml')
    assert project.name == name
    assert isinstance(project.model, BuiltModel)
    assert project.random_weights == (name == 'stl10_smoke')


def test_defaults(tmp_path):
    project = load_project(write(tmp_path))
    assert (project.name, project.seed) == ('p', 3)
    assert (project.hls.backend, project.hls.io_type, project.hls.reuse_factor) == ('Vitis', 'io_stream', 1)
    assert (project.quantization.weights, project.quantization.activations, project.quantization.state) == (4, 8, 12)
    assert (project.training.pretrain.epochs, project.training.qat.epochs) == (0, 2)


def test_preset_is_filled_in_group_by_group(tmp_path):
    knobs = load_project(write(tmp_path, model={'preset': '96x96', 'ode': {'n_steps': 9}, 'mhsa': {'heads': 2}})).model.knobs
    assert (knobs.ode.n_steps, knobs.ode.depth) == (9, 2)
    assert (knobs.mhsa.heads, knobs.mhsa.key_dim) == (2, 48)
    assert knobs.widths == [64, 128, 256]


def test_numbers_as_yaml_writes_them(tmp_path):
    """1e-3 without a point is a string to YAML."""
    path = tmp_path / 'p.yml'
    path.write_text(yaml.safe_dump(GOOD).replace('epochs: 2', 'epochs: 2\n    learning_rate: 1e-3'))
    assert load_project(path).training.qat.learning_rate == 0.001


def test_hls_config(tmp_path):
    layers = {'ode1.pw1': {'reuse_factor': 4, 'weight_storage': 'bram'}, 'ode1': {'state_storage': 'bram'}}
    project = load_project(write(tmp_path, hls={'reuse_factor': 8, 'layers': layers}))
    assert project.hls.hls_config() == {
        'Model': {'ReuseFactor': 8},
        'LayerName': {'ode1.pw1': {'ReuseFactor': 4, 'WeightStorage': 'bram'}, 'ode1': {'StateStorage': 'bram'}},
    }


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'model': {'ode': {'solver': 'eulr'}}}, "model.ode.solver: 'eulr' is not one of euler, midpoint, heun, rk4"),
        ({'model': {'ode': {'n_steps': 0}}}, 'model.ode.n_steps: 0 must be at least 1'),
        ({'model': {'ode': {'n_steps': 10**9}}}, 'model.ode.n_steps: 1000000000 must be at most 256'),
        ({'model': {'widths': [100000]}}, 'model.widths.0: 100000 must be at most 4096'),
        ({'model': {'stem': {'filters': 100000}}}, 'model.stem.filters: 100000 must be at most 4096'),
        ({'model': {'mhsa': {'heads': 100000}}}, 'model.mhsa.heads: 100000 must be at most 4096'),
        ({'model': {'mhsa': {'heads': 512, 'key_dim': 16}}}, 'model.mhsa.heads: 512 heads of 16 channels are more than '),
        ({'data': {'source': 'stl10_smoke', 'crops': 10**9}}, 'data.crops: 1000000000 must be at most 1024'),
        ({'data': {'source': 'folder', 'path': '.', 'size': [10**7, 8]}}, 'data.size.0: 10000000 must be at most 4096'),
        ({'training': {'augmentation': {'crop': 10**9}}}, 'training.augmentation.crop: 1000000000 must be at most 256'),
        ({'model': {'ode': {'n_steps': 'x'}}}, "model.ode.n_steps: 'x' is not an integer"),
        ({'model': {'ode': {'n_steps': [1, 2, 3]}}}, 'model.ode.n_steps: it has 3 numbers, but widths has 2 stages'),
        ({'model': {'ode': {'sover': 'rk4'}}}, "model.ode.sover: unknown key. Did you mean 'solver'?"),
        ({'model': {'ode': 3}}, 'model.ode: 3 is not a group of keys'),
        ({'model': {'mhsa': {'heads': 1.5}}}, 'model.mhsa.heads: 1.5 is not an integer'),
        ({'model': {'mhsa': {'position': 'absolute'}}}, "model.mhsa.position: 'absolute' is not one of relative, additive"),
        ({'model': {'widths': [3, 'a']}}, "model.widths.1: 'a' is not an integer"),
        (
            {'model': {'preset': '9x9'}},
            "model.preset: '9x9' is not one of 8x8, 32x32-small, 32x32-dense, 32x32, 96x96, 96x96-large",
        ),
        ({'model': {'builder': 'vgg'}}, "model.builder: 'vgg' is not one of ode_mhsa, odenet, resnet"),
        ({'model': {'builder': None}}, 'model.builder: is missing. Use one of ode_mhsa'),
        ({'model': 3}, 'model: give a builder with its knobs, or the path of a .keras file'),
        ({'model': None}, 'model: is missing'),
        ({'data': None}, 'data: is missing'),
        ({'data': 'digit'}, "data.source: 'digit' is not one of digits, cifar10, stl10, folder, npz, stl10_smoke"),
        ({'data': {'source': 'npz'}}, 'data.path: is missing'),
        ({'data': {'source': 'stl10'}}, 'data.path: is missing'),
        ({'data': {'source': 'stl10', 'path': 'p.yml'}}, "data.path: '{directory}/p.yml' is a file, not a folder"),
        ({'data': {'source': 'folder', 'path': 'a'}}, "data.path: there is no folder '{directory}/a'"),
        ({'data': {'source': 'cifar10', 'path': 'a'}}, "data.path: there is no file or folder '{directory}/a'"),
        ({'data': {'source': 'folder', 'path': '.', 'size': [8]}}, 'data.size: [8] is neither a number of pixels nor '),
        ({'data': {'source': 'folder', 'path': '.', 'size': 'x'}}, "data.size: 'x' is neither a number of pixels nor "),
        ({'data': {'source': 'folder', 'path': '.', 'channels': 2}}, 'data.channels: 2 is not one of 1, 3'),
        ({'data': {'train_limit': 0}}, 'data.train_limit: 0 must be at least 1'),
        ({'data': {'test_fraction': 1}}, 'data.test_fraction: 1 must be less than 1'),
        ({'training': None}, "training: is missing. Give its phases, or 'none' for random weights"),
        ({'training': 'non'}, "training: 'non' is neither 'none' nor a group of phases"),
        ({'training': {'qat': {'epochs': -1}}}, 'training.qat.epochs: -1 must be at least 0'),
        ({'training': {'qat': {'learning_rate': 0}}}, 'training.qat.learning_rate: 0 must be more than 0'),
        ({'training': {'batch_size': True}}, 'training.batch_size: True is not an integer'),
        ({'training': {'optimizer': 'lion'}}, "training.optimizer: 'lion' is not one of adam, sgd"),
        ({'training': {'augmentation': {'crop': -1}}}, 'training.augmentation.crop: -1 must be at least 0'),
        ({'training': {'augmentation': {'flips': True}}}, "training.augmentation.flips: unknown key. Did you mean 'flip'?"),
        (
            {'training': {'initial': 'a.keras', 'pretrain': {'epochs': 1}}},
            'training.initial: a float model is given, and pretrain.epochs as well. Leave one out',
        ),
        ({'training': {'refine': {'epochs': 1}}}, 'training.qat: after refine there is no batch normalization left'),
        ({'calibration': {'method': 'entropy'}}, "calibration.method: 'entropy' is not one of fixed, minmax, "),
        ({'training': {'epochs': 3}}, 'training.epochs: unknown key. Known keys: batch_size, validation_fraction, '),
        ({'quantization': {'weights': 40}}, 'quantization.weights: 40 must be at most 12'),
        ({'hls': {'backend': 'Quartus'}}, "hls.backend: 'Quartus' is not one of Vitis, Vivado"),
        ({'hls': {'io_type': 'io_serial'}}, "hls.io_type: 'io_serial' is not one of io_stream, io_parallel"),
        ({'hls': {'clock_period': 0}}, 'hls.clock_period: 0 must be more than 0'),
        ({'hls': {'reuse_facto': 3}}, "hls.reuse_facto: unknown key. Did you mean 'reuse_factor'?"),
        ({'hls': {'layers': {'ode1.pw1': {'reuse_factor': 0}}}}, 'hls.layers.ode1.pw1.reuse_factor: 0 must be at least 1'),
        ({'hls': {'layers': {'a': {'colour': 1}}}}, 'hls.layers.a.colour: unknown key. Known keys: reuse_factor, '),
        ({'seed': -1}, 'seed: -1 must be at least 0'),
        ({'name': '../x'}, "name: '../x' may have letters, digits, dots, dashes and underscores only"),
        ({'sed': 1}, "sed: unknown key. Did you mean 'seed'?"),
        ({'path': 'x'}, 'path: unknown key. Known keys: name, seed, model, data, training, quantization, calibration, hls'),
    ],
)  # fmt: skip
def test_mistakes(changes, message, tmp_path):
    path = write(tmp_path, **changes)
    with pytest.raises(ProjectError) as error:
        load_project(path)
    assert str(error.value).startswith(f'{path}: {message}'.replace('{directory}', str(tmp_path)))
    assert len(str(error.value).splitlines()) == 1


def test_every_mistake_has_a_line(tmp_path):
    path = write(tmp_path, model={'ode': {'solver': 'eulr', 'n_steps': 0}}, hls={'backend': 'x'}, data='y')
    with pytest.raises(ProjectError) as error:
        load_project(path)
    assert len(str(error.value).splitlines()) == 4


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('seed: [', 'not YAML in line 1: '),
        ('seed: 1\nseed: 2\n', "not YAML in line 2: key 'seed' is given twice"),
        ('seed: 1\n"seed": 2\n', "not YAML in line 2: key 'seed' is given twice"),
        ('model:\n  a: 1\n  b: 2\n  a: 3\n', "not YAML in line 4: key 'a' is given twice"),
        ('1: 2\n', 'not YAML in line 1: key 1 is not a name. Write it in quotes'),
        ('on: 2\n', 'not YAML in line 1: key True is not a name. Write it in quotes'),
        ('? [a, b]\n: 2\n', "not YAML in line 1: key ['a', 'b'] is not a name. Write it in quotes"),
        ('a: &a\n  <<: *a\n', 'not YAML in line 1: a group is merged into itself'),
        ('a: {<<: 3}\n', 'not YAML in line 1: expected a mapping or list of mappings for merging'),
        ('a: ' + '[' * 31 + ']' * 31, 'not YAML in line 1: there are more than 30 groups within each other'),
        ('a: ' + '[' * 5000 + ']' * 5000, 'not YAML in line 1: there are more than 30 groups within each other'),
        ('a: ' + '{a: ' * 5000 + '}' * 5000, 'not YAML in line 1: there are more than 30 groups within each other'),
        ('- 1\n', 'a project file has sections such as model and data; this one has none'),
        ('', 'a project file has sections such as model and data; this one has none'),
    ],
)
def test_files_that_are_no_projects(text, message, tmp_path):
    path = tmp_path / 'p.yml'
    path.write_text(text)
    with pytest.raises(ProjectError) as error:
        load_project(path)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_merge_keys(tmp_path):
    """A key that is merged may be given once more, and wins; a list of merges is as YAML has it: the first one wins."""
    path = tmp_path / 'p.yml'
    path.write_text(yaml.safe_dump(GOOD) + MERGES)
    layers = load_project(path).hls.layers
    assert [layers[name].reuse_factor for name in 'abcd'] == [2, 3, 5, 3]
    assert {layer.weight_storage for layer in layers.values()} == {'bram'}
    assert layers['d'].mult_impl == 'dsp'
    path.write_text(path.read_text().replace('reuse_factor: 3}', 'reuse_factor: 3, reuse_factor: 4}'))
    with pytest.raises(ProjectError, match="key 'reuse_factor' is given twice"):
        load_project(path)


def test_long_values_are_cut(tmp_path):
    """Aliases make a list of 10,000,000 words out of a few lines."""
    path = tmp_path / 'p.yml'
    bomb = '&l0 [a, a, a, a, a, a, a, a, a, a]'
    for level in range(1, 7):
        bomb = f'&l{level} [{bomb}, {", ".join([f"*l{level - 1}"] * 9)}]'
    path.write_text(yaml.safe_dump({**GOOD, 'training': 'TRAINING'}).replace('TRAINING', bomb))
    with pytest.raises(ProjectError, match="neither 'none' nor a group of phases") as error:
        load_project(path)
    assert len(str(error.value)) < len(str(path)) + 200
    path.write_text(yaml.safe_dump({**GOOD, 'seed': 'SEED'}).replace('SEED', bomb))
    with pytest.raises(ProjectError, match='seed: .* is not an integer') as error:
        load_project(path)
    assert len(str(error.value)) < len(str(path)) + 200


def test_missing_files(tmp_path):
    with pytest.raises(ProjectError, match='there is no project file'):
        load_project(tmp_path / 'none.yml')
    with pytest.raises(ProjectError, match=f"p.yml: data.path: there is no file '{tmp_path}/a.npz'"):
        load_project(write(tmp_path, data={'source': 'npz', 'path': 'a.npz'}, training='none'))
    with pytest.raises(ProjectError, match=f"p.yml: model.file: there is no file '{tmp_path}/m.keras'"):
        load_project(write(tmp_path, model='m.keras', training=None))


def test_paths_start_from_the_project_file(tmp_path, monkeypatch):
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'm.keras').write_bytes(b'')
    np.savez(tmp_path / 'd.npz', images=1)
    path = write(tmp_path / 'sub', model='../m.keras', training=None, data={'source': 'npz', 'path': '../d.npz'})
    content = yaml.safe_load(path.read_text())
    monkeypatch.chdir('/')
    project = load_project(path)
    assert content['model'] == '../m.keras'
    assert isinstance(project.model, ModelFile)
    assert (project.model.file, project.data.path) == (tmp_path / 'm.keras', tmp_path / 'd.npz')


def test_a_model_file_has_no_bit_widths(tmp_path):
    (tmp_path / 'm.keras').write_bytes(b'')
    with pytest.raises(ProjectError, match='quantization: the model comes from m.keras and is taken as it is'):
        load_project(write(tmp_path, model='m.keras', training=None, quantization={'weights': 3}))
    with pytest.raises(ProjectError, match='training: the model comes from m.keras'):
        load_project(write(tmp_path, model='m.keras'))


def test_fingerprint_follows_the_model_but_not_the_hardware(tmp_path):
    first = load_project(write(tmp_path)).fingerprint()
    assert load_project(write(tmp_path, hls={'reuse_factor': 7})).fingerprint() == first
    others = [{'seed': 4}, {'model': {'widths': [5, 6]}}, {'quantization': {'weights': 3}}, {'training': {'batch_size': 5}}]
    for changes in others:
        assert load_project(write(tmp_path, **changes)).fingerprint() != first


def test_fingerprint_follows_files_wherever_they_are(tmp_path):
    """A checkout that is moved, or cloned again, goes on with its training."""
    (tmp_path / 'a').mkdir()
    project = write(tmp_path / 'a', training={'initial': 'float.keras', 'finetune': {'epochs': 1}})
    (tmp_path / 'a/float.keras').write_bytes(b'weights')
    first = load_project(project).fingerprint()
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    os.utime(tmp_path / 'b/float.keras', (1, 1))
    assert load_project(tmp_path / 'b' / project.name).fingerprint() == first
    (tmp_path / 'b/float.keras').write_bytes(b'WEIGHTS')
    assert load_project(tmp_path / 'b' / project.name).fingerprint() != first
