"""Hashes of image files: of exact pixels, and perceptual ones.

The perceptual hash holds the signs, about their median, of the 256 lowest frequencies
of a 64 x 64 grey version (a DCT hash as ``imagehash.phash(hash_size=16)``, but with the
frequencies taken by rising u + v: as robust, and 1.3 ms a photo where imagehash takes
3.3 ms).

Measured on 40 COCO and 24 NLVR2 photos; bits between a photo and its version, and
the share caught at the default of 24 bits, or borderline at up to 48:

==============================  ======  ===  =======  ==========
version                         median  max   caught  borderline
==============================  ======  ===  =======  ==========
JPEG 30, 50, 75, 95; WebP 50         0    6  320/320
50%, 75%, 800 px                     0    4  192/192
25% as JPEG 75; 50% as JPEG 50       2    6  128/128
brightness 0.8; contrast 0.8         0    6  128/128
grey; PNG                            0    0  128/128
brightness 1.2 (highlights clip)     6   28    63/64           1
brightness 1.4                      16   44    56/64           8
2% cropped, about the centre        17   34    60/64           4
2% cropped, at one corner           36   70     2/64          57
5% cropped, about the centre        44   62     2/64          48
5% cropped, at one corner           84  114     0/64           0
mirrored                           122  134     0/64           0
==============================  ======  ===  =======  ==========

Different photos differ in 128 bits, give or take 8. The nearest of all 2,016 pairs
differ in 72: two advertisements with other labels on the same three bottles. Of 7.25
million pairs of random crops of different photos none differs in 48 bits or less, 4
in 64 or less. So there were no false pairs, same or borderline, though among the 7.2
billion pairs of 120,000 images some hundred borderline ones must be expected: a person
judges those (``gallery.py``). Mirrored copies and crops of 5% or more can be missed.
Drawings are told apart less well, above all few shapes on one textured background: of
3.1 million pairs of 2,500 synthetic world scenes 4 different ones are within 24 bits.

A picture of one colour, a plain gradient or a few stripes has too few frequencies
to be told from another by their signs. Such a picture has no perceptual hash (null)
and is a duplicate by its pixels only.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from stat import S_ISREG

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from vlmt_cli.base.errors import DataError, VlmtError
from vlmt_cli.base.files import write_parquet
from vlmt_cli.base.images import open_image, why_unreadable
from vlmt_cli.base.processes import pool_of
from vlmt_cli.clean.image_files import DamagedImage, ImageFile

HASHES = pa.schema(
    [
        ("image", pa.string()),
        ("path", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("pixels", pa.binary(32)),
        ("phash", pa.binary(32)),
    ]
)
_GREY = 64  # width and height of the grey version
# A coefficient counts when it is several times the noise that rounding to 8 bits makes (0.3). Of the 64 real
# photos none has fewer than 150 that count, a gradient has 11, stripes 16, one centred square 59.
_COUNTS, _ENOUGH = 2.0, 96

_k = np.arange(_GREY)
_DCT = (np.sqrt(2 / _GREY) * np.cos(np.pi * (2 * _k[None] + 1) * _k[:, None] / (2 * _GREY))).astype(np.float32)
_LOWEST = np.array(sorted((u + v, u, v) for u in range(24) for v in range(24) if u + v)[:256])
_U, _V = _LOWEST[:, 1], _LOWEST[:, 2]
_ROWS = _DCT[: max(_U.max(), _V.max()) + 1]

_CACHE_VERSION = {b"vlmt": b"image hashes 1"}  # to be raised when hashes come out differently
_CACHE = pa.schema([("file", pa.string()), *(field for field in HASHES if field.name != "image")])


def perceptual_hash(image: Image.Image) -> bytes | None:
    """Return the 32-byte hash of an RGB image, or None for one with too little in it to tell by (see above)."""
    grey = image.convert("L").resize((_GREY, _GREY), Image.Resampling.LANCZOS, reducing_gap=3.0)
    frequencies = (_ROWS @ np.asarray(grey, np.float32) @ _ROWS.T)[_U, _V]
    if (np.abs(frequencies) > _COUNTS).sum() < _ENOUGH:
        return None
    return np.packbits(frequencies > np.median(frequencies)).tobytes()


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
        RGB values, ``phash`` null where there is too little to tell by; and the files that
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


_Hashed = tuple[int, int, bytes, bytes | None]


def _hash(path: str) -> _Hashed | str:
    """Hash one file: width, height, pixels, phash; or say why that cannot be done."""
    try:
        image = open_image(path)
        # The size belongs to it: 2 x 8 and 4 x 4 pixels can be the same bytes.
        pixels = hashlib.sha256(b"%d %d " % image.size)
        pixels.update(image.tobytes())
        return *image.size, pixels.digest(), perceptual_hash(image)
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
    if table.schema.metadata != _CACHE_VERSION and table.schema.names != _CACHE.names:
        raise DataError("is not a cache of image hashes", where=path, todo="name another file")
    if table.schema.metadata != _CACHE_VERSION:
        return _CACHE.empty_table()
    return table.replace_schema_metadata(None).cast(_CACHE)
