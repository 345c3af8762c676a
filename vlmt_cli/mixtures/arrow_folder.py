"""Arrow: the folders that ``save_to_disk`` of Hugging Face's datasets writes, and single files.

    train/state.json              {"_data_files": [{"filename": "data-00000-of-00002.arrow"}, ...], "_split": "train"}
    train/dataset_info.json       {"features": {"image": {"_type": "Image"}, ...}, "splits": {...}}
    train/data-00000-of-00002.arrow
    dataset_dict.json             {"splits": ["train", "test"]}, in the folder around several such folders

Records are numbered through all data files of a folder, and through all splits in the order of ``dataset_dict.json``.
Data files are mapped into memory: the bytes of images are not touched unless they are asked for. Compressed data files
are read, and written uncompressed.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import atomic, atomic_folder
from vlmt_cli.base.opening import check_file, read_file
from vlmt_cli.base.words import printable, quoted
from vlmt_cli.mixtures.batch import Batch, Form, Kept, Source, Wanted, split_field
from vlmt_cli.mixtures.columns import Roles, roles_of
from vlmt_cli.mixtures.fewer_images import list_of_images, with_fewer_images
from vlmt_cli.mixtures.parquet import check_names, intact, is_text, no_image_column
from vlmt_cli.mixtures.rows import batch_of
from vlmt_cli.mixtures.views import filtered

_FILE, _STREAM = b"ARROW1\0\0", b"\xff\xff\xff\xff"
_STATE, _DICT, _INFO = "state.json", "dataset_dict.json", "dataset_info.json"
DESCRIPTIONS = (_STATE, _DICT, _INFO)
"""Files that say what a saved dataset is."""
_ROWS = 1 << 17
_BYTES = 64 << 20
"""Bytes of a batch with images, about."""


def is_form(path: Path, head: bytes) -> bool:
    """Whether a folder has the description of a saved dataset, or a file begins as Arrow does."""
    if path.is_dir():
        return (path / _STATE).is_file() or (path / _DICT).is_file()
    return head.startswith(_FILE) or (head.startswith(_STREAM) and path.suffix == ".arrow")


def read(source: Source, wanted: Wanted) -> Iterator[Batch]:
    """Read the records of a folder or a file.

    Raises:
        DataError: a file is missing or damaged, or there is no column that names an image.
    """
    first = 0
    for file in _data_files(source.path):
        done = 0
        with _opened(file) as (schema, batches):
            head = next(batches, None)
            roles = _roles(file, schema, head)
            columns = list(dict.fromkeys(roles.columns(wanted.texts)))
            while head is not None:
                rows = head.select(columns)
                step = _ROWS
                if wanted.data:
                    step = max(1, min(step, _BYTES * head.num_rows // max(1, head.nbytes)))
                for start in range(0, rows.num_rows, step):
                    part = rows.slice(start, step)
                    with intact(file, done + start):
                        for column in part.columns:
                            column.validate(full=True)
                        batch = batch_of(part, roles, first + start, wanted)
                    yield batch
                first, done = first + head.num_rows, done + head.num_rows
                head = next(batches, None)


def write(source: Source, kept: Kept, to: Path) -> None:
    """Write a folder or a file again without the records that are not kept.

    A folder's description gets the new number of examples and another fingerprint, by which caches tell datasets apart;
    other files in it are left behind.
    """
    if source.path.is_dir():
        with atomic_folder(to) as temporary:
            splits = _splits(source.path)
            if not splits:
                _write_folder(source.path, kept, 0, temporary)
                return
            shutil.copyfile(source.path / _DICT, temporary / _DICT)
            first = 0
            for split in splits:
                (temporary / split.name).mkdir()
                first += _write_folder(split, kept, first, temporary / split.name)
        return
    with atomic(to) as temporary:
        _write_file(source.path, kept, 0, temporary)


def _write_folder(folder: Path, kept: Kept, first: int, to: Path) -> int:
    """Write the kept rows of a folder whose first row has a number; returns how many rows it had."""
    start, bytes_, shards = first, 0, []
    for file in _listed(folder):
        records, size = _write_file(file, kept, first, to / file.name)
        shards.append(int(kept.records[first : first + records].sum()))
        first, bytes_ = first + records, bytes_ + size
    mine = kept.records[start:first].tobytes() + repr(sorted(kept.images.items())).encode()
    state = _json(folder / _STATE)
    mark = f"{state.get('_fingerprint')}{hashlib.sha256(mine).hexdigest()}"
    state["_fingerprint"] = hashlib.sha256(ascii(mark).encode()).hexdigest()[:16]
    (to / _STATE).write_text(json.dumps(state, indent=2))
    if (folder / _INFO).is_file():
        info = _json(folder / _INFO)
        sizes = info["splits"].get(state.get("_split")) if isinstance(info.get("splits"), dict) else None
        if isinstance(sizes, dict):
            sizes |= {"num_examples": sum(shards), "num_bytes": bytes_}
            if sizes.get("shard_lengths"):
                sizes["shard_lengths"] = shards
        (to / _INFO).write_text(json.dumps(info, indent=2))
    return first - start


def _write_file(file: Path, kept: Kept, start: int, to: Path) -> tuple[int, int]:
    """Write the kept rows of a data file whose first row has a number; returns how many it had, and kept bytes."""
    first, size = start, 0
    column = _list_of_images(file) if kept.images else None
    with _opened(file) as (schema, batches):
        new = pa.ipc.new_file if _is_file(file) else pa.ipc.new_stream
        with new(str(to), schema) as writer:
            for batch in batches:
                mask = kept.records[first : first + batch.num_rows]
                with intact(file, first - start):
                    batch.validate(full=True)
                    if column is not None:
                        batch = with_fewer_images(batch, column, first, kept.images)
                    batch = batch if mask.all() and column is None else filtered(batch, pa.array(mask), schema)
                first += len(mask)
                size += batch.nbytes
                if batch.num_rows:
                    writer.write_batch(batch)
    return first - start, size


@contextmanager
def _opened(file: Path) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """Give a file's schema and its batches."""
    check_file(file)
    with intact(file, 0):
        mapped = pa.memory_map(str(file))
    with mapped:
        with intact(file, 0):
            reader = pa.ipc.open_file(mapped) if _is_file(file) else pa.ipc.open_stream(mapped)
        yield reader.schema, _batches(reader, file)


