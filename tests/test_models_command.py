"""The command ``hls4ml-ext models``."""

import re

import pytest
from typer.testing import CliRunner

import hls4ml_ext
from hls4ml_ext.cli import app
from hls4ml_ext.devices import load_device
from hls4ml_ext.models import BUILDERS, builder
from hls4ml_ext.report import facts, models_table
from hls4ml_ext.report.models_table import candidates


def invoke(*arguments):
    return CliRunner().invoke(app, ['models', *map(str, arguments)], env={'COLUMNS': '100'})


@pytest.fixture(scope='module')
def output():
    result = invoke()
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def small(monkeypatch):
    """The command on the smallest network and the references only."""
    found = candidates(96)
    few = [found[0], *(c for c in found if c.builder in models_table.REFERENCES)]
    monkeypatch.setattr(models_table, 'candidates', lambda size: few)

    def small(*arguments):
        result = invoke(*arguments)
        assert result.exit_code == 0, result.output
        return result.output

    return small


def row(output, name):
    """The cells of a row."""
    line = next(line for line in output.splitlines() if line.strip().startswith(f'{name}  '))
    return re.split(r'\s{2,}', line.strip())[1:]


def test_table(output):
    assert row(output, 'ResNet-50 (float)') == ['23,528,522', '751 M', '752', '6,539%', '-25.05%']
    assert row(output, 'BoTNet-50 (float)') == ['18,815,306', '731 M', '601', '5,228%', '20.03%']
    assert row(output, 'vit tiny-16 (float)')[:2] == ['5,495,626', '208 M']
    found = row(output, 'resnet 32x32')
    assert found[:4] + found[-2:] == ['272,474', '40.8 M', '1.09', '9.5%', '98.84%', '98.55%']


def hardware(label, reuse_factor):
    """Block RAMs, UltraRAMs and DSPs of a network the way that a user counts them."""
    candidate = next(c for c in candidates(96) if c.label == label)
    network = builder(candidate.builder)
    model = network.build((candidate.size, candidate.size, 3), 10, network.DEFAULT_BITS, **candidate.knobs)
    model = hls4ml_ext.fold_batchnorm(model)
    hls_config = hls4ml_ext.config_from_model(model, default_reuse_factor=reuse_factor)
    total = facts.totals(facts.layer_facts(hls4ml_ext.convert(model, hls_config=hls_config)))
    return [f'{total["bram_18k"] / 2:g}', str(total['uram']), str(total['dsp'])]


@pytest.mark.parametrize('label', ['ode_mhsa 8x8', 'ode_mhsa 96x96', 'resnet 32x32-small'])
def test_blocks_and_dsps(label, output):
    assert row(output, label)[4:7] == hardware(label, 256)


def test_reuse_factor(small):
    """With fewer multipliers, deeper memories: at 64 words most weights of this network are in LUTs."""
    output = small('--reuse-factor', 64)
    assert 'reuse\nfactor 64.' in output
    assert row(output, 'ode_mhsa 8x8')[4:7] == hardware('ode_mhsa 8x8', 64) != hardware('ode_mhsa 8x8', 256)


def test_more_than_the_board_has_is_red():
    device = load_device('zcu104')
    cells = models_table._blocks({'bram_18k': 2 * 312, 'uram': 97, 'dsp': 1729}, device)
    assert [(cell.plain, cell.style) for cell in cells] == [('312', ''), ('97', 'red'), ('1,729', 'red')]


def test_other_backends_count_what_needs_no_conversion(small, monkeypatch):
    monkeypatch.setattr(models_table, 'can_convert', lambda: False)
    output = small()
    assert row(output, 'ode_mhsa 8x8')[:4] == ['8,922', '230 k', '0.037', '0.3%']
    assert len(row(output, 'ode_mhsa 8x8')) == 6
    assert 'counted on the TensorFlow backend' in output


def test_every_preset_has_a_row(output):
    for name in BUILDERS:
        if name != 'odenet':  # it is ode_mhsa's 'without attention'
            for preset in builder(name).PRESETS:
                assert row(output, f'{name} {preset}')
    n_presets = len(builder('ode_mhsa').PRESETS)
    assert output.count('  without attention') == output.count('  without sharing') == n_presets


def test_fits_100_columns_uncut(output):
    assert max(map(len, output.splitlines())) <= 100
    assert '…' not in output
    assert 'ZCU104' in output


def test_sizes():
    found = {c.label: c.size for c in candidates(64)}
    assert found['ode_mhsa 96x96'] == 96
    assert found['resnet 32x32-small'] == 32
    assert found['ResNet-50'] == found['BoTNet-50'] == found['vit tiny-16'] == 64


def test_refusals():
    result = invoke('--size', 100)
    assert result.exit_code == 2
    assert 'size 100: a Vision Transformer cuts images into patches of 16x16. Use multiples of 16' in result.stderr
    assert invoke('--classes', 1).exit_code == 2
    assert invoke('--size', 16).exit_code == 2
    assert invoke('--reuse-factor', 0).exit_code == 2
