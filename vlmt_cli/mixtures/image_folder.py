"""Folders of image files, as Hugging Face's ``imagefolder`` reads them.

    metadata.jsonl   {"file_name": "0001.jpg", "text": "a bus"}      or file_names: [...], for several images
    metadata.csv     file_name,text                                 or metadata.parquet
    0001.jpg
    sub/0002.png

With a table of metadata its rows are the records, and image files that it does not name belong to none. Without one
every image file, by its suffix or its first bytes, is a record, in the order of their paths. Written back, the lines of
the table that stay are the same byte for byte, and the images of records that stay are hard links to the files here
(copies where the file system has no links), so that nothing is stored twice; do not edit them in place. Other files are
left behind.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.files import atomic_folder
from vlmt_cli.base.image_names import SUFFIXES, begins_as_image
from vlmt_cli.base.opening import open_file, read_file
from vlmt_cli.base.words import printable, quoted
from vlmt_cli.mixtures import parquet, table
from vlmt_cli.mixtures.batch import Batch, Damaged, Form, Kept, Source, Wanted
from vlmt_cli.mixtures.byte_ranges import merged, write_ranges
from vlmt_cli.mixtures.columns import Roles, roles_of
from vlmt_cli.mixtures.parquet import no_image_column
from vlmt_cli.mixtures.rows import batch_of

_METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_LOOKED_AT = 1000
"""Entries of a folder that are looked at before it is said to hold no images."""
_ROWS, _ROWS_WITH_DATA = 1 << 14, 64


def is_form(path: Path, head: bytes) -> bool:
    """Whether a path is a folder with a table of metadata or with image files."""
    if not path.is_dir():
        return False
    is_left = not any(path.iterdir())  # of a folder all of whose images went
    return (
        is_left or _metadata(path) is not None or any(_is_image(entry) for entry in islice(_entries(path), _LOOKED_AT))
    )


def read(source: Source, wanted: Wanted) -> Iterator[Batch]:
    """Read the records of a folder.

    Raises:
        DataError: it is not a folder, or its table of metadata is damaged or names no files.
    """
    if not source.path.is_dir():
        raise DataError("is not a folder of images", where=source.path, todo="say another form with --form")
    for batch in _records(source, wanted):
        yield _with_data(batch, source.path) if wanted.data else batch


def write(source: Source, kept: Kept, to: Path) -> None:
    """Write a folder again without the records that are not kept: their table, and links to their images."""
    metadata = _metadata(source.path)
    with atomic_folder(to) as temporary:
        if metadata is not None:
            _write_metadata(metadata, kept, temporary / metadata.name)
        made: set[str] = set()
        for batch in _records(source, Wanted()):
            images = batch.images
            if "name" not in images.schema.names:
                continue
            stays = kept.records[images.column("record").to_numpy()]
            for name in images.column("name").filter(pa.array(stays)).drop_null().to_pylist():
                path = _inside(source.path, name)
                if path is not None and name not in made and path.is_file():
                    made.add(name)
                    (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                    _link(path, temporary / name)
        # What has another name there would stay beside it.
        new = {name.partition("/")[0] for name in made}
        old = next((name for name in _images_below(to) if name.partition("/")[0] not in new), None)
        if metadata is None and old is not None:
            todo = "remove them, or give another folder"
            raise UsageError(f"holds images of something else, such as {quoted(old)}", where=to, todo=todo)


def _images_below(folder: Path) -> Iterator[str]:
    """Give the paths of a folder's images, below it."""
    return (path.relative_to(folder).as_posix() for path in _entries(folder) if _is_image(path))


def _records(source: Source, wanted: Wanted) -> Iterator[Batch]:
    metadata = _metadata(source.path)
    if metadata is None:
        _check_below(source.path)
        return _files(source.path, wanted)
    inner = replace(source, path=metadata)
    if metadata.suffix == ".csv":
        return _some(table.read(inner, replace(wanted, data=False)), source.path, metadata)
    if metadata.suffix == ".parquet":
        return _some(parquet.read(inner, replace(wanted, data=False)), source.path, metadata)
    return _some(_lines(metadata, wanted), source.path, metadata)


def _some(batches: Iterator[Batch], folder: Path, metadata: Path) -> Iterator[Batch]:
    """Refuse a table without a record beside image files, all of which would be passed over."""
    records = 0
    for batch in batches:
        records += batch.records
        yield batch
    if not records and (image := next(_images_below(folder), None)) is not None:
        todo = "remove it where the images are meant, or get it again"
        raise DataError(f"has no record, and images lie beside it, such as {quoted(image)}", where=metadata, todo=todo)


def _files(folder: Path, wanted: Wanted) -> Iterator[Batch]:
    """Give every image file as a record."""
    paths = _images_below(folder)
    first, size = 0, _ROWS_WITH_DATA if wanted.data else _ROWS
    while names := list(islice(paths, size)):
        count = len(names)
        images = pa.RecordBatch.from_arrays(
            [
                pa.array(np.arange(first, first + count)),
                pa.array(np.zeros(count), pa.int32()),
                pa.array([name.encode(errors="replace").decode() for name in names]),
            ],
            ["record", "position", "name"],
        )
        texts = pa.array([[]] * count, pa.list_(pa.string())) if wanted.texts else None
        yield Batch(first, count, images, pa.nulls(count, pa.string()), texts)
        first += count


