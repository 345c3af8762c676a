"""Image files that show the same picture under ids that do not match.

Two questions are asked of every two files. *Pixels*: are they equal, pixel for pixel, once decoded? *Perceptual*: do
they look the same (``clean.looks``), as they are, mirrored, turned or without a border, that is, do their 256-bit
hashes differ in few bits, and their details not in many? ``image_hashes`` says what the default distances catch.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import UsageError
from vlmt_cli.clean.look_search import NearLooks, look_index
from vlmt_cli.clean.looks import WORDS

PAIRS = pa.schema(
    [
        ("image_a", pa.string()),
        ("image_b", pa.string()),
        ("path_a", pa.string()),
        ("path_b", pa.string()),
        ("distance", pa.int32()),
        ("how", pa.string()),
    ]
)

WIDEST = 64
"""Bits of the hash; above it different photos begin."""
MOST_DETAIL = 84
"""Bits of the detail in which two versions of a picture differ at most; different photos differ in about 128."""


class _Near(NamedTuple):
    """Pairs of rows with a < b, and their distance in bits."""

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    distance: NDArray[np.int64]


def find_pairs(hashes: pa.Table, same: int, borderline: int, apart: Collection[str] = ()) -> pa.Table:
    """Find the files that show the same picture under different image keys.

    Files with equal pixels, and files with equal looks, are represented by the first
    of them (by image key and path): each other one is paired with that one only, and
    only that one is compared with the rest. So ten thousand copies of a placeholder
    give ten thousand pairs, not fifty million; any two files within ``same`` are
    joined, if not by a pair then by several or by an equal key.

    Args:
        hashes: a table of ``HASHES``.
        same: bits in which two hashes of the same picture differ at most.
        borderline: bits up to which a person should judge; at most 64.
        apart: image keys whose files are compared with all others, as none of them may stand for them: those of which
            a person has judged a pair to be different.

    Returns:
        A table of ``PAIRS``, ``how`` being pixels, perceptual or borderline, ``distance``
        in bits and 0 for pixels, ``image_a < image_b``; pixels first, then by distance.

    Raises:
        UsageError: not 0 <= same <= borderline <= 64.
    """
    check_distances(same, borderline)
    hashes = hashes.sort_by([("image", "ascending"), ("path", "ascending")])
    everything = np.arange(len(hashes))
    first = _first_with_equal(hashes["pixels"])
    copies = everything != first

    looks = _Looks(hashes["looks"])
    hashed = np.flatnonzero(~copies & looks.has_any)
    twin = _first_with_equal(pc.list_element(hashes["looks"].take(hashed), 0))
    twins = np.arange(len(hashed)) != twin
    near = looks.near(hashed[~twins], hashed[~twins], borderline)
    extra = _against_all(
        hashes, looks, pc.is_in(hashes["image"], value_set=pa.array(sorted(apart), pa.string())), borderline
    )
    a = np.concatenate([first[copies], hashed[twin[twins]], near.a, extra.a])
    b = np.concatenate([everything[copies], hashed[twins], near.b, extra.b])
    distance = np.concatenate([np.zeros(copies.sum() + twins.sum(), np.int64), near.distance, extra.distance])
    equal = pc.equal(hashes["pixels"].take(a), hashes["pixels"].take(b)).to_numpy()
    how = np.where(equal, "pixels", np.where(distance <= same, "perceptual", "borderline")).astype(object)
    pairs = pa.table(
        [
            *(hashes[name].take(rows) for name in ("image", "path") for rows in (a, b)),
            pa.array(distance, pa.int32()),
            pa.array(how, pa.string()),
        ],
        schema=PAIRS,
    )
    pairs = pairs.filter(pc.not_equal(pairs["image_a"], pairs["image_b"]))
    if len(extra.a):  # a pair of two of these was found twice, if not three times
        pairs = pairs.group_by(PAIRS.names, use_threads=False).aggregate([])
    rank = pc.index_in(pairs["how"], pa.array(["pixels", "perceptual", "borderline"]))
    order = [("rank", "ascending"), ("distance", "ascending"), *((name, "ascending") for name in PAIRS.names[:4])]
    return pairs.append_column("rank", rank).sort_by(order).drop_columns("rank")


def check_distances(same: int, borderline: int) -> None:
    """Raise a UsageError unless 0 <= same <= borderline <= 64."""
    if not 0 <= same <= borderline <= WIDEST:
        raise UsageError(
            f"distances of {same} (same) and {borderline} (borderline) bits do not go together",
            todo=f"keep 0 <= same <= borderline <= {WIDEST}: different photos differ in about 128 of 256 bits",
        )


class _Looks:
    """The looks of N files.

    Attributes:
        has_any: N, whether a file has a look.
    """

    def __init__(self, column: pa.ChunkedArray) -> None:
        lists = column.combine_chunks()
        self._words = as_words(lists.flatten())
        self._owner = pc.list_parent_indices(lists).to_numpy()
        self.has_any = pc.list_value_length(lists).to_numpy() > 0

    def near(self, rows: NDArray[np.int64], others: NDArray[np.int64], borderline: int) -> _Near:
        """Pair some files with others that look alike, each pair once, at the least distance of any of their looks."""
        ours, theirs = np.flatnonzero(np.isin(self._owner, rows)), np.flatnonzero(np.isin(self._owner, others))
        found = alike(look_index(self._words[theirs], borderline).near(self._words[ours]))
        a, b = self._owner[ours[found.query]], self._owner[theirs[found.row]]
        return _once(np.minimum(a, b), np.maximum(a, b), found.distance)


def alike(near: NearLooks) -> NearLooks:
    """Leave out looks whose hashes are near but whose details are not: those of different pictures."""
    kept = near.detail <= MOST_DETAIL
    return NearLooks(*(column[kept] for column in near))


def as_words(looks: pa.Array) -> NDArray[np.uint64]:
    """Return L looks of 64 bytes as L x 8 words."""
    return np.frombuffer(b"".join(looks.to_pylist()), np.uint64).reshape(-1, WORDS)


def _once(a: NDArray[np.int64], b: NDArray[np.int64], distance: NDArray[np.int64]) -> _Near:
    """Keep of each pair of different rows the least distance."""
    order = np.lexsort((distance, b, a))
    a, b, distance = a[order], b[order], distance[order]
    kept = (a != b) & ((np.diff(a, prepend=-1) != 0) | (np.diff(b, prepend=-1) != 0))
    return _Near(a[kept], b[kept], distance[kept])


def _against_all(hashes: pa.Table, looks: _Looks, chosen: pa.ChunkedArray, borderline: int) -> _Near:
    """Pair each chosen row with all rows that have its pixels, or look like it."""
    rows = np.flatnonzero(chosen)
    if not len(rows):
        return _Near(*(np.empty(0, np.int64) for _ in range(3)))
    pixels = hashes["pixels"].combine_chunks().dictionary_encode().indices.to_numpy()
    equal = [(row, other) for row in rows.tolist() for other in np.flatnonzero(pixels == pixels[row]).tolist()]
    mine, others = np.array(equal, np.int64).T
    near = looks.near(rows, np.arange(len(hashes)), borderline)
    return _once(
        np.concatenate([np.minimum(mine, others), near.a]),
        np.concatenate([np.maximum(mine, others), near.b]),
        np.concatenate([np.zeros(len(mine), np.int64), near.distance]),
    )


def _first_with_equal(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """For each of N values the first row that has the same."""
    codes = column.combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    _, first, which = np.unique(codes, return_index=True, return_inverse=True)
    return first[which]
