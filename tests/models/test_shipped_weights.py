"""The trained weights that are shipped: on real images the hardware computes what Keras computes, bit for bit."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

import hls4ml_ext
from hls4ml_ext.project import load_project
from hls4ml_ext.train.data import crops, from_uint8, load, read_npz, sample_photos

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / 'models' / 'weights'
NETWORKS = {'cifar10': 'cifar10_ode_mhsa_w4a8.keras', 'cifar10_dense': 'cifar10_ode_mhsa_dense_w4a8.keras'}
"""Projects, and the weights that they use."""

STL10 = ROOT.parent / 'shared' / 'data' / 'stl10_test_first95.npz'
CIFAR10 = os.environ.get('HLS4ML_EXT_CIFAR10')


def real_images() -> np.ndarray:
    """Photographs at 32x32: pieces of scikit-learn's two; STL-10's and CIFAR-10's where they are at hand."""
    parts = [crops(sample_photos(), 64, 32, seed=0)]
    if STL10.is_file():
        large = read_npz(STL10)['images'].astype(np.float64)
        parts.append(from_uint8(np.rint(large.reshape(-1, 32, 3, 32, 3, 3).mean((2, 4))).astype(np.uint8)))
    if CIFAR10:
        parts.append(load(load_project(ROOT / 'projects' / 'cifar10.yml').data, 0).x_test[:256])
    return np.concatenate(parts)


@pytest.mark.slow
@pytest.mark.stock_compiler
@pytest.mark.parametrize('name', NETWORKS)
def test_c_simulation_equals_keras_on_photographs(name, tmp_path):
    project = load_project(ROOT / 'projects' / f'{name}.yml')
    assert project.model.file.name == NETWORKS[name]
    model = hls4ml_ext.load_model(project.model.file)
    hls_model = hls4ml_ext.convert(model, output_dir=tmp_path / 'hls', hls_config=project.hls.hls_config())
    hls4ml_ext.compile(hls_model, trace=True)
    images = real_images()
    expected = model.predict(images, verbose=0)
    assert len(np.unique(expected.argmax(-1))) > 5  # photographs of many kinds
    assert (hls4ml_ext.simulate(hls_model, images) == expected).all()
    compared = hls4ml_ext.compare(hls_model, model, images)
    assert len(compared) >= 10
    assert [(c.layer, c.mismatches) for c in compared if c.mismatches] == []


def test_size_of_the_shipped_files():
    files = list(WEIGHTS.glob('*.keras'))
    assert {f.name for f in files} >= set(NETWORKS.values())
    assert sum(f.stat().st_size for f in files) < 5e6


def test_older_versions_of_keras_load_them():
    """Keras 3.12, the last one for Python 3.10, refuses arguments that later ones save, and that are None."""
    for file in WEIGHTS.glob('*.keras'):
        with zipfile.ZipFile(file) as archive:
            config = archive.read('config.json').decode()
        assert 'HeNormal' in config
        for key in ('input_axes', 'output_axes', 'quantization_config'):
            assert key not in config, f'{file.name} has {key}'


@pytest.mark.slow
@pytest.mark.skipif(not CIFAR10, reason='CIFAR-10 is not at hand: set HLS4ML_EXT_CIFAR10')
@pytest.mark.parametrize('name', NETWORKS)
def test_accuracy_is_that_of_the_results_page(name):
    """docs/results.md says which share of CIFAR-10's 10,000 test images the shipped weights classify correctly."""
    from hls4ml_ext.train.evaluation import top1

    project = load_project(ROOT / 'projects' / f'{name}.yml')
    accuracy = top1(hls4ml_ext.load_model(project.model.file), load(project.data, 0))
    assert f'**{accuracy:.2%}**'.replace('%', ' %') in (ROOT / 'docs' / 'results.md').read_text()