def _lines(path: Path, wanted: Wanted) -> Iterator[Batch]:
    """Give the records of a metadata.jsonl; empty lines are none."""
    spans = _line_spans(path)
    first, size = 0, _ROWS_WITH_DATA if wanted.data else _ROWS
    data = read_file(path)
    known: Roles | None = None
    while first < len(spans):
        rows, damaged = [], []
        part = spans[first : first + size]
        for record, (start, end) in enumerate(part.tolist(), first):
            try:
                row = msgspec.json.decode(data[start:end].removeprefix(b"\xef\xbb\xbf"), type=dict)
                rows.append({name: value for name, value in row.items() if _is_plain(value)})
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                damaged.append(Damaged(record, f"is not a JSON object ({printable(error)})"))
                rows.append({})
        if first == 0 and len(damaged) == len(rows):
            todo = "get the file again, or correct it"
            raise DataError(damaged[0].reason, where=f"{path}: record 0", todo=todo)
        columns = {name: _column([row.get(name) for row in rows]) for name in dict.fromkeys(n for r in rows for n in r)}
        batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
        if not columns:  # pyarrow counts rows by columns
            batch = pa.RecordBatch.from_arrays([pa.nulls(len(rows), pa.string())], ["text"])
        roles = roles_of(batch.schema, pa.Table.from_batches([batch]).select) or Roles()
        if known is None and not (damaged or roles.images or roles.names):
            raise no_image_column(path, list(columns))
        known = roles
        result = batch_of(batch, roles, first, wanted)
        yield replace(result, spans=part, damaged=(*result.damaged, *damaged))
        first += len(part)


def _is_plain(value: object) -> bool:
    """Whether a value is a text, a number or a list of texts: what else there is names no image."""
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def _column(values: list[object]) -> pa.Array:
    if any(isinstance(value, list) for value in values):
        lists = [value if isinstance(value, list) or value is None else [str(value)] for value in values]
        return pa.array(lists, pa.list_(pa.string()))
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def _line_spans(path: Path) -> NDArray[np.int64]:
    """Return the first and last byte (exclusive) of each line that is not empty, N x 2."""
    data = read_file(path)
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
    ends = ends if data.endswith(b"\n") or not data else np.append(ends, len(data))
    starts = np.concatenate([[0], ends[:-1]])[: len(ends)]
    spans = np.column_stack([starts, ends])
    return spans[[bool(data[start:end].strip()) for start, end in spans.tolist()]] if len(spans) else spans


def _write_metadata(metadata: Path, kept: Kept, to: Path) -> None:
    source = Source(metadata, "image_folder")
    if metadata.suffix == ".csv":
        table.write(source, kept, to)
    elif metadata.suffix == ".parquet":
        parquet.write(source, kept, to)
    else:
        write_ranges(metadata, merged(_line_spans(metadata)[kept.records]), to)


def _with_data(batch: Batch, folder: Path) -> Batch:
    """Add the image files' bytes; a record whose file is missing or lies elsewhere is damaged."""
    data: list[bytes | None] = []
    damaged: dict[int, Damaged] = {}
    records = batch.images.column("record").to_pylist()
    has_names = "name" in batch.images.schema.names
    names = batch.images.column("name").to_pylist() if has_names else [None] * len(records)
    for record, name in zip(records, names, strict=True):
        path = None if name is None else _inside(folder, name)
        try:
            data.append(None if path is None else read_file(path))
            if name is not None and path is None:
                damaged[record] = Damaged(record, f"{quoted(name)} is not the name of a file in the folder")
        except (OSError, DataError):
            data.append(None)
            damaged[record] = Damaged(record, f"{quoted(name)} cannot be read")
    images = batch.images.append_column("data", pa.array(data, pa.binary()))
    images = images.filter(pa.array([record not in damaged for record in records], pa.bool_()))
    return replace(batch, images=images, damaged=(*batch.damaged, *damaged.values()))


def _inside(folder: Path, name: str) -> Path | None:
    """Return a file of the folder; None for what leads out of it or can be the name of no file."""
    parts = Path(name).parts
    if "\0" in name or Path(name).is_absolute() or ".." in parts or any(len(os.fsencode(part)) > 255 for part in parts):
        return None
    return folder / name


def _metadata(folder: Path) -> Path | None:
    """Return a folder's table of metadata; None where each of its image files is a record."""
    return next((folder / name for name in _METADATA if (folder / name).is_file()), None)


def _check_below(folder: Path) -> None:
    """Refuse a folder whose parts have tables of metadata: as image files alone they would lose them."""
    for name in _METADATA:
        for below in sorted(folder.glob(f"*/{name}")):
            todo = f"give {printable(below.parent)} and the other folders that have one"
            raise DataError(f"has no {name}, but a folder in it has", where=folder, todo=todo)


def _entries(folder: Path) -> Iterator[Path]:
    """Give the files of a folder and its subfolders in the order of their paths; hidden ones are passed over."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(files) if not name.startswith("."))


def _is_image(path: Path) -> bool:
    if path.name.lower().endswith(SUFFIXES):
        return True
    try:  # photos are also named 1.jpg.1, or 1620893517
        with open_file(path) as file:
            return begins_as_image(file.read(16))
    except (OSError, DataError):
        return False


def _link(path: Path, to: Path) -> None:
    try:
        os.link(path, to)
    except OSError:
        with open_file(path) as file, open(to, "wb") as copy:
            shutil.copyfileobj(file, copy, 1 << 20)


IMAGE_FOLDER = Form("imagefolder", is_form, read, write)
