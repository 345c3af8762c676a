"""Hashes of image files: of exact pixels, and what pictures look like (``clean.looks``).

Measured on 40 COCO and 24 NLVR2 photos; bits of 256 between the hashes of a photo and its version, and the share caught
at the default of 24 bits, or borderline at up to 48; the details differ in at most 84 bits of 256:

===================================  ======  =======  =======  ==========
version                              median  maximum  caught   borderline
===================================  ======  =======  =======  ==========
JPEG 30, 50, 75, 95; WebP 50              1        5  320/320
50%, 75%, 800 px                          0        5  192/192
25% as JPEG 75; 50% as JPEG 50, 30        1        9  192/192
brightness 0.8; contrast 0.8              1        4  128/128
grey; PNG                                 0        3  128/128
mirrored                                  0        3  64/64
turned by 90, 180, 270 degrees            0        4  192/192
stale EXIF orientation                    0        3  64/64
border of 40 px, black, white, blue       3       18  192/192
letterboxed, black, white                 2        9  128/128
the same at 336, 224 px                   3       14  128/128
border, mirrored, 50% as JPEG 30          4       11  64/64
brightness 1.2 (highlights clip)          6       28  63/64             1
brightness 1.4                           14       50  57/64             6
2% cropped, about the centre             17       33  59/64             5
2% cropped, at one corner                35       59  12/64            50
5% cropped, about the centre             42  over 64  10/64            38
5% cropped, at one corner           over 64  over 64  2/64              5
===================================  ======  =======  =======  ==========

Of 7.26 million pairs of random crops of different photos, each in all eight orientations, none differs in 24 bits or
less, and 17 in 48 or less: all of them crops of two photos of like things on white. Their details differ in 85 bits or
more, and so no pair was taken for the same or for borderline. Among the 7.2 billion pairs of 120,000 images some
borderline ones must be expected: a person judges those (``gallery.py``). Crops of 5% or more can be missed. Drawings
are told apart less well than photos.

A picture with too little in it has no look, and is a duplicate by its pixels only.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from stat import S_ISREG

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vlmt_cli.base.errors import DataError, VlmtError
from vlmt_cli.base.files import write_parquet
from vlmt_cli.base.images import open_image, why_unreadable
from vlmt_cli.base.processes import pool_of
from vlmt_cli.clean.greys import looks_of_image
from vlmt_cli.clean.image_files import DamagedImage, ImageFile
from vlmt_cli.clean.looks import LOOK_BYTES

HASHES = pa.schema(
    [
        ("image", pa.string()),
        ("path", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("pixels", pa.binary(32)),
        ("looks", pa.list_(pa.binary(LOOK_BYTES))),
    ]
)
_CACHE_VERSION = {b"vlmt": b"image hashes 2"}  # to be raised when hashes come out differently
_CACHE = pa.schema([("file", pa.string()), *(field for field in HASHES if field.name != "image")])


def hash_images(
    files: Sequence[ImageFile],
    cache: Path | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[pa.Table, list[DamagedImage]]:
    """Hash the pixels and the look of image files.

    Args:
        files: N files, from ``image_files``.
        cache: a Parquet file that remembers hashes by path, size and time of change, so
            that only new files are decoded. What is done when this is interrupted is kept.
        workers: processes that decode.
        progress: called with how many files are done, of how many to decode.

    Returns:
        A table of ``HASHES`` in the order of the files, ``pixels`` the SHA-256 of size and
        RGB values, ``looks`` those of the whole picture and of what is inside its borders,
        empty where there is too little to tell by (``clean.looks``); and the files that
        cannot be decoded, with the reason. Together they are N.

    Raises:
        DataError: the cache is not a cache of this kind.
        VlmtError: a process died.
    """
    remembered = _read_cache(cache)
    stamped, damaged = _stamp(files)
    new = stamped.filter(pc.invert(pc.is_in(stamped["file"], value_set=remembered["file"].combine_chunks())))
    results: list[_Hashed | str] = []
    try:
        for result in _hash_all(new["path"].to_pylist(), workers):
            results.append(result)
            if progress:
                progress(len(results), len(new))
    finally:
        fresh, undecodable = _tell_apart(new.to_pylist(), results)
        if len(fresh):
            is_stale = pc.is_in(remembered["path"], value_set=fresh["path"].combine_chunks())
            remembered = pa.concat_tables([remembered.filter(pc.invert(is_stale)), fresh])
            if cache is not None:
                write_parquet(cache, remembered.replace_schema_metadata(_CACHE_VERSION))
    row = pc.index_in(stamped["file"], value_set=remembered["file"].combine_chunks())
    has_row = pc.is_valid(row)
    hashes = remembered.take(row.filter(has_row)).append_column("image", stamped["image"].filter(has_row))
    return hashes.select(HASHES.names).cast(HASHES), sorted([*damaged, *undecodable])


_Hashed = tuple[int, int, bytes, list[bytes]]


def _hash(path: str) -> _Hashed | str:
    """Hash one file: width, height, pixels, looks; or say why that cannot be done."""
    try:
        image = open_image(path)
        # The size belongs to it: 2 x 8 and 4 x 4 pixels can be the same bytes.
        pixels = hashlib.sha256(b"%d %d " % image.size)
        pixels.update(image.tobytes())
        return *image.size, pixels.digest(), [look.tobytes() for look in looks_of_image(image)]
    except Exception as error:  # on damaged files decoders raise nearly anything
        return why_unreadable(error, path)


def _hash_all(paths: Sequence[str], workers: int) -> Iterator[_Hashed | str]:
    if workers <= 1 or len(paths) <= 64:  # starting processes takes longer
        yield from map(_hash, paths)
        return
    pool = pool_of(workers)
    try:
        yield from pool.map(_hash, paths, chunksize=16)
    except BrokenProcessPool as error:
        raise VlmtError("a process that decodes images died", todo="use fewer workers: memory may be short") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _stamp(files: Sequence[ImageFile]) -> tuple[pa.Table, list[DamagedImage]]:
    """Add what the cache knows a file by: size, time of change and path."""
    rows: list[dict[str, str]] = []
    damaged: list[DamagedImage] = []
    for image, path in files:
        try:
            stat = Path(path).stat()
        except OSError as error:
            damaged.append(DamagedImage(path, error.strerror or str(error)))
            continue
        if not S_ISREG(stat.st_mode):
            damaged.append(DamagedImage(path, "not a regular file"))
        else:
            rows.append({"file": f"{stat.st_size} {stat.st_mtime_ns} {path}", "path": path, "image": image})
    schema = pa.schema([("file", pa.string()), ("path", pa.string()), ("image", pa.string())])
    return pa.Table.from_pylist(rows, schema=schema), damaged


def _tell_apart(new: list[dict[str, str]], results: list[_Hashed | str]) -> tuple[pa.Table, list[DamagedImage]]:
    pairs = list(zip(new, results, strict=False))  # there are fewer results after an interruption
    rows = [(file["file"], file["path"], *result) for file, result in pairs if not isinstance(result, str)]
    columns = zip(*rows, strict=True) if rows else [[]] * len(_CACHE)
    fresh = pa.Table.from_arrays([pa.array(c, f.type) for c, f in zip(columns, _CACHE, strict=True)], schema=_CACHE)
    return fresh, [DamagedImage(file["path"], result) for file, result in pairs if isinstance(result, str)]


def _read_cache(path: Path | None) -> pa.Table:
    if path is None or not path.exists():
        return _CACHE.empty_table()
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError("cannot be read as a cache of image hashes", where=path, todo="delete it") from error
    kind = (table.schema.metadata or {}).get(b"vlmt", b"")
    if not kind.startswith(b"image hashes "):
        raise DataError("is not a cache of image hashes", where=path, todo="name another file")
    if table.schema.metadata != _CACHE_VERSION:
        return _CACHE.empty_table()
    return table.replace_schema_metadata(None).cast(_CACHE)
