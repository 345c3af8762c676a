"""Which looks of a pool are near those of an index, mirrored and turned ones included.

The index is small and known beforehand, the pool comes in batches: memory depends on the index and the batch alone.
Multi-index hashing (Norouzi, Punjani and Fleet, CVPR 2012) finds all pairs within a distance without comparing all:
the hash is cut into m bands. With distance = m * r + rest, two hashes within it differ in at most r bits in one of the
first rest + 1 bands, or in at most r - 1 in one of the others. No band crosses two words of a look (``clean.looks``),
so that mirroring keeps a band or inverts all of it, and the inverted one is entered too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmt_cli.clean.looks import HASH_WORDS, WORDS, distances, exchanged

_AT_ONCE = 1 << 18
"""Candidates, or pairs of a query and a value of a band, that are held at once."""
# Nanoseconds: to ask whether a band's value occurs, and to compare a candidate.
_ASKING, _COMPARING, _FLAT = 3.0, 30.0, 15.0


class NearLooks(NamedTuple):
    """M pairs of a look of the pool and one of the index: their numbers, and the bits in which they differ."""

    query: NDArray[np.int64]
    row: NDArray[np.int64]
    distance: NDArray[np.int64]
    detail: NDArray[np.int64]


class _Band(NamedTuple):
    """One band: which bits of which word, in how many of them a pair may differ, and the rows by their value."""

    word: int
    first: int
    width: int
    masks: NDArray[np.int64]
    occurs: NDArray[np.bool_]
    starts: NDArray[np.int32]
    rows: NDArray[np.int32]

    def rows_of(
        self, query: NDArray[np.int64], value: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Pair each query with the rows that have a value, about ``_AT_ONCE`` pairs at a time."""
        begin = self.starts.take(value)
        counts = self.starts.take(value + 1) - begin
        ends = np.cumsum(counts, dtype=np.int64)
        low = 0
        while low < len(query):
            done = ends[low - 1] if low else 0
            high = max(low + 1, int(np.searchsorted(ends, done + _AT_ONCE, "right")))
            piece = counts[low:high]
            at = np.repeat(begin[low:high] - (ends[low:high] - piece - done), piece)
            at += np.arange(len(at))
            yield np.repeat(query[low:high], piece), self.rows.take(at).astype(np.int64)
            low = high


@dataclass(frozen=True)
class LookIndex:
    """Looks made ready to be searched.

    Attributes:
        size: K, how many.
        distance: up to which bits are found.
    """

    size: int
    distance: int
    _looks: NDArray[np.uint64]
    _columns: NDArray[np.uint64]
    _bands: tuple[_Band, ...]

    def near(self, looks: NDArray[np.uint64]) -> NearLooks:
        """Find all looks of the index near those of a pool.

        Args:
            looks: Q x 8.

        Returns:
            Each pair once, with the distance of its best mirroring or turn, ordered by query and then by row.
        """
        columns = np.ascontiguousarray(looks[:, :2].T)
        parts = [_NONE]
        for query, row in self._candidates(looks):
            # The first two words sort out nearly all.
            first, second = (
                np.bitwise_count(columns[word].take(query) ^ self._columns[word].take(row)) for word in (0, 1)
            )
            kept = np.flatnonzero(first + np.minimum(second, 64 - second) <= self.distance)
            query, row = query.take(kept), row.take(kept)
            distance, detail = distances(looks[query], self._looks[row])
            near = distance <= self.distance
            parts.append(NearLooks(query[near], row[near] % max(1, self.size), distance[near], detail[near]))
        joined = NearLooks(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        order = np.lexsort((joined.detail, joined.distance, joined.row, joined.query))
        joined = NearLooks(*(column[order] for column in joined))
        pair = joined.query * max(1, self.size) + joined.row
        is_first = np.diff(pair, prepend=-1) != 0
        return NearLooks(*(column[is_first] for column in joined))

    def _candidates(self, looks: NDArray[np.uint64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        step = max(1, _AT_ONCE // max(1, len(self._looks)))
        for begin in range(0, 0 if self._bands else len(looks), step):
            query, row = np.divmod(np.arange(len(looks[begin : begin + step]) * len(self._looks)), len(self._looks))
            yield query + begin, row
        for band in self._bands:
            values = _values(looks, band.word, band.first, band.width)
            step = max(1, _AT_ONCE // len(band.masks))
            for begin in range(0, len(looks), step):
                flipped = (values[begin : begin + step, None] ^ band.masks).ravel()
                known = np.flatnonzero(band.occurs.take(flipped))
                value = flipped.take(known)
                yield from band.rows_of(known // len(band.masks) + begin, value)


_NONE = NearLooks(*(np.empty(0, np.int64) for _ in range(4)))


def look_index(looks: NDArray[np.uint64], distance: int) -> LookIndex:
    """Make K looks ready to be searched, with all their mirrored and turned versions.

    Args:
        looks: K x 8.
        distance: bits of the hash up to which looks are found, 0 to 64.
    """
    looks = looks.reshape(-1, WORDS)
    both = np.concatenate([looks, exchanged(looks)])
    parts = _plan(len(both), distance)
    bands: list[_Band] = []
    for number in range(HASH_WORDS * parts):
        word, part = number % HASH_WORDS, number // HASH_WORDS
        first, end = 64 * part // parts, 64 * (part + 1) // parts
        reach = _reach(distance, HASH_WORDS * parts, number)
        if reach >= 0:
            bands.append(_band(both, word, first, end - first, reach))
    return LookIndex(len(looks), distance, both, np.ascontiguousarray(both[:, :2].T), tuple(bands))


def _plan(rows: int, distance: int) -> int:
    """Choose into how many bands each word is cut; 0 where comparing all is the cheapest."""
    costs = {0: _FLAT * rows}
    for parts in range(3, 9):
        width = 64 // parts
        reaches = [_reach(distance, HASH_WORDS * parts, number) for number in range(HASH_WORDS * parts)]
        asked = sum(comb(width, flips) for reach in reaches for flips in range(reach + 1))
        costs[parts] = asked * (_ASKING + _COMPARING * 1.75 * rows / 2**width)
    return min(costs, key=costs.__getitem__)


def _reach(distance: int, bands: int, number: int) -> int:
    r, rest = divmod(distance, bands)
    return r if number <= rest else r - 1


def _band(looks: NDArray[np.uint64], word: int, first: int, width: int, reach: int) -> _Band:
    values = _values(looks, word, first, width)
    rows = np.arange(len(looks), dtype=np.int32)
    if word:  # mirroring inverts it
        values, rows = np.concatenate([values, values ^ ((1 << width) - 1)]), np.tile(rows, 2)
    order = np.argsort(values, kind="stable")
    counts = np.bincount(values, minlength=1 << width)
    flips = (sum(1 << bit for bit in bits) for n in range(reach + 1) for bits in combinations(range(width), n))
    masks = np.sort(np.fromiter(flips, np.int64))  # sorted, neighbours in memory are asked together
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return _Band(word, first, width, masks, counts > 0, starts, rows[order])


_SHUFFLED = np.random.default_rng(0).permutation(64).astype(np.uint64)


def _values(looks: NDArray[np.uint64], word: int, first: int, width: int) -> NDArray[np.int64]:
    """Return a band of N looks as numbers; its bits are mixed, for neighbouring frequencies go together."""
    column, values = looks[:, word], np.zeros(len(looks), np.int64)
    for bit in _SHUFFLED[first : first + width]:
        values = values << 1 | (column >> bit & np.uint64(1)).astype(np.int64)
    return values
