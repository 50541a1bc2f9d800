"""The command ``hls4ml-ext models``."""

import re

import pytest
from typer.testing import CliRunner

from hls4ml_ext.cli import app
from hls4ml_ext.models import BUILDERS, builder
from hls4ml_ext.report.models_table import candidates


def invoke(*arguments):
    return CliRunner().invoke(app, ['models', *map(str, arguments)], env={'COLUMNS': '100'})


@pytest.fixture(scope='module')
def output():
    result = invoke()
    assert result.exit_code == 0, result.output
    return result.output


def row(output, name):
    """The cells of a row."""
    line = next(line for line in output.splitlines() if line.strip().startswith(f'{name}  '))
    return re.split(r'\s{2,}', line.strip())[1:]


def test_table(output):
    assert row(output, 'ResNet-50') == ['96x96', '23,528,522', '751 M', '32', '752', '6,539%', '-25.05%']
    assert row(output, 'BoTNet-50') == ['96x96', '18,815,306', '731 M', '32', '601', '5,228%', '20.03%']
    assert row(output, 'vit tiny-16')[:4] == ['96x96', '5,495,626', '208 M', '32']
    assert row(output, 'resnet 32x32') == ['32x32', '272,474', '40.8 M', '4', '1.09', '9.5%', '98.84%', '98.55%']


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
