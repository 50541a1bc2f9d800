"""Models from files: in Python without importing their classes, and by the stock ``hls4ml`` command."""

import filecmp
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from exactness import branches, convert, quietly
from qkeras import QActivation, QConv2D

from hls4ml_ext import MultiHeadSelfAttention2D, ODEBlock, load_model
from hls4ml_ext.errors import ProjectError
from hls4ml_ext.saving import NEW_ARGUMENTS, load_keras_file, save_model

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


def test_saved_models_are_small_and_load_in_older_versions_of_keras(tmp_path):
    """Without the optimizer, which the model keeps; without arguments that are None and that Keras 3.12 doesn't know."""
    trained, file = model(), tmp_path / 'model.keras'
    trained.compile('adam', 'mse')
    x = np.random.default_rng(0).uniform(-1, 1, (4, *trained.input_shape[1:])).astype('float32')
    trained.fit(x, np.zeros((4, *trained.output_shape[1:])), verbose=0)
    optimizer = trained.optimizer
    save_model(trained, file)
    assert trained.compiled and trained.optimizer is optimizer
    with zipfile.ZipFile(file) as archive:
        config = archive.read('config.json').decode()
        with h5py.File(io.BytesIO(archive.read('model.weights.h5'))) as weights:
            assert 'optimizer' not in weights
    assert not any(f'"{name}": null' in config for name in NEW_ARGUMENTS)
    loaded = load_model(file)
    assert not loaded.compiled
    assert (loaded.predict(x, verbose=0) == trained.predict(x, verbose=0)).all()


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


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    """A model in a file, as bytes."""
    path = tmp_path_factory.mktemp('saved') / 'model.keras'
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(path)
    return path.read_bytes()


def zipped(**files) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        for name, content in files.items():
            archive.writestr(name.replace('_', '.'), content)
    return buffer.getvalue()


def corrupt(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ('damage', 'problem'),
    [
        (lambda b: b'', 'the file is empty'),
        (lambda b: b'no model', 'it is not a file of Keras'),
        (lambda b: b[: len(b) // 2], 'the file is not complete'),
        (corrupt, 'the file is damaged (model.weights.h5 in it)'),
        (lambda b: zipped(a_txt='x'), 'it is not a file of Keras (there is no config.json in it)'),
        (lambda b: zipped(config_json='{}'), 'it is not a file of Keras (there is no model.weights.h5 in it)'),
        (lambda b: b'\x89HDF\r\n\x1a\n' + b, 'it is an HDF5 file. Name it .h5, if it was saved as a whole model'),
    ],
)
def test_files_that_are_no_models(damage, problem, saved, tmp_path):
    path = tmp_path / 'm.keras'
    path.write_bytes(damage(saved))
    with pytest.raises(ProjectError) as error:
        load_model(path)
    assert str(error.value) == f"'{path}' can't be loaded as a Keras model: {problem}"
    with pytest.raises(ProjectError) as error:
        load_keras_file(path, 'Do this')
    assert str(error.value) == f"'{path}' can't be loaded as a Keras model: {problem}. Do this"


@pytest.mark.parametrize(('package', 'name'), [('mine', 'mine>Theirs'), (None, 'Custom>Theirs')])
def test_an_unknown_class_is_named(package, name, tmp_path):
    from keras.saving import get_custom_objects, register_keras_serializable

    class Theirs(keras.layers.Layer):
        pass

    register_keras_serializable(*[package] if package else [])(Theirs)
    path = tmp_path / 'm.keras'
    keras.Sequential([keras.Input((2,)), Theirs()]).save(path)
    assert type(load_model(path).layers[-1]) is Theirs
    del get_custom_objects()[name]
    assert type(load_model(path, custom_objects={name: Theirs}).layers[-1]) is Theirs
    for load in (load_model, lambda path: load_keras_file(path, 'Do this')):
        with pytest.raises(ProjectError) as error:
            load(path)
        assert str(error.value) == (
            f"'{path}' can't be loaded as a Keras model: it has a class '{name}', which is not of Keras, QKeras or "
            'hls4ml-ext. Load it in Python, after importing the module that registers it, or with custom_objects='
            f"{{'{name}': Theirs}}"
        )


def test_other_refusals_of_keras_are_one_line(tmp_path):
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save_weights(tmp_path / 'm.weights.h5')
    with pytest.raises(ProjectError) as error:
        load_keras_file(tmp_path / 'm.weights.h5', 'Do this')
    assert len(str(error.value).splitlines()) == 1
    assert str(error.value).endswith('. Do this')
    assert 'No model config found' in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match='File not found'):
        load_model(tmp_path / 'nothing.keras')
    assert keras.saving.get_registered_object('hls4ml_ext>ODEBlock') is ODEBlock
