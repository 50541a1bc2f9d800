"""Augmentation, and the batches that a thread makes of it."""

import threading

import numpy as np
import pytest

from hls4ml_ext.train.augment import Augmentation, augment
from hls4ml_ext.train.batches import Batches, Prefetched


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (64, 8, 6, 3)).astype(np.float32), np.eye(4, dtype=np.float32)[rng.integers(0, 4, 64)]


def test_nothing_unless_asked_for(images):
    x, y = augment(*images, Augmentation(), np.random.default_rng(0))
    assert (x == images[0]).all() and (y == images[1]).all()
    assert x is not images[0]


def test_crop_moves_windows_of_the_reflected_image(images):
    x, _ = augment(*images, Augmentation(crop=2), np.random.default_rng(1))
    padded = np.pad(images[0], ((0, 0), (2, 2), (2, 2), (0, 0)), mode='reflect')
    places = set()
    for image, source in zip(x, padded):
        found = [(r, c) for r in range(5) for c in range(5) if (source[r : r + 8, c : c + 6] == image).all()]
        assert found
        places.update(found)
    assert len(places) > 15  # of 25


def test_flip_mirrors_about_half(images):
    x, _ = augment(*images, Augmentation(flip=True), np.random.default_rng(1))
    same = (x == images[0]).all((1, 2, 3))
    assert (x[~same] == images[0][~same, :, ::-1]).all()
    assert 16 < same.sum() < 48


def test_cutout_hides_a_square(images):
    x, _ = augment(*images, Augmentation(cutout=4), np.random.default_rng(1))
    hidden = (x != images[0]).any(-1)
    assert (x[hidden] == 0).all()
    assert hidden.sum((1, 2)).max() == 16
    for mask in hidden:
        rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask.sum() == len(rows) * len(cols) and len(rows) <= 4 and len(cols) <= 4


def test_mixup_blends_images_and_labels_alike(images):
    x, y = augment(*images, Augmentation(mixup=1.0), np.random.default_rng(3))
    np.testing.assert_allclose(y.sum(1), 1, rtol=1e-6)
    share = y[(y > 0).sum(1) == 2].max()
    assert 0.5 <= share < 1
    assert not (x == images[0]).all()


def test_batches_depend_on_seed_epoch_and_step_alone(images):
    settings = Augmentation(crop=1, flip=True, cutout=2)
    batches = Batches(*images, 20, settings, (7, 0))
    assert batches.steps == 3  # the incomplete last batch is left out
    stream = batches.stream()
    straight = [next(stream) for _ in range(9)]
    resumed = Batches(*images, 20, settings, (7, 0)).stream(first_epoch=2)
    for (x, y), (again, labels) in zip(straight[6:], resumed):
        assert (x == again).all() and (y == labels).all()
    assert not (straight[0][0] == straight[3][0]).all()
    other = next(Batches(*images, 20, settings, (8, 0)).stream())
    assert not (straight[0][0] == other[0]).all()


def test_an_epoch_shows_each_image_once(images):
    x = np.arange(64, dtype=np.float32).reshape(64, 1, 1, 1)
    batches = Batches(x, images[1], 16, Augmentation(), (0,))
    stream = batches.stream()
    seen = np.concatenate([next(stream)[0].ravel() for _ in range(batches.steps)])
    assert sorted(seen) == list(range(64))
    assert list(seen) != list(range(64))


def test_fewer_images_than_a_batch(images):
    batches = Batches(images[0][:5], images[1][:5], 16, Augmentation(), (0,))
    assert batches.steps == 1
    assert len(next(batches.stream())[0]) == 5


def test_batches_are_made_on_another_thread_that_ends_with_its_context():
    threads = set()

    def produce():
        for i in range(1000):
            threads.add(threading.current_thread())
            yield i

    with Prefetched(produce(), 2) as stream:
        assert [next(stream) for _ in range(3)] == [0, 1, 2]
        (thread,) = threads
        assert thread is not threading.current_thread() and thread.is_alive()
        assert thread.name == 'batches'
    assert not thread.is_alive()
    with pytest.raises(StopIteration):
        next(stream)


def test_an_error_of_the_thread_reaches_who_waits():
    def produce():
        yield 1
        raise OSError('disk on fire')

    with Prefetched(produce(), 2) as stream:
        assert next(stream) == 1
        with pytest.raises(OSError, match='disk on fire'):
            next(stream)
    with Prefetched(iter([1, 2]), 2) as stream:
        assert list(stream) == [1, 2]
        assert list(stream) == []


def test_one_that_waits_when_it_is_closed_gets_no_more():
    """As a framework's own thread may."""
    forever = threading.Event()

    def produce():
        yield 1
        forever.wait()

    got = []
    stream = Prefetched(produce(), 2)
    waiting = threading.Thread(target=lambda: got.extend(stream))
    waiting.start()
    closing = threading.Thread(target=stream.close)
    closing.start()
    waiting.join(10)
    assert not waiting.is_alive() and got in ([], [1])
    forever.set()
    closing.join(10)
    assert not closing.is_alive()
