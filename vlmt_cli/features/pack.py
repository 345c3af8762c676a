"""Importing features: from any format that is known into a store."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.files import write_parquet
from vlmt_cli.base.image_names import image_key_of
from vlmt_cli.base.keys import right_source
from vlmt_cli.base.progress import Progress
from vlmt_cli.base.words import printable
from vlmt_cli.features.formats import FORMATS, recognise
from vlmt_cli.features.formats.entry import Entry, PackOptions
from vlmt_cli.features.lmdb_file import check_pages, is_lmdb, opened
from vlmt_cli.features.problems import DamagedRecord, Problem, by_kind, sentence, write_problems
from vlmt_cli.features.record import Regions, mend, problem
from vlmt_cli.features.store import META, Meta, read_meta
from vlmt_cli.features.store_writer import StoreWriter

UNKNOWN = "unknown"
CAPTIONS = pa.schema([("image", pa.string()), ("caption", pa.string())])
_PROBED = 8  # readable records that decide what a new store holds
_NAMELESS = 100  # names without a key at the beginning mean that --source is missing
_LONGEST_KEY = 511


@dataclass(frozen=True)
class Packed:
    """What packing did.

    Attributes:
        format: of the source.
        images: packed now.
        there: images of the source that the store had already.
        problems: what was left out, by kind.
        mended: boxes that were dropped or clipped, by kind, in images that were packed now.
        captions: captions that lie beside the store.
        meta: the store's description.
    """

    format: str
    images: int
    there: int
    problems: dict[str, Problem]
    mended: dict[str, Problem]
    captions: int
    meta: Meta


def pack(
    source: Path,
    store: Path,
    *,
    format: str | None = None,
    image_source: str | None = None,
    extractor: str | None = None,
    regions: int | None = None,
    options: PackOptions | None = None,
    progress: Progress = lambda name, done, total: None,
) -> Packed:
    """Add the features of a file or folder to a store, which is created where there is none.

    Images that the store has already are skipped: what was interrupted goes on, and files packed one after another
    make one store. What is damaged is left out and counted; ``<store>.problems.jsonl`` names every such record.
    Captions beside features go to ``<store>.captions.parquet``.

    Args:
        source: features in any of ``FORMATS``.
        store: the store.
        format: of the source; recognised where None.
        image_source: what bare numbers as image names mean.
        extractor: the name of what made the features; the store's own where None.
        regions: the most regions to keep of an image, the first ones.
        options: what the source does not say of itself.
        progress: called with an image's name, how many there were and about how many there are.

    Raises:
        UsageError: there is no such format or image source.
        DataError: nothing could be packed, or the store holds other features.
        VlmtError: the disk is full; the store holds what was packed until then.
    """
    _check(format, image_source, regions)
    format = format or recognise(source)
    described = _description(store)
    options = options or PackOptions()
    image_source = image_source or ("cc" if format == "tensorpack" else None)
    with closing(FORMATS[format](source, options)) as entries:
        shape, damaged = _probe(entries, source, image_source)
    if shape is None:
        _write_damaged(store, source, damaged)
        raise _nothing(source, damaged)

    name = extractor or (described.extractor if described else UNKNOWN)
    meta = Meta(
        holds=described.holds if described else "",
        extractor=name,
        extractor_hash=extractor_hash(name, regions, options.whole_image_boxes),
        feature_width=described.feature_width if described else shape[0],
        classes=described.classes if described else shape[1],
    )
    damaged, captions, done, packed = [], {}, set[str](), 0
    mended: list[tuple[str, str]] = []
    with closing(FORMATS[format](source, options)) as entries, StoreWriter(store, meta) as writer:
        for seen, entry in enumerate(entries, 1):
            progress(entry.name, seen, round(seen / entry.share))
            try:
                key = _key(entry, image_source)
                if key in done:
                    raise ValueError("the image occurs twice; the first one is taken")
                if key not in writer:
                    read, changes = _read(entry)
                    writer.put(key, _cut(read, regions))
                    mended += [(entry.name, change) for change in changes]
                    packed += 1
                done.add(key)
                if entry.caption is not None:
                    captions[key] = entry.caption
            except (ValueError, DataError) as error:
                damaged.append(DamagedRecord(str(source), entry.name, _what(error)))
    _write_damaged(store, source, damaged)
    if not done:
        raise _nothing(source, damaged)
    problems = by_kind((record.name, record.problem) for record in damaged)
    written = _write_captions(beside(store, "captions.parquet"), captions)
    return Packed(format, packed, len(done) - packed, problems, by_kind(mended), written, writer.meta)


def beside(store: Path, what: str) -> Path:
    """Return the path of a file that belongs to a store and lies beside it."""
    return store.with_name(f"{store.name}.{what}")


def extractor_hash(name: str, regions: int | None = None, whole_image_boxes: bool = False) -> str:
    """Hash what tells the features of one extractor apart: its name, and what was made of them while packing."""
    choices = {"extractor": name, "regions": regions, "whole_image_boxes": whole_image_boxes}
    return hashlib.sha256(json.dumps(choices, sort_keys=True).encode()).hexdigest()[:16]


def _check(format: str | None, image_source: str | None, regions: int | None) -> None:
    if format is not None and format not in FORMATS:
        raise UsageError(f"there is no format {format!r}", todo=f"choose among {', '.join(FORMATS)}")
    if image_source is not None and (todo := right_source(image_source)):
        raise UsageError(f"{image_source!r} is not an image source", todo=todo)
    if regions is not None and regions < 1:
        raise UsageError("an image keeps at least one region", todo="give --regions 1 or more")


def _description(store: Path) -> Meta | None:
    """Return what a store says of itself; None where there is none yet, or nothing in it."""
    if not is_lmdb(store):
        data = store / "data.mdb"
        if store.is_file() or (data.exists() and data.stat().st_size):
            raise DataError("is not a feature store", where=store, todo="name another store")
        return None
    check_pages(store)
    with opened(store) as file:
        if not file.entries:
            return None
        if file.get(META) is None:
            raise DataError("is an LMDB of something else", where=store, todo="name another store")
        return read_meta(file, store)


def _probe(
    entries: Iterator[Entry], source: Path, image_source: str | None
) -> tuple[tuple[int, int] | None, list[DamagedRecord]]:
    """Return the usual feature width and number of classes of the first records, and what is damaged before them."""
    shapes: Counter[tuple[int, int]] = Counter()
    damaged: list[DamagedRecord] = []
    is_named = False
    for seen, entry in enumerate(entries, 1):
        try:
            _key(entry, image_source)
            is_named = True
            read, _ = _read(entry)
            if wrong := problem(read):
                raise ValueError(wrong)
            shapes[read.features.shape[1], 0 if read.scores is None else read.scores.shape[1]] += 1
        except (ValueError, DataError) as error:
            damaged.append(DamagedRecord(str(source), entry.name, _what(error)))
        if shapes.total() == _PROBED:
            break
        if seen == _NAMELESS and not is_named:
            raise _nothing(source, damaged)
    return (shapes.most_common(1)[0][0] if shapes else None), damaged


def _read(entry: Entry) -> tuple[Regions, list[str]]:
    """Read an image's regions and mend its boxes. Raises a ValueError or DataError, whatever is wrong with it."""
    try:
        return mend(entry.read())
    except (ValueError, DataError):
        raise
    except MemoryError as error:
        raise ValueError("it takes more memory than there is") from error
    except Exception as error:  # one bad record never ends the others
        raise ValueError(f"it cannot be read ({type(error).__name__}: {printable(error)})") from error


