"""Studies: variants of a project in tables and pictures."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from hls4ml_ext.cli import app
from hls4ml_ext.errors import ProjectError
from hls4ml_ext.models import builder
from hls4ml_ext.report.complexity import complexity
from hls4ml_ext.report.study import percent
from hls4ml_ext.study import load_study

PROJECTS = Path(__file__).parents[1] / 'projects'

PROJECT = {
    'seed': 1,
    'data': {'source': 'digits', 'limit': 60},
    'model': {
        'builder': 'ode_mhsa', 'stem': {'filters': 4}, 'widths': [4], 'ode': {'n_steps': 1},
        'mhsa': {'heads': 1, 'key_dim': 3, 'n_steps': 1},
    },
    'training': {'batch_size': 128, 'pretrain': {'epochs': 1}, 'finetune': {'epochs': 1}},
    'calibration': {'images': 32},
}  # fmt: skip

STUDY = {
    'project': 'p.yml',
    'title': 'A study',
    'seeds': [1, 5],
    'variants': {
        'main': {'title': 'Main', 'role': 'headline', 'steps': [1, 2]},
        'w8': {'title': 'Main', 'role': 'bits', 'seeds': [5], 'changes': {'quantization': {'weights': 8}}},
        'small': {
            'title': 'No attention',
            'seeds': [1],
            'changes': {'model': {'mhsa': None}, 'training': {'finetune': {'epochs': 0}}},
        },
    },
}


@pytest.fixture
def write(tmp_path):
    def write(study=STUDY):
        (tmp_path / 'p.yml').write_text(yaml.safe_dump(PROJECT, sort_keys=False))
        (tmp_path / 's.yml').write_text(yaml.safe_dump(study, sort_keys=False))
        return tmp_path / 's.yml'

    return write


def test_the_shipped_study():
    study = load_study(PROJECTS / 'cifar10_study.yml')
    projects = {name: of_seeds[1] for name, of_seeds in study.projects.items()}
    bits = {name: (p.quantization.weights, p.quantization.activations) for name, p in projects.items()}
    assert bits['ode_mhsa'] == (4, 8) and bits['ode_mhsa_w8a8'] == (8, 8) and bits['ode_mhsa_w4a4'] == (4, 4)
    assert list(study.projects['ode_mhsa']) == [1, 2, 3]
    pretraining = {name: p.fingerprint('pretrain') for name, p in projects.items()}
    assert pretraining['ode_mhsa'] == pretraining['ode_mhsa_w8a8'] == pretraining['ode_mhsa_w4a4']
    assert len(set(pretraining.values())) == 4
    recipes = {(p.training.pretrain.epochs, p.training.batch_size, p.training.weight_decay) for p in projects.values()}
    assert len(recipes) == 1


def test_the_study_with_few_labels():
    """The same recipe and labels for all; the large network has 18.5 times the parameters at least, work within a fifth."""
    study = load_study(PROJECTS / 'cifar10_5000_study.yml')
    projects = {name: of_seeds[1] for name, of_seeds in study.projects.items()}
    assert len({p.training.model_dump_json() for p in projects.values()}) == 1
    assert len({p.data.train_indices for p in projects.values()}) == 1
    sizes = {}
    for name, project in projects.items():
        knobs = project.model.knobs.model_dump()
        sizes[name] = complexity(builder(project.model.builder).build((32, 32, 3), 10, None, **knobs))
    own = sizes['ode_mhsa']
    assert sizes['cnn'].parameters >= 18.5 * own.parameters
    assert all(0.8 < size.macs / own.macs < 1.2 for size in sizes.values())
    assert 0.8 < sizes['resnet'].parameters / own.parameters < 1.2


@pytest.mark.parametrize(
    ('fractions', 'text'),
    [([], ''), (None, ''), ([0.8321], '83.21 %'), ([0.83, 0.84, 0.85], '84.00 ± 1.00 %')],
)
def test_accuracies_as_text(fractions, text):
    assert percent(fractions) == text


def test_variants_are_trained_evaluated_and_shown(write, tmp_path):
    def run(*arguments):
        result = CliRunner().invoke(app, ['study', str(write()), '-o', str(tmp_path / 'out'), *arguments])
        assert result.exit_code == 0, result.output
        return result.output

    run('--only', 'main')
    content = json.loads((tmp_path / 'out' / 'study.json').read_text())
    assert [(row['name'], row['seed']) for row in content['rows']] == [('main', 1), ('main', 5)]
    output = run()
    assert 'as for main' in output  # the pretraining of w8
    rows = json.loads((tmp_path / 'out' / 'study.json').read_text())['rows']
    main, fifth, w8, small = rows
    assert fifth['accuracy']['float'] == w8['accuracy']['float']
    assert set(main['accuracy']['ptq']) == {'minmax', 'percentile', 'mse'}
    assert main['accuracy']['steps']['float']['1'] == main['accuracy']['float']
    assert main['accuracy']['steps']['quantized']['1'] == main['accuracy']['quantized']
    assert w8['model']['weight_bits'] > main['model']['weight_bits']
    assert (main['accuracy']['qat_epochs'], small['accuracy']['qat_epochs']) == (1, 0)
    assert small['accuracy']['quantized'] == small['accuracy']['ptq']['mse']
    page = (tmp_path / 'out' / 'study.md').read_text()
    assert percent([row['accuracy']['float'] for row in (main, fifth)]) in page and ' ± ' in page
    assert '| W4A8 | ' in page and '| W8A8 | ' in page and '(W4A8 PTQ)' in page and 'N = 2' in page
    assert '60 test images' in page and 'keras 3' in page
    for picture in ('qat_against_ptq', 'accuracy_against_parameters', 'accuracy_against_steps'):
        assert (tmp_path / 'out' / f'{picture}.png').read_bytes()[:4] == b'\x89PNG'
    before = (tmp_path / 'out' / 'small' / 'seed1' / 'model.keras').stat().st_mtime_ns
    run()
    assert (tmp_path / 'out' / 'small' / 'seed1' / 'model.keras').stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'project': None}, 'project: is missing. Give the path of a project file'),
        ({'variants': {}}, 'variants: '),
        ({'seeds': [1, 1]}, 'seeds: [1, 1] has a seed twice'),
        ({'seeds': [-1]}, 'seeds.0: -1 must be at least 0'),
        ({'variant': {}}, "variant: unknown key. Did you mean 'variants'?"),
        ({'variants': {'a': {'title': 'A', 'role': 'star'}}}, "variants.a.role: 'star' is not one of headline, bits, model"),
        (
            {'variants': {'a': {'title': 'A', 'changes': {'quantization': {'weights': 40}}}}},
            'variants.a.changes: quantization.weights: 40 must be at most 12',
        ),
    ],
)
def test_mistakes(changes, message, write):
    path = write({**STUDY, **changes})
    with pytest.raises(ProjectError) as error:
        load_study(path)
    assert str(error.value).startswith(f'{path}: {message}')


def test_a_variant_that_does_not_exist(write, tmp_path):
    result = CliRunner().invoke(app, ['study', str(write()), '-o', str(tmp_path / 'out'), '--only', 'mian'])
    assert result.exit_code == 2
    assert "study 's' has no variant 'mian'. It has main, w8, small" in result.output.replace('\n', ' ')
