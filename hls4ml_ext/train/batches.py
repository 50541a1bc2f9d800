"""Batches of augmented images, made on a thread of their own."""

from __future__ import annotations

import itertools
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
        for epoch in itertools.count(first_epoch):
            order = self.order(epoch)
            for step in range(self.steps):
                yield self.batch(order, epoch, step)


class Prefetched:
    """The items of an iterator, which a thread computes in advance.

    A context manager: the thread ends with the context, or with the last item. An exception of the iterator is raised to
    whoever waits for the next item.

    Args:
        items: The iterator.
        ahead: How many items are computed before they are asked for.

    Example:
        >>> with Prefetched(iter('abc')) as items:
        ...     list(items)
        ['a', 'b', 'c']
    """

    PATIENCE = 0.1
    """Seconds after which a thread that waits looks whether it is over."""

    def __init__(self, items: Iterator, ahead: int = AHEAD):
        self._items = items
        self._ready: queue.Queue = queue.Queue(ahead)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name='batches', daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """Ends the thread, after the item that it is at. There are no items any more."""
        self._closed.set()
        self._thread.join()

    def __iter__(self):
        return self

    def __next__(self):
        while not self._closed.is_set():
            try:
                item, error = self._ready.get(timeout=self.PATIENCE)
            except queue.Empty:
                continue
            if error is not None:
                self.close()
                raise error
            return item
        raise StopIteration

    def _put(self, item, error=None):
        while not self._closed.is_set():
            try:
                return self._ready.put((item, error), timeout=self.PATIENCE)
            except queue.Full:
                continue

    def _work(self):
        try:
            for item in self._items:
                self._put(item)
                if self._closed.is_set():
                    return
            self._put(None, StopIteration())
        except BaseException as error:
            self._put(None, error)
