"""Data sets."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hls4ml_ext.train.data
from hls4ml_ext.errors import ProjectError
from hls4ml_ext.quantizers import activation_type, resolve
from hls4ml_ext.train.data import Dataset, from_uint8, label_budget, load
from hls4ml_ext.train.sources import SOURCES, Digits, Npz, Stl10Smoke


def test_digits_are_split_by_class_and_seed():
    a, b, c = (load(Digits(), seed) for seed in (0, 0, 1))
    assert a.x_train.shape == (1347, 8, 8, 1)
    assert a.x_test.shape == (450, 8, 8, 1)
    assert (a.x_test == b.x_test).all()
    assert not (a.x_test == c.x_test).all()
    counts = np.bincount(a.y_test)
    assert counts.min() >= 43
    assert counts.max() <= 46
    assert (a.x_train.min(), a.x_train.max()) == (0, 1)


def test_bytes_are_numbers_of_eight_bits():
    x = from_uint8(np.arange(256, dtype=np.uint8))
    assert (activation_type(resolve('quantized_bits(8,0,alpha=1)'), 'x').quantize(x) == x).all()


def test_limit():
    data = load(Digits(limit=7), 0)
    assert (len(data.x_test), len(data.y_test), len(data.x_train)) == (7, 7, 1347)


def test_stl10_smoke_without_the_file(tmp_path):
    data = load(Stl10Smoke(path=tmp_path / 'none.npz', crops=3), 0)
    assert data.x_train.shape == data.x_test.shape == (3, 96, 96, 3)
    assert data.y_test is None
    assert not (data.x_train == data.x_test).all()
    assert (load(Stl10Smoke(crops=3), 0).x_test == data.x_test).all()


def test_stl10_smoke_with_the_file(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (5, 96, 96, 3), dtype=np.uint8), np.arange(5)
    np.savez(tmp_path / 'x.npz', images=images, labels=labels, official_test_index=labels)
    data = load(Stl10Smoke(path=tmp_path / 'x.npz', crops=2), 0)
    assert (data.x_test == (images / 128 - 1)).all()
    assert (data.y_test == labels).all()
    assert data.n_classes == 10


def test_npz_with_and_without_a_split(tmp_path):
    x, y = np.random.default_rng(0).uniform(-1, 1, (40, 4, 4, 1)), np.arange(40) % 4
    np.savez(tmp_path / 'one.npz', images=x, labels=y)
    np.savez(tmp_path / 'two.npz', x_train=x, y_train=y, x_test=x[:8], y_test=y[:8])
    one, two = (load(Npz(path=tmp_path / f'{name}.npz', test_fraction=0.25), 0) for name in ('one', 'two'))
    assert (len(one.x_train), len(one.x_test), one.n_classes, one.x_test.dtype) == (30, 10, 4, np.float32)
    assert (len(two.x_train), len(two.x_test), two.n_classes) == (40, 8, 4)


@pytest.mark.parametrize(
    ('arrays', 'message'),
    [
        ({'images': np.zeros((2, 4, 4, 1))}, 'has no array labels; it has images'),
        ({'images': np.zeros((2, 4, 4)), 'labels': np.zeros(2, int)}, r'images has shape \(2, 4, 4\)'),
        ({'images': np.zeros((2, 4, 4, 1)), 'labels': np.zeros(3, int)}, r'labels has shape \(3,\)'),
        ({'images': np.zeros((2, 4, 4, 1)), 'labels': np.zeros(2)}, 'type float64. Use 2 integers'),
        ({'images': np.full((2, 4, 4, 1), np.nan), 'labels': np.zeros(2, int)}, '32 numbers of images are NaN'),
        ({'images': np.zeros((2, 4, 4, 1)), 'labels': np.arange(2)}, '2 images of 2 classes cannot be split'),
        (None, 'is not a readable .npz file'),
    ],
)
def test_damaged_files(arrays, message, tmp_path):
    path = tmp_path / 'x.npz'
    if arrays is None:
        path.write_bytes(b'PK\x03\x04 not a zip file')
    else:
        np.savez(path, **arrays)
    with pytest.raises(ProjectError, match=message):
        load(Npz(path=path), 0)


def test_importing_sources_loads_no_keras():
    code = 'import sys, hls4ml_ext.train.sources; print([m for m in ("keras", "tensorflow", "PIL") if m in sys.modules])'
    assert subprocess.check_output([sys.executable, '-c', code], text=True, cwd=Path(__file__).parents[2]) == '[]\n'


def test_every_source_can_be_loaded():
    for section in SOURCES.values():
        assert section.model_fields['source'].default in SOURCES
        assert hasattr(hls4ml_ext.train.data, section.model_fields['source'].default)


def test_train_limit_draws_with_the_seed():
    whole, few, fewer, other = (load(Digits(train_limit=n), seed) for n, seed in ((None, 0), (200, 0), (100, 0), (100, 1)))
    assert (len(few.x_train), len(few.y_train), len(few.x_test)) == (200, 200, 450)
    assert (few.x_train[:100] == fewer.x_train).all()
    assert not (other.x_train == fewer.x_train).all()
    assert len(np.unique(fewer.y_train)) == 10
    known = {(image.tobytes(), label) for image, label in zip(whole.x_train, whole.y_train)}
    assert all((image.tobytes(), label) in known for image, label in zip(few.x_train, few.y_train))
    assert len(load(Digits(train_limit=10**6), 0).x_train) == 1347


def test_label_budget():
    """So many images of each class, the same ones for every seed of the training."""
    few, fewer, other = (load(Digits(train_per_class=n), seed) for n, seed in ((20, 0), (5, 0), (20, 1)))
    assert (np.bincount(few.y_train) == 20).all() and (np.bincount(fewer.y_train) == 5).all()
    assert few.name == 'digits (200 of 1,347 training images)'
    images = {image.tobytes() for image in few.x_train}
    assert len(images) == 200 and {image.tobytes() for image in fewer.x_train} <= images
    whole = load(Digits(), 1)  # the split is another one
    assert (other.x_train == whole.x_train[label_budget(whole.y_train, 20)]).all()


def test_training_images_of_a_list(tmp_path):
    whole, file = load(Digits(), 0), tmp_path / 'indices.txt'
    indices = label_budget(whole.y_train, 7)[::-1]
    np.savetxt(file, indices, fmt='%d', header='digits')
    data = load(Digits(train_indices=file), 0)
    assert (data.x_train == whole.x_train[indices]).all() and (data.y_train == whole.y_train[indices]).all()
    assert (data.x_test == whole.x_test).all()


@pytest.mark.parametrize(
    'text, message',
    [
        ('0\n1347\n', 'line 2: there is no training image 1347; the data has 1347, from 0 to 1346'),
        ('0\n-1\n', "line 2: '-1' is not the number of an image"),
        ('# none\n', 'names no image'),
        ('5\n3\n5\n', 'names image 5 2 times'),
        ('5\n', 'names no image of class'),
        (b'\xff\xfe', 'cannot be read'),
    ],
)
def test_lists_that_do_not_match(text, message, tmp_path):
    file = tmp_path / 'indices.txt'
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ProjectError, match=re.escape(message)):
        load(Digits(train_indices=file), 0)


def test_budgets_that_are_too_large():
    with pytest.raises(ProjectError, match='1000 images a class are wanted, and class 0 has only 1'):
        load(Digits(train_per_class=1000), 0)
    with pytest.raises(ProjectError, match='have no labels'):
        load(Stl10Smoke(crops=3, train_per_class=1), 0)


def test_limits_of_unlabelled_images():
    data = load(Stl10Smoke(crops=3, limit=1, train_limit=2), 0)
    assert (len(data.x_train), len(data.x_test), data.y_train, data.y_test) == (2, 1, None, None)


def test_names_of_classes(tmp_path):
    assert load(Digits(), 0).classes == tuple('0123456789')
    assert load(Stl10Smoke(crops=1), 0).classes is None
    assert Dataset('positional', *[np.zeros(1)] * 4, 2).classes is None


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'x_test': np.zeros((4, 3, 4, 1))}, r'x_train has images of \(4, 4, 1\), x_test of \(3, 4, 1\)'),
        ({'y_test': np.array([0, 1, 2, 2])}, '2 test images are of class 2, of which there is no training image'),
        ({'x_test': np.full((4, 4, 4, 1), np.inf)}, '64 numbers of x_test are NaN or infinite'),
        ({'x_test': np.full((4, 4, 4, 1), 'a')}, 'x_test has type <U1. Use uint8, or numbers'),
        ({'x_test': np.zeros((4, 0, 4, 1))}, r'x_test has shape \(4, 0, 4, 1\)'),
        ({'y_train': np.array([0, 1, -1, 0])}, r'y_train has shape \(4,\) and type int64. Use 4 integers from 0'),
    ],
)
def test_parts_that_do_not_fit_together(changes, message, tmp_path):
    arrays = {
        f'{kind}_{part}': a
        for part in ('train', 'test')
        for kind, a in (('x', np.zeros((4, 4, 4, 1))), ('y', np.arange(4) % 2))
    }
    np.savez(tmp_path / 'x.npz', **{**arrays, **changes})
    with pytest.raises(ProjectError, match=f"'{tmp_path}/x.npz': {message}"):
        load(Npz(path=tmp_path / 'x.npz'), 0)


@pytest.mark.parametrize(
    ('shape', 'label', 'message'),
    [
        ((2, 96, 96, 3), 10, 'labels has a label 10; 10 classes have labels 0 to 9'),
        ((2, 32, 32, 3), 0, r'has images of \(32, 32, 3\), STL-10 of \(96, 96, 3\)'),
    ],
)
def test_stl10_smoke_with_a_file_of_others(shape, label, message, tmp_path):
    np.savez(tmp_path / 'x.npz', images=np.zeros(shape, np.uint8), labels=np.full(2, label))
    with pytest.raises(ProjectError, match=message):
        load(Stl10Smoke(path=tmp_path / 'x.npz', crops=1), 0)
