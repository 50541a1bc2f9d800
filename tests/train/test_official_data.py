"""The official files of CIFAR-10 and STL-10, made here from small data."""

import os
import pickle
import struct
import types
from pathlib import Path

import keras
import numpy as np
import pytest

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.train.data import load
from hls4ml_ext.train.formats import from_uint8
from hls4ml_ext.train.sources import CIFAR10_VARIABLE, Cifar10, Stl10

SHARED = Path(__file__).parents[2].parent / 'shared' / 'data'


# ---------------------------------------------------------------------------------------------------------------------
# CIFAR-10
# ---------------------------------------------------------------------------------------------------------------------


def cifar10_arrays(n_train=20, n_test=10):
    rng = np.random.default_rng(0)
    return {
        'x_train': rng.integers(0, 256, (n_train, 32, 32, 3), dtype=np.uint8),
        'y_train': np.arange(n_train) % 10,
        'x_test': rng.integers(0, 256, (n_test, 32, 32, 3), dtype=np.uint8),
        'y_test': np.arange(n_test)[::-1] % 10,
    }


def check_cifar10(data, arrays):
    for part in ('train', 'test'):
        x, y = getattr(data, f'x_{part}'), getattr(data, f'y_{part}')
        assert (x.dtype, y.dtype, y.ndim) == (np.float32, np.int64, 1)
        assert (x == arrays[f'x_{part}'] / 128 - 1).all()
        assert (y == arrays[f'y_{part}'].ravel()).all()
    assert (data.n_classes, data.classes[:3], data.classes[9]) == (10, ('airplane', 'automobile', 'bird'), 'truck')


