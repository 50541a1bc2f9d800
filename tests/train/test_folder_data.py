"""Folders of images."""

import shutil

import numpy as np
import pytest
from PIL import Image

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.train.data import load
from hls4ml_ext.train.images import read_image
from hls4ml_ext.train.sources import Folder


def write_images(folder, classes, n=5, size=(6, 4), suffix='png', mode='RGB') -> dict[str, np.ndarray]:
    """A folder for each class with `n` images of (height, width): path -> pixels."""
    rng = np.random.default_rng(len(classes))
    images = {}
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            pixels = rng.integers(0, 256, (*size, 3) if mode == 'RGB' else size, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f'{i}.{suffix}')
            images[f'{name}/{i}'] = pixels
    return images


def test_folder_with_train_and_test(tmp_path):
    train = write_images(tmp_path / 'train', ['owl', 'cat', 'ant'])
    test = write_images(tmp_path / 'test', ['owl', 'cat'], n=2)
    (tmp_path / 'test' / 'cat' / 'notes.txt').write_text('no image')
    (tmp_path / 'test' / 'cat' / '.hidden.png').write_text('no image')
    (tmp_path / 'test' / '.cache').mkdir()
    data = load(Folder(path=tmp_path), 0)
    assert (data.name, data.n_classes, data.classes) == (tmp_path.name, 3, ('ant', 'cat', 'owl'))
    assert data.y_train.tolist() == [0, 1, 2] * 5
    assert data.y_test.tolist() == [1, 2, 1, 2]  # classes take turns
    assert (data.x_train[4] == train['cat/1'] / 128 - 1).all()
    assert (data.x_test[3] == test['owl/1'] / 128 - 1).all()


def test_folder_is_split_with_the_seed(tmp_path):
    images = write_images(tmp_path, ['a', 'b'], n=8)
    a, b, c = (load(Folder(path=tmp_path, test_fraction=0.25), seed) for seed in (0, 0, 1))
    assert (len(a.x_train), np.bincount(a.y_test).tolist()) == (12, [2, 2])
    assert (a.x_test == b.x_test).all() and not (a.x_test == c.x_test).all()
    named = {(x / 128 - 1).astype(np.float32).tobytes(): name[0] for name, x in images.items()}
    assert [named[x.tobytes()] for x in a.x_test] == ['ab'[y] for y in a.y_test]


@pytest.mark.parametrize('suffix', ['png', 'JPG', 'jpeg', 'bmp', 'gif'])
def test_folder_of_each_format(suffix, tmp_path):
    for name, grey in (('a', 40), ('b', 200)):
        (tmp_path / name).mkdir()
        for i in range(5):
            Image.new('RGB', (4, 6), (grey,) * 3).save(tmp_path / name / f'{i}.{suffix}')
    for channels in (1, 3):
        data = load(Folder(path=tmp_path, channels=channels), 0)
        assert data.image_shape == (6, 4, channels)
        assert (data.x_train == np.where(data.y_train, 200, 40)[:, None, None, None] / 128 - 1).all()


def test_folder_with_a_size(tmp_path):
    write_images(tmp_path, ['a'], size=(6, 4))
    write_images(tmp_path, ['b'], size=(9, 9), mode='L')
    assert load(Folder(path=tmp_path, size=8), 0).image_shape == (8, 8, 3)
    assert load(Folder(path=tmp_path, size=[5, 7], channels=1), 0).image_shape == (5, 7, 1)
    with pytest.raises(
        ProjectError, match=r"'.*/b/0.png' has 9x9 pixels \(height x width\), but '.*/a/0.png' 6x4. Set data.size"
    ):
        load(Folder(path=tmp_path), 0)


def test_photos_are_upright(tmp_path):
    image = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(6, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    image.save(tmp_path / 'x.png', exif=exif)
    assert (read_image(tmp_path / 'x.png', 1, None)[..., 0] == np.rot90(np.asarray(image), -1)).all()


def test_a_class_may_be_called_train(tmp_path):
    write_images(tmp_path, ['bus', 'train'])
    assert load(Folder(path=tmp_path), 0).classes == ('bus', 'train')


def damage(path, content: bytes = b'no image'):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda d: damage(d / 'train/a/3.png'), "'{d}/train/a/3.png' is not a readable image: "),
        (
            lambda d: damage(d / 'train/a/3.png', (d / 'train/a/3.png').read_bytes()[:-30]),
            "'{d}/train/a/3.png' is not a readable",
        ),
        (
            lambda d: Image.new('I;16', (4, 6)).save(d / 'test/a/0.png'),
            'a/0.png.* its numbers have more than 8 bits. Replace',
        ),
        (lambda d: write_images(d / 'test', ['b'], size=(5, 4)), r'x_train has images of|has 5x4 pixels'),
        (
            lambda d: write_images(d / 'test', ['c']),
            "'{d}/test' has a class c, which '{d}/train' has not. Add training images",
        ),
        (lambda d: (d / 'train' / 'c').mkdir(), r"'{d}/train/c' has no images \(.png, .*\). Add some, or remove the folder"),
        (lambda d: shutil.rmtree(d / 'test'), "'{d}' has a folder train, but no test. Add '{d}/test', or remove both"),
        (
            lambda d: (shutil.rmtree(d / 'test'), shutil.rmtree(d / 'train')),
            "'{d}' has no folders. Give a folder that has a folder",
        ),
    ],
)
def test_damaged_folders(change, message, tmp_path):
    for part in ('train', 'test'):
        write_images(tmp_path / part, ['a', 'b'])
    change(tmp_path)
    with pytest.raises(ProjectError, match=message.replace('{d}', str(tmp_path))):
        load(Folder(path=tmp_path), 0)
