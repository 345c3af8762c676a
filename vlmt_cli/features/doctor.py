"""Examining a store: whether every record is sound, and which datasets' images it covers."""

import hashlib
import struct
import zlib
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.keys import check_image_key
from vlmt_cli.base.progress import Progress
from vlmt_cli.features.compare import Comparison, compare_stores
from vlmt_cli.features.coverage import Coverage, coverage
from vlmt_cli.features.lmdb_file import check_pages, is_lmdb, opened
from vlmt_cli.features.problems import Problem, by_kind
from vlmt_cli.features.record import Regions, decode, problem
from vlmt_cli.features.store import META, FeatureStore, Meta, read_meta

_NAMED = 3


class Counts(msgspec.Struct, frozen=True):
    least: int
    mean: float
    most: int


class StoreReport(msgspec.Struct, frozen=True):
    """The result of examining a store.

    Attributes:
        path: of the store.
        meta: its description.
        images: records.
        regions: of the intact images; None without any.
        bytes_an_image: of the store on disk.
        store_problems: what is wrong with the store as a whole.
        problems: what is wrong with records, by kind.
        coverage: the share of each split's images that the store has, where there are example tables.
        comparison: with the other store, where one was named.
    """

    path: str
    meta: Meta
    images: int
    regions: Counts | None
    bytes_an_image: float
    store_problems: list[str]
    problems: dict[str, Problem]
    coverage: list[Coverage]
    comparison: Comparison | None

    @property
    def is_damaged(self) -> bool:
        return bool(self.store_problems or self.problems)


def examine(
    path: Path,
    data: Path | None = None,
    other: Path | None = None,
    progress: Progress = lambda name, done, total: None,
) -> StoreReport:
    """Read every byte of a store and say what is wrong; compare it with the examples, and with another store.

    Raises:
        DataError: there is no store, or its description is damaged.
    """
    if not is_lmdb(path):
        raise DataError("there is no feature store", where=path, todo="make one with vlmt pack or extract")
    keys: list[str] = []
    wrong: list[tuple[str, str]] = []
    counts = []
    digest = hashlib.sha256()
    # Not as training reads it: to the LMDB library a damaged page can be the end of the process.
    with opened(path) as file:
        meta, damage = read_meta(file, path), file.damage()
        for record in file.records():
            key = record.key.decode(errors="backslashreplace")
            if record.key == META or (record.damage and not key):
                continue
            keys.append(key)
            progress(key, len(keys), max(len(keys), file.entries - 1))
            try:
                if record.damage:
                    raise DataError(record.damage)
                check_image_key(key)
                regions = decode(record.value, f"{path}: {key}", verify=True)
            except DataError as error:
                wrong.append((key, error.what))
                continue
            digest.update(key.encode() + struct.pack("<I", _checksum(regions)))
            counts.append(len(regions.boxes))
            if what := _problem(regions, meta):
                wrong.append((key, what))
    is_readable = len(counts) == len(keys) and not damage
    comparison = None
    if other:
        for store in (path, other):
            check_pages(store)
        comparison = compare_stores(FeatureStore(path), FeatureStore(other), {key for key, _ in wrong})
    return StoreReport(
        path=str(path),
        meta=meta,
        images=len(keys),
        regions=Counts(min(counts), float(np.mean(counts)), max(counts)) if counts else None,
        bytes_an_image=_size(path) / max(1, len(keys)),
        store_problems=_damaged(damage) + _store_problems(meta, len(keys), digest.hexdigest() if is_readable else None),
        problems=by_kind(wrong),
        coverage=coverage(pa.array(keys, pa.string()), data) if data else [],
        comparison=comparison,
    )


def _problem(regions: Regions, meta: Meta) -> str | None:
    classes = 0 if regions.scores is None else regions.scores.shape[1]
    widths, wanted = (regions.features.shape[1], classes), (meta.feature_width, meta.classes)
    if widths != wanted:
        return f"{widths[0]} features and {widths[1]} class scores a region, not {wanted[0]} and {wanted[1]}"
    if what := problem(regions):
        return what
    return None if regions.features.any() else "all features are zero"


def _damaged(pages: list[str]) -> list[str]:
    """Say what is wrong with the pages of the file, independent of the records on them."""
    more = f", and {len(pages) - _NAMED:,} more" if len(pages) > _NAMED else ""
    return [f"the file is damaged: {', '.join(pages[:_NAMED])}{more}"] if pages else []


def _store_problems(meta: Meta, images: int, checksum: str | None) -> list[str]:
    if not images:
        return ["there are no images"]
    if not meta.checksum:
        return ["it was not finished: run the command that makes it again, and it goes on where it was"]
    wrong = []
    if meta.images != images:
        wrong.append(f"it has {images:,} images, but says {meta.images:,}")
    if checksum is not None and meta.checksum != checksum:
        wrong.append("the checksum over all records is another than it says")
    return wrong


def _checksum(regions: Regions) -> int:
    """Return the checksum of a record from its arrays."""
    checksum = zlib.crc32(regions.features.tobytes(), zlib.crc32(regions.boxes.tobytes()))
    return checksum if regions.scores is None else zlib.crc32(regions.scores.tobytes(), checksum)


def _size(path: Path) -> int:
    return (path / "data.mdb" if path.is_dir() else path).stat().st_size