class Python2Pickler(pickle._Pickler):
    """Writes strings and bytes as Python 2 did, and names of NumPy 1: the official files are of that kind."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value):
        value = value if isinstance(value, bytes) else value.encode('latin1')
        self.write(pickle.BINSTRING + struct.pack('<i', len(value)) + value)

    def save_global(self, value, name=None):
        module = value.__module__ if isinstance(value, type) else 'numpy.core.multiarray'
        self.write(pickle.GLOBAL + f'{module}\n{value.__name__}\n'.encode())

    dispatch[bytes] = dispatch[str] = save_bytes
    dispatch[type] = dispatch[types.FunctionType] = save_global


def write_cifar10_folder(folder, arrays):
    folder.mkdir(exist_ok=True)
    names = {'train': [f'data_batch_{i}' for i in range(1, 6)], 'test': ['test_batch']}
    for part, files in names.items():
        rows = arrays[f'x_{part}'].transpose(0, 3, 1, 2).reshape(-1, 3072)
        for name, data, labels in zip(files, np.split(rows, len(files)), np.split(arrays[f'y_{part}'], len(files))):
            batch = {
                'batch_label': name,
                'labels': labels.tolist(),
                'data': np.ascontiguousarray(data),
                'filenames': ['a.png'],
            }
            with open(folder / name, 'wb') as file:
                Python2Pickler(file, 2).dump(batch)


@pytest.fixture
def no_keras(monkeypatch):
    """Keras has no network; the variable is unset."""

    def fail():
        raise Exception('URL fetch failure on\nhttps://x: None -- [Errno -3] Temporary failure in name resolution')

    monkeypatch.setattr(keras.datasets.cifar10, 'load_data', fail)
    monkeypatch.delenv(CIFAR10_VARIABLE, raising=False)


def test_cifar10_from_a_numpy_file(tmp_path, no_keras):
    arrays = cifar10_arrays()
    arrays['y_train'] = arrays['y_train'][:, None]  # as Keras has them
    np.savez(tmp_path / 'x.npz', **arrays)
    data = load(Cifar10(path=tmp_path / 'x.npz'), 0)
    check_cifar10(data, arrays)
    assert data.name == 'CIFAR-10 (a part: 20 of 50000 training and 10 of 10000 test images)'


def test_cifar10_from_the_official_folder(tmp_path, no_keras):
    arrays = cifar10_arrays()
    write_cifar10_folder(tmp_path / 'cifar-10-batches-py', arrays)
    check_cifar10(load(Cifar10(path=tmp_path / 'cifar-10-batches-py'), 0), arrays)


def test_cifar10_of_the_path_before_the_variable_before_keras(tmp_path, no_keras, monkeypatch):
    first, second, third = (cifar10_arrays(n_train=n) for n in (10, 20, 30))
    np.savez(tmp_path / 'first.npz', **first)
    write_cifar10_folder(tmp_path / 'second', second)
    split = (third['x_train'], third['y_train'][:, None]), (third['x_test'], third['y_test'][:, None])
    monkeypatch.setattr(keras.datasets.cifar10, 'load_data', lambda: split)
    check_cifar10(load(Cifar10(), 0), third)
    monkeypatch.setenv(CIFAR10_VARIABLE, '')
    check_cifar10(load(Cifar10(), 0), third)
    monkeypatch.setenv(CIFAR10_VARIABLE, str(tmp_path / 'second'))
    check_cifar10(load(Cifar10(), 0), second)
    check_cifar10(load(Cifar10(path=tmp_path / 'first.npz'), 0), first)
    monkeypatch.setenv(CIFAR10_VARIABLE, str(tmp_path / 'none'))
    with pytest.raises(ProjectError, match=f"HLS4ML_EXT_CIFAR10: there is no file or folder '{tmp_path}/none'. Download"):
        load(Cifar10(), 0)


def test_cifar10_without_network(no_keras):
    with pytest.raises(ProjectError) as error:
        load(Cifar10(), 0)
    message = str(error.value)
    assert message.startswith('CIFAR-10: Keras cannot download or read it (URL fetch failure on https://x: None -- ')
    for part in ('cs.toronto.edu/~kriz/cifar-10-python.tar.gz', 'data.path', CIFAR10_VARIABLE, 'x_train, y_train', '.npz'):
        assert part in message
    assert '\n' not in message


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            {'x_train': np.zeros((20, 28, 28, 1), np.uint8)},
            r'x_train has shape \(20, 28, 28, 1\) and type uint8. Use the images',
        ),
        ({'x_test': np.zeros((10, 32, 32, 3))}, r'x_test has shape \(10, 32, 32, 3\) and type float64'),
        ({'y_train': np.arange(20)}, 'y_train has a label 19; 10 classes have labels 0 to 9'),
        ({'y_train': np.arange(20) % 9}, '1 test images are of class 9, of which there is no training image'),
        ({'y_test': np.arange(9)}, r'y_test has shape \(9,\)'),
        ({'y_test': None}, 'has no array y_test; it has x_train, y_train, x_test'),
    ],
)
def test_damaged_cifar10(changes, message, tmp_path):
    arrays = {name: array for name, array in {**cifar10_arrays(), **changes}.items() if array is not None}
    np.savez(tmp_path / 'x.npz', **arrays)
    with pytest.raises(ProjectError, match=message) as error:
        load(Cifar10(path=tmp_path / 'x.npz'), 0)
    assert str(error.value).startswith(f"'{tmp_path}/x.npz'")


class Harmful:
    def __reduce__(self):
        return os.mkdir, ('harm',)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (pickle.dumps(Harmful()), 'it asks for posix.mkdir, which is no data'),
        (pickle.dumps({b'data': 1})[:-3], 'Download it again'),
        (pickle.dumps({b'data': np.zeros((1, 3072), np.uint8)}, 2), 'it asks for _codecs.encode'),
        (pickle.dumps({b'data': [1]}), "it has no b'labels'"),
        (pickle.dumps([]), 'Download it again'),
        (pickle.dumps({b'data': [[1]], b'labels': [1]}), r'data has shape \(1, 1\) and type int64'),
        (b'', 'Ran out of input'),
    ],
)  # fmt: skip
def test_damaged_batches_of_cifar10(content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_cifar10_folder(tmp_path / 'c', cifar10_arrays())
    (tmp_path / 'c' / 'data_batch_3').write_bytes(content)
    with pytest.raises(ProjectError, match=message) as error:
        load(Cifar10(path=tmp_path / 'c'), 0)
    assert str(error.value).startswith(f"'{tmp_path}/c/data_batch_3' is not a readable batch of CIFAR-10: ")
    assert not (tmp_path / 'harm').exists()


def test_missing_batches_of_cifar10(tmp_path):
    write_cifar10_folder(tmp_path, cifar10_arrays())
    for name in ('data_batch_2', 'test_batch'):
        (tmp_path / name).unlink()
    with pytest.raises(
        ProjectError, match=f"'{tmp_path}' has no data_batch_2, test_batch. Give the unpacked folder cifar-10-b"
    ):
        load(Cifar10(path=tmp_path), 0)


# ---------------------------------------------------------------------------------------------------------------------
# STL-10
# ---------------------------------------------------------------------------------------------------------------------


def write_stl10_folder(folder, train, test):
    """The official files of (images, labels from 0), pixel by pixel: channels, in them columns, in them rows."""
    for part, (images, labels) in (('train', train), ('test', test)):
        planes = [image[:, column, channel] for image in images for channel in range(3) for column in range(96)]
        (folder / f'{part}_X.bin').write_bytes(b''.join(plane.tobytes() for plane in planes))
        (folder / f'{part}_y.bin').write_bytes(bytes(int(label) + 1 for label in labels))


def stl10_images(n):
    return np.random.default_rng(n).integers(0, 256, (n, 96, 96, 3), dtype=np.uint8), np.arange(n) % 10


def test_stl10(tmp_path):
    train, test = stl10_images(12), stl10_images(3)
    write_stl10_folder(tmp_path, train, test)
    data = load(Stl10(path=tmp_path), 0)
    assert (data.x_train == train[0] / 128 - 1).all() and (data.y_train == train[1]).all()
    assert (data.x_test == test[0] / 128 - 1).all() and (data.y_test == test[1]).all()
    assert data.x_test.flags.c_contiguous and data.x_test.dtype == np.float32
    assert (data.n_classes, data.classes[2], data.classes[9]) == (10, 'car', 'truck')
    assert data.name == 'STL-10 (a part: 12 of 5000 training and 3 of 8000 test images)'


@pytest.mark.skipif(not (SHARED / 'stl10_test_first95.npz').is_file(), reason='no STL-10 images on this machine')
def test_real_stl10_images(tmp_path):
    with np.load(SHARED / 'stl10_test_first95.npz') as file:
        images, labels, index = file['images'], file['labels'], file['official_test_index']
    write_stl10_folder(tmp_path, (images, labels), (images, labels))
    data = load(Stl10(path=tmp_path), 0)
    assert (from_uint8(images) == data.x_test).all() and (from_uint8(images) == data.x_train).all()
    with np.load(SHARED / 'stl10_labels_only.npz') as file:
        assert (file['test'][index] == data.y_test).all()
        assert tuple(file['class_names']) == data.classes


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        (
            'train_y.bin',
            None,
            "' has no train_y.bin. Download the binary files from https://cs.stanford.edu/~acoates/stl10/",
        ),
        ('test_X.bin', bytes(27647), "/test_X.bin' has 27647 bytes, which is no multiple of an image's 27648. Download"),
        ('test_X.bin', b'', "/test_X.bin' has 0 bytes"),
        ('train_X.bin', bytes(27648), "/train_y.bin' has 12 labels, but '.*/train_X.bin' 1 images. Download it again"),
        ('test_y.bin', bytes([1, 2, 0]), "/test_y.bin' has labels from 0 to 2; those of STL-10 are 1 to 10"),
        ('train_y.bin', bytes([1, 11] * 6), 'has labels from 1 to 11'),
        ('train_y.bin', bytes([1] * 12), '2 test images are of class 1, 2, of which there is no training image'),
    ],
)
def test_damaged_stl10(name, content, message, tmp_path):
    write_stl10_folder(tmp_path, stl10_images(12), stl10_images(3))
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ProjectError, match=message):
        load(Stl10(path=tmp_path), 0)
