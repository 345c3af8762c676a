"""Which of a table's names and addresses are among those of an index: the join behind a scan.

Nearly nothing of a large table is in an index. A fingerprint of each string's length and of 24 bytes at its end, its
middle and between, is looked up in a table of slots first; only what passes is compared as a whole, so that the answer
is exact. All that is built once for an index is built once, and not again for every batch.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_STEP = 1 << 14
"""Rows whose words stay in a core's cache."""
_SLOTS = 32
"""Slots a key, at least: at most one of so many other strings passes by chance."""
_FEW = 8
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], np.uint64)


@dataclass(frozen=True)
class Lookup:
    """Names and addresses to look for.

    Args:
        values: K strings in any order, some of them repeatedly: the ``alias`` column of ``aliases_of``.
    """

    values: pa.Array

    def matches(self, column: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return M pairs of rows of a column and positions in ``values`` that hold the same string.

        Args:
            column: N strings; null equals nothing.

        Returns:
            M rows, ascending, and M positions, ascending for each row; a row whose string stands in ``values``
            repeatedly is given as often.
        """
        column = column.cast(pa.string())
        passed = np.flatnonzero(self._slots[_fingerprints(column, self._bits)])
        number = self._number(column.take(pa.array(passed)))
        rows, number = passed[number >= 0], number[number >= 0]
        first, positions = self._positions
        counts = first[number + 1] - first[number]
        at = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(rows, counts), positions[np.repeat(first[number], counts) + at]

    def _number(self, column: pa.Array) -> NDArray[np.int64]:
        """Return for N strings which distinct value each one is; -1 for none."""
        distinct = self._encoded.dictionary
        if _FEW * len(column) > len(distinct):  # the kernel hashes all values anew, which pays off for many strings
            number = pc.index_in(column, value_set=distinct, skip_nulls=True).fill_null(-1)
            return np.asarray(number.to_numpy(), np.int64)
        return np.array([self._numbers.get(text, -1) for text in column.to_pylist()], np.int64)

    @cached_property
    def _numbers(self) -> dict[str | None, int]:
        """The distinct values, numbered."""
        return {text: number for number, text in enumerate(self._encoded.dictionary.to_pylist())}

    @cached_property
    def _positions(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the positions of each distinct value begin, and all positions."""
        codes = self._encoded.indices.fill_null(-1).to_numpy()
        order = np.argsort(codes, kind="stable")
        return np.searchsorted(codes[order], np.arange(len(self._encoded.dictionary) + 1)), order

    @cached_property
    def _encoded(self) -> pa.DictionaryArray:
        values = self.values.combine_chunks() if isinstance(self.values, pa.ChunkedArray) else self.values
        return values.cast(pa.string()).dictionary_encode()

    @cached_property
    def _bits(self) -> int:
        return max(10, (_SLOTS * len(self._encoded.dictionary)).bit_length())

    @cached_property
    def _slots(self) -> NDArray[np.bool_]:
        slots = np.zeros(1 << self._bits, bool)
        slots[_fingerprints(self._encoded.dictionary, self._bits)] = True
        return slots


def _fingerprints(column: pa.Array, bits: int) -> NDArray[np.uint64]:
    """Return for N strings N numbers of some bits, equal for equal strings."""
    slots = np.empty(len(column), np.uint64)
    if not len(column):
        return slots
    _, offsets, data = column.buffers()
    content = data if data is not None and data.size >= 8 else (data.to_pybytes() if data else b"").ljust(8, b"\0")
    size = len(content)
    words: NDArray[np.uint64] = np.ndarray((size - 7,), "<u8", content, strides=(1,))  # the 8 bytes from each byte on
    bounds = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    for start in range(0, len(column), _STEP):
        ends = bounds[start + 1 : start + _STEP + 1].astype(np.int64)
        lengths = ends - bounds[start : start + len(ends)]
        before = np.maximum(lengths - 8, 0)
        last = ends - 8
        mixed = lengths.view(np.uint64) * _MIX[0]
        for back, factor in ((0, _MIX[1]), (before >> 2, _MIX[2]), (before >> 1, _MIX[3])):
            word = words[np.maximum(last - back, 0)]
            mixed ^= word * factor
        if len(short := np.flatnonzero(lengths < 8)):
            mixed[short] = _short(words, last[short], lengths[short]) * _MIX[0]
        mixed ^= mixed >> np.uint64(32)
        mixed *= _MIX[3]
        slots[start : start + len(ends)] = mixed >> np.uint64(64 - bits)
    return slots


def _short(words: NDArray[np.uint64], last: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return strings of less than 8 bytes as numbers; ``last`` is where the 8 bytes begin that end as they do."""
    late = -np.minimum(last, 0)  # at the beginning of the column those 8 bytes are not all there
    word = words[np.maximum(last, 0)] << (8 * late).astype(np.uint64)
    return word >> (8 * (8 - lengths)).astype(np.uint64)  # numpy shifts by 64 bits to zero
