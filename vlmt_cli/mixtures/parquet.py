"""Parquet: what the hub of Hugging Face serves, and tables of addresses.

LLaVA-OneVision-Data
    id: '000000033471', image: {bytes: ..., path: null}, conversations: [{from: human, value: ...}], data_source: ...
The Cauldron, FineVision
    images: [{bytes: ..., path: null}], texts: [{user: ..., assistant: ...}]
benchmarks of lmms-lab
    question_id: ..., image: {bytes: ..., path: null}, file_name: COCO_train2014_000000581857_16.jpg
LAION, DataComp, PixMo
    URL: http://..., TEXT: ..., hash: 8215871        uid: 32 digits, url, text, sha256        image_url, image_sha256

``columns.py`` says which columns are read. An image's bytes are read only where they are asked for.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.file_systems import one_line, open_elsewhere
from vlmt_cli.base.files import atomic
from vlmt_cli.base.opening import check_file
from vlmt_cli.base.words import listed, printable, quoted
from vlmt_cli.mixtures.batch import Batch, Form, Kept, Source, Wanted, split_field
from vlmt_cli.mixtures.columns import Roles, leaves, roles_of, with_fields
from vlmt_cli.mixtures.fewer_images import list_of_images, with_fewer_images
from vlmt_cli.mixtures.rows import batch_of
from vlmt_cli.mixtures.views import filtered, parquet_schema

_ROWS = 1 << 17
"""Rows of a batch of names."""
_BYTES = 64 << 20
"""Bytes of a batch with texts or images, about."""
_GROUP_BYTES = 1 << 30
"""Bytes that are held of a row group while it is written; a larger one becomes several."""
_SAMPLE = 1000


def is_form(path: Path, head: bytes) -> bool:
    """Whether a file begins as Parquet does."""
    return head[:4] == b"PAR1"


def read(source: Source, wanted: Wanted) -> Iterator[Batch]:
    """Read the records of a file.

    Raises:
        DataError: it is damaged, or has no column that names an image.
    """
    path = source.name
    with opened(source) as file:
        with intact(path, 0):
            roles = _roles(file, path, source.fields)
            paths = [file.schema.column(column).path for column in range(len(file.schema))]
            columns = leaves(roles, paths, wanted.texts, wanted.data)
        groups = None if source.groups is None else range(*source.groups)
        begin = sum(file.metadata.row_group(group).num_rows for group in range(groups[0] if groups else 0))
        for first, rows in _batches(file, path, columns, _batch_rows(file, wanted), groups, begin):
            with intact(path, first):
                batch = batch_of(rows, roles, first, wanted)
            yield batch


def write(source: Source, kept: Kept, to: Path) -> None:
    """Write a file again without the records that are not kept: equal values, schema and metadata, alike row groups."""
    with opened(source) as file, atomic(to) as temporary:
        with intact(source.path, 0):
            schema, settings = parquet_schema(file.schema_arrow), _settings(file)
            column = (
                list_of_images(file.schema_arrow, _roles(file, source.name, source.fields)) if kept.images else None
            )
        with pq.ParquetWriter(temporary, schema, **settings) as writer:
            first = 0
            for group in range(file.metadata.num_row_groups):
                rows: list[pa.RecordBatch] = []
                size = 0
                batch_rows = _rows_of(file.metadata.row_group(group), _BYTES)
                for start, batch in _batches(file, source.path, None, batch_rows, [group], first):
                    if column is not None:
                        batch = with_fewer_images(batch, column, start, kept.images)
                    with intact(source.path, start):  # a damaged file's columns may differ in length
                        rows.append(filtered(batch, pa.array(kept.records[start : start + batch.num_rows]), schema))
                    size += rows[-1].nbytes
                    if size > _GROUP_BYTES:
                        _write_group(writer, rows, schema)
                        rows, size = [], 0
                _write_group(writer, rows, schema)
                first += file.metadata.row_group(group).num_rows


def can_drop_images(source: Source) -> bool:
    """Whether all images of a record stand in one list, alone."""
    with opened(source) as file, intact(source.name, 0):
        return list_of_images(file.schema_arrow, _roles(file, source.name, source.fields)) is not None


def in_parts(source: Source, most: int) -> list[Source]:
    """Cut a file that lies here into runs of whole row groups of about ``most`` bytes."""
    if not source.path.is_file() or source.path.stat().st_size <= most:
        return [source]
    with opened(source) as file:
        sizes = [file.metadata.row_group(group).total_byte_size for group in range(file.metadata.num_row_groups)]
    starts, held = [0], 0
    for group, size in enumerate(sizes):
        if held and held + size > most:
            starts.append(group)
            held = 0
        held += size
    if len(starts) == 1:
        return [source]
    return [replace(source, groups=pair) for pair in pairwise([*starts, len(sizes)])]


def splits(source: Source) -> Iterator[list[str | None]]:
    """Yield of each column of texts that may say it the split of each record."""
    with opened(source) as file, intact(source.name, 0):
        schema = file.schema_arrow
        for name in split_field(schema.names):
            if is_text(schema.field(name).type):
                yield file.read(columns=[name]).column(name).to_pylist()


def is_text(kind: pa.DataType) -> bool:
    """Whether a column is of texts, a dictionary of them included."""
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def no_image_column(path: Path | str, names: list[str]) -> DataError:
    """Return the error for a table in which no column says anything of images."""
    shown = listed([printable(name, 30) for name in names[:10]]) if names else "none"
    return DataError(
        f"has no column that names an image (its columns: {shown}{', ...' if len(names) > 10 else ''})",
        where=path,
        todo="name the column image, file_name or url",
    )


def check_names(path: Path | str, schema: pa.Schema) -> None:
    """Refuse a table with two columns, or fields of a column, of one name: nobody can say which of them is meant."""
    names = list(schema.names)
    below = [(field.name, field.type) for field in schema]
    while below:
        name, kind = below.pop()
        fields = [kind.field(number) for number in range(kind.num_fields)]
        names += [f"{name}.{field.name}" for field in fields if types.is_struct(kind)]
        below += [(f"{name}.{field.name}", field.type) for field in fields]
    if twice := [name for name, columns in Counter(names).items() if columns > 1]:
        raise DataError(f"has two columns {quoted(twice[0])}", where=path, todo="rename one of them, or leave it out")


@contextmanager
def intact(path: Path | str, record: int) -> Iterator[None]:
    """Turn what Arrow says of a damaged file into an error of one line."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError("there is no such file", where=path) from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = printable(str(error).partition("\n")[0], 80)
        todo = "get the file again, or correct the record"
        raise DataError(
            f"cannot be read from here on ({reason})", where=f"{path}: record {record}", todo=todo
        ) from error


