"""Image files that show the same picture under ids that do not match.

Two questions are asked of every two files. *Pixels*: are they equal, pixel for pixel,
once decoded? *Perceptual*: do they look the same, that is, do their 256-bit perceptual
hashes differ in few bits? ``image_hashes`` says what the default distances catch.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import UsageError

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


_WIDEST = 64  # bits; above it different photos begin
_AT_ONCE = 1 << 20  # candidates held in memory


class Near(NamedTuple):
    """Pairs of hashes: row numbers with a < b, their distance in bits, and how many pairs were looked at."""

    a: NDArray[np.int32]
    b: NDArray[np.int32]
    distance: NDArray[np.int32]
    examined: int


def find_pairs(hashes: pa.Table, same: int, borderline: int, apart: Collection[str] = ()) -> pa.Table:
    """Find the files that show the same picture under different image keys.

    Files with equal pixels, and files with equal hashes, are represented by the first
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
    if not 0 <= same <= borderline <= _WIDEST:
        raise UsageError(
            f"distances of {same} (same) and {borderline} (borderline) bits do not go together",
            todo=f"keep 0 <= same <= borderline <= {_WIDEST}: different photos differ in about 128 of 256 bits",
        )
    hashes = hashes.sort_by([("image", "ascending"), ("path", "ascending")])
    everything = np.arange(len(hashes))
    first = _first_with_equal(hashes["pixels"])
    copies = everything != first

    hashed = np.flatnonzero(~copies & pc.is_valid(hashes["phash"]).to_numpy())
    twin = _first_with_equal(hashes["phash"].take(hashed))
    twins = np.arange(len(hashed)) != twin
    distinct = hashed[~twins]
    near = near_hashes(_words(hashes["phash"].take(distinct)), borderline)

    extra = _against_all(hashes, pc.is_in(hashes["image"], value_set=pa.array(sorted(apart), pa.string())), borderline)
    a = np.concatenate([first[copies], hashed[twin[twins]], distinct[near.a], extra.a])
    b = np.concatenate([everything[copies], hashed[twins], distinct[near.b], extra.b])
    distance = np.concatenate([np.zeros(copies.sum() + twins.sum(), np.int32), near.distance, extra.distance])
    equal = pc.equal(hashes["pixels"].take(a), hashes["pixels"].take(b)).to_numpy()
    how = np.where(equal, "pixels", np.where(distance <= same, "perceptual", "borderline")).astype(object)
    pairs = pa.table(
        [
            *(hashes[name].take(rows) for name in ("image", "path") for rows in (a, b)),
            distance,
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


def _against_all(hashes: pa.Table, chosen: pa.ChunkedArray, borderline: int) -> Near:
    """Pair each chosen row with all rows that have its pixels, or a hash within ``borderline`` bits of its own."""
    pairs: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
    rows = np.flatnonzero(chosen)
    if len(rows):
        has_hash = pc.is_valid(hashes["phash"]).to_numpy()
        words = _words(pc.fill_null(hashes["phash"], bytes(32)))
        pixels = hashes["pixels"].combine_chunks().dictionary_encode().indices.to_numpy()
        for row in rows:
            distance = np.bitwise_count(words ^ words[row]).sum(axis=1).astype(np.int64)
            equal = pixels == pixels[row]
            distance[equal] = 0
            near = np.flatnonzero(equal | (has_hash & has_hash[row] & (distance <= borderline)))
            near = near[near != row]
            pairs.append((np.minimum(near, row), np.maximum(near, row), distance[near]))
    nothing = (np.zeros(0, np.int64),) * 3
    a, b, distances = (np.concatenate(column).astype(np.int32) for column in zip(nothing, *pairs, strict=True))
    return Near(a, b, distances, len(rows) * len(hashes))


def near_hashes(words: NDArray[np.uint64], radius: int) -> Near:
    """Find all pairs of 256-bit hashes within a Hamming distance, without looking at all pairs.

    Multi-index hashing (Norouzi, Punjani and Fleet, CVPR 2012): the bits are dealt into
    m bands. With radius = m * r + rest, two hashes within the radius differ in at most r
    bits in one of the first rest + 1 bands or in at most r - 1 in one of the others, for
    otherwise they would differ in more than radius bits altogether. So only those that
    agree so far in a band are candidates. None is missed, and each is found once.

    Args:
        words: (N, 4), the hashes, distinct.
        radius: bits, 0 to 64.

    Returns:
        The pairs. Memory grows with N and with the pairs found, not with the candidates.
    """
    n = len(words)
    columns = np.ascontiguousarray(words.T)
    widths, reach = _plan(n, radius)
    bands = _deal(words, widths)
    kept = [(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.uint16))]
    examined = 0
    for band, (width, bits) in enumerate(zip(widths, reach, strict=True)):
        for a, b in _agreeing(bands[band], width, bits):
            examined += len(a)
            distance = np.zeros(len(a), np.uint16)
            for column in columns:
                distance += np.bitwise_count(column[a] ^ column[b])
            close = np.flatnonzero(distance <= radius)
            a, b, distance = a[close], b[close], distance[close]
            known = np.zeros(len(a), bool)
            for earlier in range(band):
                known |= np.bitwise_count(bands[earlier][a] ^ bands[earlier][b]) <= reach[earlier]
            a, b, distance = a[~known], b[~known], distance[~known]
            kept.append((np.minimum(a, b), np.maximum(a, b), distance))
    first, second, distances = (np.concatenate(column) for column in zip(*kept, strict=True))
    return Near(first, second, distances.astype(np.int32), examined)


def _plan(n: int, radius: int) -> tuple[list[int], list[int]]:
    """Choose the bands that cost least for N evenly spread hashes: width and reach in bits of those in use."""
    plans = []
    for m in range(12, max(12, radius + 1) + 1):
        r, rest = divmod(radius, m)
        widths = [256 // m + (band < 256 % m) for band in range(m)]
        reach = [r if band <= rest else r - 1 for band in range(m)]
        used = [(width, bits) for width, bits in zip(widths, reach, strict=True) if bits >= 0]
        masks = [sum(comb(width, k) for k in range(bits + 1)) for width, bits in used]
        candidates = sum(count * n * n / 2 ** (width + 1) for count, (width, _) in zip(masks, used, strict=True))
        tables = sum(2**width for width, _ in used)
        cost = sum(masks) * (5_000 + n) + tables + candidates  # in the time that one candidate takes
        plans.append((cost, [width for width, _ in used], [bits for _, bits in used]))
    return min(plans)[1:]


def _deal(words: NDArray[np.uint64], widths: Sequence[int]) -> list[NDArray[np.uint32]]:
    """Deal the bits into bands, mixed, for neighbouring frequencies go together and would crowd a band."""
    bits = np.random.default_rng(0).permutation(256)
    unpacked = np.unpackbits(words.view(np.uint8).reshape(-1, 32), axis=1)
    ends = np.cumsum(widths)
    bands = []
    for end, width in zip(ends, widths, strict=True):
        band: NDArray[np.uint32] = np.zeros(len(words), np.uint32)
        for bit in bits[end - width : end]:
            band = (band << 1 | unpacked[:, bit]).astype(np.uint32)
        bands.append(band)
    return bands


def _agreeing(
    band: NDArray[np.uint32], width: int, reach: int
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """Yield all pairs of rows whose band differs in at most ``reach`` of its ``width`` bits, each once, in pieces."""
    order = np.argsort(band, kind="stable").astype(np.int32)
    values = band[order]
    starts = np.concatenate([[0], np.cumsum(np.bincount(band, minlength=1 << width))])
    position = np.arange(len(band))
    for count in range(reach + 1):
        for flipped in combinations(range(width), count):
            if not flipped:
                rows, begin, end = position, position + 1, starts[values + 1]
            else:
                # Both ends of such a pair would find it: only the one without the highest of these bits looks.
                rows = np.flatnonzero(values >> flipped[-1] & 1 == 0)
                neighbours = values[rows] ^ sum(1 << bit for bit in flipped)
                begin, end = starts[neighbours], starts[neighbours + 1]
            yield from _expand(order, rows, begin, end - begin)


def _expand(
    order: NDArray[np.int32], rows: NDArray[np.int64], begin: NDArray[np.int64], sizes: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """Pair each row with the ``sizes`` places from ``begin`` on, about ``_AT_ONCE`` pairs at a time."""
    some = np.flatnonzero(sizes)
    rows, begin, sizes = rows[some], begin[some], sizes[some]
    total = np.cumsum(sizes)
    low = 0
    while low < len(rows):
        done = total[low - 1] if low else 0
        high = max(low + 1, int(np.searchsorted(total, done + _AT_ONCE, "right")))
        piece = sizes[low:high]
        offset = np.repeat(begin[low:high] - (total[low:high] - piece - done), piece)
        yield order[np.repeat(rows[low:high], piece)], order[offset + np.arange(len(offset))]
        low = high


def _first_with_equal(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """For each of N values the first row that has the same."""
    codes = column.combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    _, first, which = np.unique(codes, return_index=True, return_inverse=True)
    return first[which]


def _words(column: pa.ChunkedArray) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join(column.to_pylist()), np.uint64).reshape(-1, 4)
