"""Models from files: in Python without importing their classes, and by the stock ``hls4ml`` command."""

import filecmp
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from exactness import branches, convert, quietly
from qkeras import QActivation, QConv2D

from hls4ml_ext import MultiHeadSelfAttention2D, ODEBlock

ENV = {**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'}


def model():
    dynamics = [
        QActivation('quantized_relu(8,2)'),
        QConv2D(3, 1, kernel_quantizer='quantized_bits(4,0,alpha=1)', use_bias=False),
    ]
    ode = ODEBlock(dynamics, 2, state_quantizer='quantized_bits(10,2,alpha=1)', name='ode')
    return branches(
        (4, 3, 3), {'all': [ode, QActivation('quantized_bits(8,2,alpha=1)'), MultiHeadSelfAttention2D(1, 2, name='mhsa')]}
    )


@pytest.mark.slow
def test_load_model_needs_no_other_import(tmp_path):
    model().save(tmp_path / 'model.keras')
    code = 'import sys, hls4ml_ext; print([l.name for l in hls4ml_ext.load_model(sys.argv[1]).layers][-1])'
    run = subprocess.run([sys.executable, '-c', code, tmp_path / 'model.keras'], env=ENV, capture_output=True, text=True)
    assert run.stdout.strip() == 'mhsa', run.stderr


@pytest.mark.slow
def test_stock_command(tmp_path):
    """``hls4ml convert -c`` of the config that hls4ml itself wrote gives the same project."""
    hls_model = convert(model(), tmp_path / 'ours')
    quietly(hls_model.write)
    config = (tmp_path / 'ours' / 'hls4ml_config.yml').read_text()
    (tmp_path / 'config.yml').write_text(config.replace(f'OutputDir: {tmp_path}/ours', f'OutputDir: {tmp_path}/stock'))
    command = Path(sys.executable).parent / 'hls4ml'
    run = subprocess.run([command, 'convert', '-c', tmp_path / 'config.yml'], env=ENV, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    ours, stock = tmp_path / 'ours' / 'firmware', tmp_path / 'stock' / 'firmware'
    names = [str(p.relative_to(ours)) for p in ours.rglob('*') if p.is_file()]
    assert len(names) > 20
    assert filecmp.cmpfiles(ours, stock, names, shallow=False)[0] == names


def test_a_file_that_is_not_there(tmp_path):
    from hls4ml_ext import load_model

    with pytest.raises(ValueError, match='File not found'):
        load_model(tmp_path / 'nothing.keras')
    assert keras.saving.get_registered_object('hls4ml_ext>ODEBlock') is ODEBlock
