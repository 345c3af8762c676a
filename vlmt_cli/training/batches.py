"""Which examples make up a batch, and batches made ahead of time.

The k-th batch of a task is a function of the seed, the task and k alone: it does not matter how many processes share
it, nor whether the run was interrupted before it.
"""

import time
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Made = TypeVar("Made")


class Lengths(Protocol):
    """Lengths of N texts."""

    def __len__(self) -> int: ...

    def __getitem__(self, which: NDArray[np.integer]) -> NDArray[np.integer]:
        """Return the lengths of some."""


class BatchOrder:
    """Epoch after epoch of shuffled batches of examples of like lengths, so that little is padding.

    Examples are shuffled, sorted by length within each window of batches, and cut into batches, which are shuffled.

    Args:
        lengths: of each example's text.
        batch_size: examples a batch, at most N.
        seed: of the run.
        name: the task's.
        window: batches among which examples of like lengths come together; 1 leaves them as they are drawn.
    """

    def __init__(self, lengths: Lengths, batch_size: int, seed: int, name: str, window: int = 32) -> None:
        self.lengths, self.batch_size, self.window = lengths, batch_size, window
        self.epoch_length = max(1, len(lengths) // batch_size)
        self.seed = (seed, zlib.crc32(name.encode()))
        self._last = (-1, np.empty((0, batch_size), np.int32))

    def rows(self, number: int) -> NDArray[np.int64]:
        """Return the examples of batch ``number``, counted from 0."""
        epoch, position = divmod(number, self.epoch_length)
        last = self._last  # in one piece, as another thread may be at another epoch
        if last[0] != epoch:
            last = self._last = (epoch, self._shuffle(epoch))
        rows: NDArray[np.int64] = last[1][position].astype(np.int64)
        return rows

    def generator(self, number: int) -> np.random.Generator:
        """Return what batch ``number`` draws with."""
        return np.random.default_rng((*self.seed, 1, number))

    def _shuffle(self, epoch: int) -> NDArray[np.int32]:
        rng = np.random.default_rng((*self.seed, 0, epoch))
        order = np.arange(len(self.lengths), dtype=np.int32)  # every process keeps one of each task
        rng.shuffle(order)
        order = order[: self.epoch_length * self.batch_size]
        pool = self.window * self.batch_size
        for start in range(0, len(order), pool):
            part = order[start : start + pool]
            order[start : start + pool] = part[np.argsort(self.lengths[part], kind="stable")]
        batches = order.reshape(self.epoch_length, self.batch_size)
        return batches[rng.permutation(self.epoch_length)]


class Prefetcher(Generic[Made]):
    """Prefetch ``make(n)``, ``make(n + 1)``, ... one step ahead in a thread.

    Attributes:
        number: of the next one.
        waited: seconds that were spent waiting for them.
    """

    def __init__(self, make: Callable[[int], Made], first: int, pool: ThreadPoolExecutor) -> None:
        self.make, self.number, self.pool = make, first, pool
        self.waited = 0.0
        self._next: Future[Made] | None = None

    def take(self) -> Made:
        """Return the next one."""
        began = time.perf_counter()
        made = (self._next or self.pool.submit(self.make, self.number)).result()
        self.waited += time.perf_counter() - began
        self.number += 1
        self._next = self.pool.submit(self.make, self.number)
        return made
