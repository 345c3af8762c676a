"""Pictures of a mixture compared with the index: what their files hold, where names and addresses say nothing.

Each is decoded at reduced scale for its looks. Only one that is near an image of the index, or has too little in it
for a look, is decoded in full for the hash of its pixels; of those, and of what is not decoded, the bytes are hashed.
Where embeddings are compared, too, every picture is decoded in full.
"""

import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.images import open_image, why_unreadable
from vlmt_cli.base.opening import read_file
from vlmt_cli.clean.embeddings import EmbeddingIndex, NearEmbeddings, embedded
from vlmt_cli.clean.greys import looks_of_files
from vlmt_cli.clean.look_search import LookIndex, look_index
from vlmt_cli.clean.near_duplicates import alike, as_words
from vlmt_cli.clean.pictures import pixels_alias
from vlmt_cli.datasets.options import NearDuplicateOptions
from vlmt_cli.mixtures.batch import Batch, column_of
from vlmt_cli.mixtures.benchmark_file import hashes_of

NO_FILE = "no image file is at hand"
_AT_ONCE = 256
"""Pictures whose bytes are held as Python objects."""
_EMBEDDED_AT_ONCE = 32
"""Pictures that are held decoded."""
_DOUBTFUL = 8
"""Bits from which a picture that is taken for the same is shown to a person."""
_SHOWN = 360
"""Pixels of the longer side of a picture that is shown."""
_NUMBER = re.compile(r"\d[\d,.]*")


@dataclass(frozen=True)
class PictureIndex:
    """The looks of an index, ready to be searched.

    Attributes:
        looks: L of them.
        keys: L, the key of the image that each is of.
        hashes_all: whether the bytes of all files must be hashed, as some images are known by such hashes alone.
        embeddings: to be compared, too.
    """

    looks: LookIndex
    keys: pa.Array
    hashes_all: bool
    embeddings: EmbeddingIndex | None = None


def picture_index(looks: pa.Table, hashes_all: bool, embeddings: EmbeddingIndex | None = None) -> PictureIndex:
    """Make rows of ``clean.index.LOOKS`` ready to be searched."""
    words = look_index(as_words(looks["look"].combine_chunks()), NearDuplicateOptions().borderline)
    return PictureIndex(words, looks["image"].combine_chunks(), hashes_all, embeddings)


@dataclass
class Compared:
    """What comparing the pictures of a batch gave.

    Attributes:
        row, key, distance, cosine: M times a row of the batch's images, the key of an image of the index that it looks
            like, and the bits in which they differ (-1), or the cosine of their embeddings (NaN); by row, the surest
            first.
        sha256, md5, pixels: aliases by the batch's rows, of the file and of the pixels; null where not needed.
        decoded: by the batch's rows, whether the picture was compared.
        reasons: of those that were not, with numbers left out, how many.
        shown: small JPEGs of those that a person should look at, by ``pixels``.
    """

    row: NDArray[np.int64]
    key: pa.Array
    distance: NDArray[np.int64]
    cosine: NDArray[np.float32]
    sha256: pa.Array
    md5: pa.Array
    pixels: pa.Array
    decoded: NDArray[np.bool_]
    reasons: Counter[str] = field(default_factory=Counter)
    shown: dict[str, bytes] = field(default_factory=dict)


def compare_pictures(data: pa.Array, index: PictureIndex) -> Compared:
    """Compare pictures with those of an index.

    Args:
        data: N image files, null where there is none.
        index: to look in.
    """
    rows, found = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    distances, cosines = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    aliases: dict[str, list[str | None]] = {kind: [None] * len(data) for kind in ("sha256", "md5", "pixels")}
    decoded = np.zeros(len(data), bool)
    reasons: Counter[str] = Counter()
    shown: dict[str, bytes] = {}
    for begin in range(0, len(data), _AT_ONCE):
        files = data.slice(begin, _AT_ONCE).to_pylist()
        looks = looks_of_files([each or b"" for each in files])
        near = alike(index.looks.near(looks.words))
        of = looks.owner[near.query]
        least = {row: int(near.distance[of == row].min()) for row in np.unique(of).tolist()}
        plain = set(range(len(files))) - set(looks.owner.tolist())
        rows.append(of + begin)
        found.append(near.row)
        distances.append(near.distance)
        cosines.append(np.full(len(of), np.nan, np.float32))
        if index.embeddings:
            by_vector = _near_embeddings(files, looks.problems, index.embeddings)
            rows.append(by_vector.query + begin)
            found.append(by_vector.row + len(index.keys))
            distances.append(np.full(len(by_vector.row), -1))
            cosines.append(by_vector.cosine)
            least = dict.fromkeys(by_vector.query.tolist(), _DOUBTFUL + 1) | least
        for number, (file, problem) in enumerate(zip(files, looks.problems, strict=True)):
            row = begin + number
            if file is None:
                reasons[NO_FILE] += 1
                continue
            decoded[row] = problem is None
            if index.hashes_all or number in least or number in plain:
                aliases["sha256"][row], aliases["md5"][row] = hashes_of(file)
            if problem is None and (number in least or number in plain):
                problem = _look_closely(file, row, least.get(number, 0), aliases["pixels"], shown)
            if problem is not None:
                decoded[row] = False
                reasons[_NUMBER.sub("...", problem)] += 1
    rows_found, image = np.concatenate(rows), np.concatenate(found)
    distance, cosine = np.concatenate(distances), np.concatenate(cosines)
    order = np.lexsort((image, -np.nan_to_num(cosine), distance, _doubt(distance, cosine, index), rows_found))
    keys = pa.concat_arrays([index.keys, index.embeddings.keys]) if index.embeddings else index.keys
    return Compared(
        rows_found[order],
        keys.take(pa.array(image[order])),
        distance[order],
        cosine[order],
        pa.array(aliases["sha256"], pa.string()),
        pa.array(aliases["md5"], pa.string()),
        pa.array(aliases["pixels"], pa.string()),
        decoded,
        reasons,
        shown,
    )