@contextmanager
def opened(source: Source) -> Iterator[pq.ParquetFile]:
    """Open a file, here or where it lies."""
    if source.origin and not source.path.exists():  # it is read where it lies
        opens = source.opens or open_elsewhere
        with one_line(source.origin), opens(source.origin) as stream, intact(source.origin, 0):
            yield pq.ParquetFile(stream, pre_buffer=True)
        return
    check_file(source.path)
    with intact(source.path, 0):
        file = pq.ParquetFile(source.path, pre_buffer=False)  # otherwise the whole file stays in memory
    with file:
        yield file


def _roles(file: pq.ParquetFile, path: str, fields: Sequence[str] = ()) -> Roles:
    def sample(columns: list[str]) -> pa.Table:
        rows = file.iter_batches(_SAMPLE, columns=columns)
        schema = pa.schema([file.schema_arrow.field(name) for name in columns])
        return pa.Table.from_batches([batch.select(columns) for batch in islice(rows, 1)], schema)

    check_names(path, file.schema_arrow)
    if roles := with_fields(roles_of(file.schema_arrow, sample), fields, file.schema_arrow.names):
        return roles
    raise no_image_column(path, file.schema_arrow.names)


def _batches(
    file: pq.ParquetFile,
    path: Path | str,
    columns: list[str] | None,
    size: int,
    groups: Sequence[int] | None = None,
    first: int = 0,
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Give the rows of a file, or of some row groups, with the number of each batch's first."""
    rows = file.iter_batches(size, row_groups=groups, columns=columns)
    while True:
        with intact(path, first):
            batch = next(rows, None)
        if batch is None:
            return
        yield first, batch
        first += batch.num_rows


def _batch_rows(file: pq.ParquetFile, wanted: Wanted) -> int:
    if not (wanted.data or wanted.texts):
        return _ROWS
    groups = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups)]
    return min((_rows_of(group, _BYTES) for group in groups), default=1)


def _rows_of(group: Any, most: int) -> int:
    """Return how many rows of a row group take about ``most`` bytes."""
    rows: int = most * group.num_rows // max(1, group.total_byte_size)
    return max(1, min(_ROWS, rows))


def _write_group(writer: pq.ParquetWriter, rows: list[pa.RecordBatch], schema: pa.Schema) -> None:
    table = pa.Table.from_batches(rows, schema)
    if len(table):
        writer.write_table(table, row_group_size=len(table))


def _settings(file: pq.ParquetFile) -> dict[str, Any]:
    """Return with what a file was written, as far as it says."""
    meta = file.metadata
    settings: dict[str, Any] = {
        "store_schema": b"ARROW:schema" in (meta.metadata or {}),
        "version": meta.format_version,
    }
    if not meta.num_row_groups:
        return settings
    group = meta.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    paths = [column.path_in_schema for column in columns]
    if any(column.compression == "UNKNOWN" for column in columns):
        raise pa.ArrowInvalid("a column is compressed in an unknown way")
    dictionary = [c.path_in_schema for c in columns if {"RLE_DICTIONARY", "PLAIN_DICTIONARY"} & set(c.encodings)]
    return settings | {
        "compression": {c.path_in_schema: c.compression.replace("UNCOMPRESSED", "NONE") for c in columns},
        "use_dictionary": dictionary or False,
        "write_statistics": [c.path_in_schema for c in columns if c.is_stats_set] or False,
        "write_page_index": any(column.has_column_index for column in columns),
        "use_compliant_nested_type": not any(".list.item" in path for path in paths),
        "use_deprecated_int96_timestamps": any(column.physical_type == "INT96" for column in columns),
    }


PARQUET = Form("Parquet", is_form, read, write, can_drop_images, in_parts=in_parts, splits=splits)
