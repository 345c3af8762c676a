"""How well looks and embeddings tell copies from other pictures, measured on pairs that are known.

Copies come in pairs of files. Every file of one side beside every file of the other, unless pairs join the two, is a
pair of different pictures: N pairs of copies give about N x N of these. Both are compared as a scan compares them.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, NonNegativeInt

from vlmt_cli.base.embedder import Embedder
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.identity import links_table, same_image
from vlmt_cli.base.images import open_image
from vlmt_cli.base.opening import read_file
from vlmt_cli.clean.embeddings import embedded
from vlmt_cli.clean.greys import looks_of_files
from vlmt_cli.clean.look_search import look_index
from vlmt_cli.clean.near_duplicates import WIDEST, alike

BITS = (0, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64)
COSINES = tuple(number / 100 for number in range(99, 29, -3))
_EXAMPLES = 3
_NOT_NEAR = WIDEST + 1
_AT_ONCE = 32
"""Files that are held decoded."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Point(_Model):
    """What a threshold gives: the copies caught, in percent, and how many different pairs are taken for copies."""

    threshold: float
    recall: float
    false_pairs: NonNegativeInt


class FalsePair(_Model):
    """Two different files that are the most alike; a person should see whether they are different."""

    first: str
    second: str
    value: float


class Curve(_Model):
    """How one way of comparing does.

    Attributes:
        points: the strictest threshold first: bits of 256 up to which, or cosines from which, pictures are the same.
        without_false: the point with the most copies and no false pair; None if every threshold has one.
        nearest: the most alike of the different pairs.
    """

    points: tuple[Point, ...]
    without_false: Point | None
    nearest: tuple[FalsePair, ...]


class Calibration(_Model):
    """What was measured.

    Attributes:
        copies, different: pairs.
        unreadable: files that could not be decoded; their pairs are left out.
        model, sha256: of the network; None without one.
        looks, embeddings: by which pictures were compared.
    """

    version: int = 1
    copies: NonNegativeInt
    different: NonNegativeInt
    unreadable: NonNegativeInt
    model: str | None
    sha256: str | None
    looks: Curve
    embeddings: Curve | None


