"""Random counts, and the slices in which records are drawn and written."""

from collections.abc import Iterator
from typing import Any

import numpy as np

Ints = np.ndarray[Any, np.dtype[np.int64]]
Words = np.ndarray[Any, np.dtype[np.object_]]
Rng = np.random.Generator
CHUNK = 20_000


def spread(rng: Rng, total: int, bins: int, least: int = 1) -> Ints:
    """Split ``total`` into ``bins`` random counts of at least ``least``."""
    return np.asarray(least + rng.multinomial(total - least * bins, np.full(bins, 1 / bins)))


def evenly(rng: Rng, total: int, bins: int) -> Ints:
    """Split ``total`` into ``bins`` counts that differ by one at most."""
    return np.asarray(rng.permutation(total // bins + (np.arange(bins) < total % bins)))


def ranks(counts: Ints) -> Ints:
    """0, 1, ..., n-1 for every count n, in one array."""
    return np.asarray(np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts))


def slices(size: int, step: int = CHUNK) -> Iterator[slice]:
    return (slice(start, min(start + step, size)) for start in range(0, size, step))
