"""Batches of augmented images, made on a thread of their own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import numpy as np

from hls4ml_ext.train.augment import Augmentation, augment

AHEAD = 4
"""Batches that are made before they are asked for."""


class Batches:
    """An endless stream of training batches that can start at any epoch.

    What is in a batch depends on the seed, the epoch and its number alone: a training that is resumed sees the images, in
    the order and with the augmentation, that it would have seen.

    Args:
        x: Images, (n, height, width, channels) float32.
        y: One-hot labels, (n, n_classes) float32.
        batch_size: Images of a batch. An incomplete last batch of an epoch is left out, so that all have one shape; with
            fewer than `batch_size` images there is one batch of all.
        augmentation: See :class:`~hls4ml_ext.train.augment.Augmentation`.
        seed: Numbers from which the order and the augmentation follow.
    """

    def __init__(self, x, y, batch_size: int, augmentation: Augmentation, seed: tuple[int, ...]):
        self.x, self.y = x, y
        self.batch_size = min(batch_size, len(x))
        self.augmentation = augmentation
        self.seed = tuple(seed)

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return len(self.x) // self.batch_size

    def batch(self, order: np.ndarray, epoch: int, step: int):
        """The images and labels of a step, given the epoch's :meth:`order`."""
        chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
        rng = np.random.default_rng([*self.seed, epoch, step])
        return augment(self.x[chosen], self.y[chosen], self.augmentation, rng)

    def order(self, epoch: int) -> np.ndarray:
        """The order of the images in an epoch."""
        return np.random.default_rng([*self.seed, epoch]).permutation(len(self.x))

    def stream(self, first_epoch: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches from the beginning of an epoch on, without end."""

        def produce():
            epoch = first_epoch
            while True:
                order = self.order(epoch)
                for step in range(self.steps):
                    yield self.batch(order, epoch, step)
                epoch += 1

        return prefetched(produce(), AHEAD)


def prefetched(items: Iterator, ahead: int) -> Iterator:
    """The items of an iterator, which a thread computes up to `ahead` in advance; it ends with the returned iterator.

    An exception of the iterator is raised to whoever waits for the next item.
    """
    ready: queue.Queue = queue.Queue(ahead)
    closed = threading.Event()

    def put(item) -> bool:
        while not closed.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                pass
        return False

    def work():
        try:
            for item in items:
                if not put((item, None)):
                    return
            put((None, StopIteration()))
        except BaseException as error:
            put((None, error))

    threading.Thread(target=work, name='batches', daemon=True).start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        closed.set()
