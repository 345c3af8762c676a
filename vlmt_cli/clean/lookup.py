"""Which of a table's names and addresses are among those of an index: the join behind a scan.

Nearly nothing of a large table is in an index. A fingerprint of each string's length and its last 16 bytes, by which
names of images differ, is looked up in a table of bits first; only what passes is compared as a whole, so that the
answer is exact. All that is built once for an index is built once, and not again for every batch.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_STEP = 1 << 14
"""Rows whose words stay in a core's cache."""
_SLOTS = 32
"""Slots a key, at least: at most one of so many other strings passes by chance."""
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
        numbers = [self._numbers.get(text, -1) for text in column.take(pa.array(passed)).to_pylist()]
        number = np.array(numbers, np.int64)
        rows, number = passed[number >= 0], number[number >= 0]
        first, positions = self._positions
        counts = first[number + 1] - first[number]
        at = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(rows, counts), positions[np.repeat(first[number], counts) + at]

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
        mixed = _word(words, ends, lengths, 0) * _MIX[0]
        mixed ^= _word(words, ends, lengths, 8) * _MIX[1]
        mixed ^= lengths.view(np.uint64) * _MIX[2]
        mixed ^= mixed >> np.uint64(32)
        mixed *= _MIX[3]
        slots[start : start + len(ends)] = mixed >> np.uint64(64 - bits)
    return slots


def _word(
    words: NDArray[np.uint64], ends: NDArray[np.int64], lengths: NDArray[np.int64], back: int
) -> NDArray[np.uint64]:
    """Return the 8 bytes that end ``back`` bytes before each string's end; those before its beginning are zero."""
    starts = ends - (back + 8)
    word = words[np.maximum(starts, 0)]
    short = np.flatnonzero(lengths < back + 8)
    if len(short):
        late = -np.minimum(starts[short], 0)  # bytes that were read too far on, at the beginning of all strings
        foreign = np.minimum(8 - (lengths[short] - back), 8)
        # numpy shifts by 64 bits and more to zero
        moved = word[short] << (8 * late).astype(np.uint64)
        word[short] = moved >> (8 * foreign).astype(np.uint64)
    return word