def _batches(reader: Any, file: Path) -> Iterator[pa.RecordBatch]:
    first = number = 0
    while True:
        with intact(file, first):
            if isinstance(reader, pa.ipc.RecordBatchFileReader):
                batch = reader.get_batch(number) if number < reader.num_record_batches else None
            else:
                batch = next(reader, None)
            if batch is not None:
                batch.validate()  # before anything is asked of it
        if batch is None:
            return
        yield batch
        first, number = first + batch.num_rows, number + 1


def can_drop_images(source: Source) -> bool:
    """Whether all images of a record stand in one list, alone, in each data file."""
    return all(_list_of_images(file) is not None for file in _data_files(source.path))


def _list_of_images(file: Path) -> str | None:
    with _opened(file) as (schema, batches):
        return list_of_images(schema, _roles(file, schema, next(batches, None)))


def _roles(file: Path, schema: pa.Schema, head: pa.RecordBatch | None) -> Roles:
    check_names(file, schema)
    with intact(file, 0):
        if roles := roles_of(schema, partial(_sample, head, schema)):
            return roles
    raise no_image_column(file, schema.names)


def _sample(head: pa.RecordBatch | None, schema: pa.Schema, names: list[str]) -> pa.Table:
    sample = pa.Table.from_batches([head.slice(0, 1000)] if head else [], schema).select(names)
    sample.validate(full=True)
    return sample


def splits(source: Source) -> Iterator[list[str | None]]:
    """Yield the split of each record: of the folder that it lies in, and as its columns of texts say it."""
    folders = _splits(source.path) if source.path.is_dir() else []
    if folders:
        yield [folder.name for folder in folders for file in _listed(folder) for _ in range(_rows(file))]
    files = _data_files(source.path)
    with _opened(files[0]) as (schema, _):
        names = [name for name in split_field(schema.names) if is_text(schema.field(name).type)]
    for name in names:
        said: list[str | None] = []
        for file in files:
            with _opened(file) as (schema, batches):
                has = name in schema.names
                said += [
                    each for batch in batches for each in (batch[name].to_pylist() if has else [None] * len(batch))
                ]
        yield said


def _rows(file: Path) -> int:
    with _opened(file) as (_, batches):
        return sum(batch.num_rows for batch in batches)


def _is_file(file: Path) -> bool:
    with open(file, "rb") as opened:
        return opened.read(len(_FILE)) == _FILE


def _data_files(path: Path) -> list[Path]:
    """Return the data files of a file, a saved dataset, or a folder of several."""
    if not path.is_dir():
        return [path]
    if splits := _splits(path):
        return [file for split in splits for file in _listed(split)]
    return _listed(path)


def _listed(path: Path) -> list[Path]:
    """Return the data files that a saved dataset lists."""
    state = _json(path / _STATE)
    if state.get("_indices_data_files"):
        todo = "load it with datasets, call flatten_indices(), and save it again"
        raise DataError("keeps the order of its records apart, as old versions of datasets did", where=path, todo=todo)
    try:
        names = [entry["filename"] for entry in state["_data_files"]]
    except (KeyError, TypeError) as error:
        raise DataError("does not list its data files", where=path / _STATE, todo="save the dataset again") from error
    return [_inside(path, name, _STATE) for name in names]


def _splits(folder: Path) -> list[Path]:
    if not (folder / _DICT).is_file():
        return []
    names = _json(folder / _DICT).get("splits")
    if not isinstance(names, list) or not names:
        raise DataError("does not list its splits", where=folder / _DICT, todo="save the dataset again")
    splits = [_inside(folder, name, _DICT) for name in names]
    for split in splits:
        if not (split / _STATE).is_file():
            raise DataError(f"{_STATE} is missing", where=split, todo="copy the whole folder again")
    return splits


def _inside(folder: Path, name: object, said_by: str) -> Path:
    """Return a file or a folder directly below a folder; what leads out of it is refused."""
    if not isinstance(name, str) or Path(name).name != name or name in ("", ".", ".."):
        todo = "do not trust where it came from"
        raise DataError(f"{quoted(name)} is not the name of a file in its folder", where=folder / said_by, todo=todo)
    return folder / name


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(read_file(path))
        if not isinstance(value, dict):
            raise ValueError("not an object")
    except FileNotFoundError as error:
        raise DataError("is missing", where=path, todo="copy the whole folder again") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON ({printable(error)})", where=path, todo="copy the folder again") from error
    return value


ARROW = Form("Arrow (save_to_disk)", is_form, read, write, can_drop_images, splits=splits)