def _doubt(distance: NDArray[np.int64], cosine: NDArray[np.float32], index: PictureIndex) -> NDArray[np.int64]:
    """Rank M pairs: the same by looks, by embeddings, borderline by looks, by embeddings."""
    is_vector = distance < 0
    is_same = distance <= NearDuplicateOptions().same
    if index.embeddings:
        is_same = np.where(is_vector, cosine >= index.embeddings.cosines.same, is_same)
    rank: NDArray[np.int64] = 2 * ~is_same + is_vector
    return rank


def _near_embeddings(files: list[bytes | None], problems: list[str | None], index: EmbeddingIndex) -> NearEmbeddings:
    """Embed those of N files that can be decoded, and find what is near them."""
    embedder = index.load()
    numbers: list[int] = []
    vectors = [np.empty((0, embedder.model.width), np.float32)]
    sound = [number for number, problem in enumerate(problems) if problem is None]
    for begin in range(0, len(sound), _EMBEDDED_AT_ONCE):
        pictures = []
        for number in sound[begin : begin + _EMBEDDED_AT_ONCE]:
            try:
                pictures.append(open_image(files[number] or b""))
            except Exception as error:  # what was decoded at reduced scale may be damaged all the same
                problems[number] = why_unreadable(error, "")
                continue
            numbers.append(number)
        vectors.append(embedded(pictures, embedder))
    near = index.near(np.concatenate(vectors))
    return near._replace(query=np.array(numbers, np.int64)[near.query])


def _look_closely(
    file: bytes, row: int, distance: int, pixels: list[str | None], shown: dict[str, bytes]
) -> str | None:
    """Decode a picture in full for the hash of its pixels; says why that cannot be done."""
    try:
        image = open_image(file)
    except Exception as error:  # on damaged files decoders raise nearly anything
        return why_unreadable(error, "")
    pixels[row] = alias = pixels_alias(image)
    if distance > _DOUBTFUL:
        image.thumbnail((_SHOWN, _SHOWN), reducing_gap=2.0)
        jpeg = io.BytesIO()
        image.save(jpeg, "JPEG", quality=85)
        shown[alias] = jpeg.getvalue()
    return None


def parts_of(batch: Batch, most: int) -> Iterator[Batch]:
    """Cut a batch into ones of about ``most`` images, whole records each."""
    owner = batch.images.column("record").to_numpy()
    first, end = batch.first, batch.first + batch.records
    is_first = True
    while first < end or is_first:
        begin = int(np.searchsorted(owner, first))
        stop = min(begin + most, len(owner))
        last = end if stop == len(owner) else max(first + 1, int(owner[stop]))
        stop = int(np.searchsorted(owner, last))
        # Arrow sends all of a column when a part of it is sent to another process, unless that was copied.
        images = batch.images.take(pa.array(np.arange(begin, stop)))
        yield replace(
            batch,
            first=first,
            records=last - first,
            images=images,
            ids=batch.ids.slice(first - batch.first, last - first),
            texts=None if batch.texts is None else batch.texts.slice(first - batch.first, last - first),
            spans=None,
            videos=batch.videos if is_first else 0,
            damaged=tuple(each for each in batch.damaged if first <= each.record < last),
        )
        first, is_first = last, False


def with_files(batch: Batch, folder: Path | None, root: str = "") -> Batch:
    """Add the files of images that have a name alone, from below a folder, to a batch.

    Args:
        batch: of records.
        folder: where the files are; None where they are nowhere.
        root: what stands before the names; the files may lie with or without it.
    """
    data = column_of(batch.images, "data")
    if folder is not None and data.null_count:
        names = column_of(batch.images, "name").to_pylist()
        rows = [
            each if each is not None or name is None else _file(folder, root, name)
            for each, name in zip(data.to_pylist(), names, strict=True)
        ]
        data = pa.array(rows, pa.binary())
    kept = [name for name in batch.images.schema.names if name != "data"]
    columns = [*(batch.images.column(name) for name in kept), data]
    return replace(batch, images=pa.RecordBatch.from_arrays(columns, [*kept, "data"]))


def _file(folder: Path, root: str, name: str) -> bytes | None:
    for path in dict.fromkeys((Path(root, name), Path(name))):
        parts = path.parts
        if path.is_absolute() or ".." in parts or "\0" in name or any(len(part.encode()) > 255 for part in parts):
            continue
        try:
            return read_file(folder / path)
        except (OSError, DataError):
            continue
    return None