Pairs = Sequence[tuple[str, str]]
"""Files that show the same picture."""


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """Read pairs of files that show the same: two names a line with a tab or comma, beside the file or absolute.

    Raises:
        DataError: it cannot be read, or a line has no two names of files that are there.
    """
    try:
        lines = read_file(path).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        todo = "give a text file with two names of files a line, a tab or comma between them"
        raise DataError(f"cannot be read as pairs of files ({error})", where=path, todo=todo) from error
    pairs: list[tuple[str, str]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        names = [name.strip() for name in line.split("\t" if "\t" in line else ",")]
        files = [path.parent / name for name in names if name]
        if len(files) != 2 or not all(file.is_file() for file in files):
            todo = "write two image files a line, with a tab or a comma between"
            raise DataError("names no two files that are there", where=f"{path}:{number}", todo=todo)
        pairs.append((str(files[0]), str(files[1])))
    return pairs


def pairs_by_crosswalk(files: Mapping[str, str], links: pa.Table) -> list[tuple[str, str]]:
    """Pair the files of images that Visual Genome's crosswalk joins.

    Args:
        files: paths by image keys.
        links: of ``LINKS``.
    """
    known = links.filter(pc.equal(links["relation"], "crosswalk"))
    pairs = zip(known["image"].to_pylist(), known["alias"].to_pylist(), strict=True)
    return [(files[image], files[alias]) for image, alias in pairs if image in files and alias in files]


def calibrate(
    pairs: Pairs, embedder: Embedder | None = None, progress: Callable[[int, int], None] | None = None
) -> Calibration:
    """Measure how looks, and a network, tell pairs of copies from all other pairs of their files.

    Memory grows with the square of the number of pairs: 5,000 take about 0.6 GB.

    Raises:
        DataError: fewer than two pairs can be decoded.
    """
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    seen = _see(names, embedder, progress)
    row = {name: number for number, name in enumerate(names) if seen.is_sound[number]}
    whole = [(row[a], row[b]) for a, b in pairs if a in row and b in row and a != b]
    if len(whole) < 2:
        raise DataError("fewer than two pairs of copies can be decoded", todo="give more pairs of image files")
    left, right = np.array(whole).T
    keys = pa.array(names)
    joined = links_table(keys.take(pa.array(left)), keys.take(pa.array(right)), "judged")
    image = list(same_image(keys, joined).values())[-1]
    (first, a), (second, b) = (np.unique(side, return_inverse=True) for side in (left, right))
    sides = _Sides(first, second, a, b, image[first][:, None] != image[second][None], names)
    bits = np.full((len(first), len(second)), _NOT_NEAR, np.float32)
    query, words = _looks_among(seen, first)
    to, others = _looks_among(seen, second)
    near = alike(look_index(others, WIDEST).near(words))
    np.minimum.at(bits, (query[near.query], to[near.row]), near.distance.astype(np.float32))
    return Calibration(
        copies=len(whole),
        different=int(sides.is_different.sum()),
        unreadable=len(names) - int(seen.is_sound.sum()),
        model=embedder.model.name if embedder else None,
        sha256=embedder.sha256 if embedder else None,
        looks=_curve(BITS, bits, sides, 1),
        embeddings=_curve(COSINES, -(seen.vectors[first] @ seen.vectors[second].T), sides, -1) if embedder else None,
    )


class _Seen(NamedTuple):
    """What N files look like: L looks, which file each is of, N embeddings, and whether a file can be decoded."""

    words: NDArray[np.uint64]
    owner: NDArray[np.int64]
    vectors: NDArray[np.float32]
    is_sound: NDArray[np.bool_]


def _see(names: Sequence[str], embedder: Embedder | None, progress: Callable[[int, int], None] | None) -> _Seen:
    parts: list[_Seen] = []
    for begin in range(0, len(names), _AT_ONCE):
        files = [read_file(Path(name)) for name in names[begin : begin + _AT_ONCE]]
        looks = looks_of_files(files)
        is_sound = np.array([problem is None for problem in looks.problems])
        vectors = np.zeros((len(files), embedder.model.width if embedder else 0), np.float32)
        pictures = []
        for number in np.flatnonzero(is_sound).tolist() if embedder else ():
            try:
                pictures.append(open_image(files[number]))
            except Exception:  # on damaged files decoders raise nearly anything
                is_sound[number] = False
        if embedder and pictures:
            vectors[is_sound] = embedded(pictures, embedder).astype(np.float16)  # as an index keeps them
        parts.append(_Seen(looks.words, looks.owner + begin, vectors, is_sound))
        if progress:
            progress(min(begin + _AT_ONCE, len(names)), len(names))
    return _Seen(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _looks_among(seen: _Seen, files: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return the looks of F files, and which of the F each is of."""
    at = np.searchsorted(files, seen.owner)
    is_of = files[np.minimum(at, len(files) - 1)] == seen.owner
    return at[is_of], seen.words[is_of]


class _Sides(NamedTuple):
    """F files beside S others: their numbers, where the P copies stand, which pairs are different, and all names."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    is_different: NDArray[np.bool_]
    names: Sequence[str]


def _curve(thresholds: Sequence[float], values: NDArray[np.float32], sides: _Sides, sign: int) -> Curve:
    """Count at each threshold; ``values``, F x S, are the less the more alike two files are."""
    copies = values[sides.a, sides.b]
    different = np.where(sides.is_different, values, np.inf)
    points = [
        Point(
            threshold=each,
            recall=float(100 * (copies <= sign * each).mean()),
            false_pairs=int(np.count_nonzero(different <= sign * each)),
        )
        for each in thresholds
    ]
    clean = [point for point in points if not point.false_pairs]
    nearest = np.argpartition(different, _EXAMPLES - 1, axis=None)[:_EXAMPLES]
    nearest = nearest[np.argsort(different.ravel()[nearest], kind="stable")]
    rows, columns = np.unravel_index(nearest, different.shape)
    pairs = [
        FalsePair(
            first=sides.names[sides.first[row]],
            second=sides.names[sides.second[column]],
            value=float(sign * different[row, column]),
        )
        for row, column in zip(rows, columns, strict=True)
        if different[row, column] < _NOT_NEAR
    ]
    return Curve(points=tuple(points), without_false=clean[-1] if clean else None, nearest=tuple(pairs))