def _key(entry: Entry, image_source: str | None) -> str:
    if entry.damaged is not None:
        raise ValueError(entry.damaged)
    key = image_key_of(entry.name, image_source)
    if key is None:
        raise ValueError("the name does not say which image it is; --source says what numbers mean")
    if len(key.encode()) > _LONGEST_KEY:
        raise ValueError(f"the name is longer than the {_LONGEST_KEY} bytes that a store takes")
    return key


def _cut(regions: Regions, max_regions: int | None) -> Regions:
    if max_regions is None or len(regions.boxes) <= max_regions:
        return regions
    scores = None if regions.scores is None else regions.scores[:max_regions]
    return replace(regions, boxes=regions.boxes[:max_regions], features=regions.features[:max_regions], scores=scores)


def _what(error: ValueError | DataError) -> str:
    """Say what is wrong without where, which the record's name says."""
    return printable(error.what if isinstance(error, DataError) else error, 200)


def _nothing(source: Path, damaged: list[DamagedRecord]) -> DataError:
    problems = by_kind((record.name, record.problem) for record in damaged)
    kinds = "; ".join(sentence(record) for record in list(problems.values())[:3])
    return DataError(f"nothing can be packed: {kinds or 'there is no record'}", where=source)


def _write_damaged(store: Path, source: Path, damaged: list[DamagedRecord]) -> None:
    write_problems(beside(store, "problems.jsonl"), str(source), damaged)


def _write_captions(path: Path, captions: dict[str, str]) -> int:
    """Write captions, those of earlier files among them; returns how many there are now."""
    if captions and path.exists():
        try:
            earlier = pq.read_table(path, schema=CAPTIONS)
        except pa.ArrowException as error:
            raise DataError("is damaged", where=path, todo="delete it and pack again") from error
        captions = dict(zip(*earlier.to_pydict().values(), strict=True)) | captions
    if captions:
        write_parquet(path, pa.table([list(captions), list(captions.values())], schema=CAPTIONS))
    return len(captions)
