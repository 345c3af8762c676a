"""Tables of addresses or names as text: CSV and TSV.

Conceptual Captions, TSV without a header, caption and address (CC12M: address and caption)
    a very typical bus station<TAB>http://lh6.ggpht.com/-IvRtNLNcG8o/TpFyrudaT6I/AAAAAAAAM6o/...
Anything with a header
    image_url,image_sha256,caption
    http://farm4.staticflickr.com/3153/2970773875_164f0c0b83_z.jpg,08dc1f...,"a bus, white and red"

``columns.py`` says which columns are read. In a TSV quotation marks are literal, as in Conceptual Captions; in a CSV
they may enclose commas and ends of lines. A line with another number of fields is a damaged record, and so is one that
opens a quotation which swallows others (``table_records.py``). Written back, every kept line stays byte for byte.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.image_names import SUFFIXES
from vlmt_cli.base.packed import open_packed
from vlmt_cli.mixtures.batch import Batch, Damaged, Form, Kept, Source, Wanted, split_field
from vlmt_cli.mixtures.byte_ranges import merged, write_ranges
from vlmt_cli.mixtures.columns import Roles, roles_of, with_fields
from vlmt_cli.mixtures.parquet import intact, no_image_column
from vlmt_cli.mixtures.rows import batch_of
from vlmt_cli.mixtures.table_records import RowForms, records_in, row_forms

_BYTES = 16 << 20
"""Bytes of a batch, about."""
_LARGEST = 256 << 20
"""Bytes of a record, at most."""
_HEAD = 1 << 16
_SAMPLE = 1000
_VALUE = re.compile(rf"^https?://|(?:{'|'.join(map(re.escape, SUFFIXES))})$", re.IGNORECASE)
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class _Layout:
    """How a table is written: the delimiter, the columns, where its first record begins, and what is in it."""

    delimiter: bytes
    names: list[str]
    start: int
    roles: Roles
    rows: RowForms


@dataclass(frozen=True)
class _Piece:
    """Some whole records: the number of the first, where in the file it begins, their bytes, and each one's end.

    Of those that are damaged ``bad`` has the number, from the first on, and the reason.
    """

    first: int
    start: int
    text: bytes
    ends: NDArray[np.int64]
    bad: list[tuple[int, str]]

    def spans(self) -> NDArray[np.int64]:
        """Return the first and last byte (exclusive) of each record in the file."""
        return np.column_stack([np.concatenate([[0], self.ends[:-1]]), self.ends]) + self.start


def is_form(path: Path, head: bytes) -> bool:
    """Whether a file is text in columns, of which one names images by its header or its content."""
    return not path.is_dir() and _layout(head) is not None


def read(source: Source, wanted: Wanted) -> Iterator[Batch]:
    """Read the records of a table.

    Raises:
        DataError: it has no column that names an image, or cannot be read as a table.
    """
    layout = _layout_of(source.path)
    layout = replace(layout, roles=with_fields(layout.roles, source.fields, layout.names) or layout.roles)
    for piece in _pieces(source.path, layout):
        with intact(source.path, piece.first):
            rows, damaged = _parsed(piece, layout, list(dict.fromkeys(layout.roles.columns(wanted.texts))))
            batch = batch_of(rows, layout.roles, piece.first, wanted)
        if len(rows) != len(piece.ends):
            todo = "correct the quotation marks from there on"
            raise DataError(
                "begins lines that cannot be told apart", where=f"{source.path}: record {piece.first}", todo=todo
            )
        yield replace(batch, spans=piece.spans(), damaged=(*batch.damaged, *damaged))


def write(source: Source, kept: Kept, to: Path) -> None:
    """Write a table again without the records that are not kept; header and kept records byte for byte."""
    layout = _layout_of(source.path)
    ranges = [(0, layout.start)]
    for piece in _pieces(source.path, layout):
        ranges += merged(piece.spans()[kept.records[piece.first : piece.first + len(piece.ends)]])
    write_ranges(source.path, merged(ranges), to)


def splits(source: Source) -> Iterator[list[str | None]]:
    """Yield of each column that may say it the split of each record."""
    layout = _layout_of(source.path)
    for name in split_field(layout.names):
        said: list[str | None] = []
        for piece in _pieces(source.path, layout):
            with intact(source.path, piece.first):
                said += _parsed(piece, layout, [name])[0].column(name).to_pylist()
        yield said


def _layout_of(path: Path) -> _Layout:
    head = next(_chunks(path, _HEAD), b"")
    if layout := _layout(head):
        return layout
    raise no_image_column(path, _fields(head.removeprefix(_BOM).partition(b"\n")[0], _delimiter(head)))


def _layout(head: bytes) -> _Layout | None:
    """Say how a table is written by its beginning; None where it is none, or names no images."""
    start = len(_BOM) * head.startswith(_BOM)
    text, delimiter = head[start:], _delimiter(head)
    if b"\0" in text or text.lstrip()[:1] in (b"", b"{", b"[", b"<"):
        return None
    ends = records_in(text, delimiter, None, is_all=False)[0][: _SAMPLE + 1].tolist() or [len(text)]
    rows = [_fields(text[a:b], delimiter) for a, b in zip([0, *ends], ends, strict=False)]
    names, has_header = rows[0], not any(_VALUE.search(field) for field in rows[0])
    if has_header:
        names = [name if name not in names[:number] else f"{name}.{number}" for number, name in enumerate(names)]
        start += ends[0]
    else:
        names = [f"column {number}" for number in range(1, len(names) + 1)]
    rows = [row for row in rows[has_header:] if len(row) == len(names)]
    values = dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ())
    sample = pa.table({name: pa.array(values[name], pa.string()) for name in names})
    roles = roles_of(sample.schema, sample.select)
    is_list = len(names) == 1 and (not has_header or names[0].startswith("#"))  # names alone, or below a comment
    if roles is None or not (roles.images or roles.names or roles.urls) or is_list:
        return None
    shown = [number for number, name in enumerate(names) if name in (*roles.images, *roles.names, *roles.urls)]
    seen = [value for number in shown for value in values[names[number]]]
    if not seen:  # the first record is longer than the beginning
        seen = head[start:].decode(errors="replace").partition("\n")[0].split(delimiter.decode())
    return _Layout(delimiter, names, start, roles, row_forms(len(names), shown, seen))


def _delimiter(head: bytes) -> bytes:
    return b"\t" if b"\t" in head.partition(b"\n")[0] else b","


def _fields(record: bytes, delimiter: bytes) -> list[str]:
    text = record.decode(errors="replace").rstrip("\r\n")
    if delimiter == b"\t":
        return text.split("\t")
    try:
        return next(csv.reader([text]), [])
    except csv.Error:
        return []


def _chunks(path: Path, size: int) -> Iterator[bytes]:
    try:
        with open_packed(path) as file:
            while chunk := file.read(size):
                yield chunk
    except FileNotFoundError as error:
        raise DataError("there is no such file", where=path) from error


def _pieces(path: Path, layout: _Layout) -> Iterator[_Piece]:
    """Give a table in pieces of whole records."""
    first, start, skip, rest = 0, layout.start, layout.start, b""
    for chunk in chain(_chunks(path, _BYTES), [b""]):
        rest, skip = (rest + chunk)[skip:], max(0, skip - len(chunk))
        try:
            ends, bad = records_in(rest, layout.delimiter, layout.rows, is_all=not chunk)
        except ValueError as error:
            todo = "write its texts in quotation marks, and marks within them twice"
            raise DataError(str(error), where=f"{path}: from record {first} on", todo=todo) from error
        if len(ends):
            whole = int(ends[-1])
            yield _Piece(first, start, rest[:whole], ends, bad)
            first, start, rest = first + len(ends), start + whole, rest[whole:]
        elif len(rest) > _LARGEST:
            todo = "close the quotation mark that opens there"
            raise DataError(f"is longer than {_LARGEST:,} bytes", where=f"{path}: record {first}", todo=todo)


def _parsed(piece: _Piece, layout: _Layout, columns: list[str]) -> tuple[pa.RecordBatch, list[Damaged]]:
    """Take some columns of N records; a damaged one has nulls."""
    bad: list[pa.csv.InvalidRow] = []

    def skipped(row: pa.csv.InvalidRow) -> str:
        bad.append(row)
        return "skip"

    text = piece.text
    if piece.bad:
        begins = np.concatenate([[0], piece.ends])
        gone = [(begins[number], begins[number + 1]) for number, _ in piece.bad]
        starts, stops = [0, *(end for _, end in gone)], [*(begin for begin, _ in gone), len(text)]
        text = b"\n".join(text[start:stop] for start, stop in zip(starts, stops, strict=True))
    if text.count(b"\r") != text.count(b"\r\n"):
        text = re.sub(rb"\r(?!\n)", b" ", text)  # would end a line
    try:
        text.decode()
    except UnicodeDecodeError:
        text = text.decode(errors="replace").encode()
    table = pa.csv.read_csv(
        pa.BufferReader(text),
        pa.csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=layout.names),
        pa.csv.ParseOptions(
            delimiter=layout.delimiter.decode(),
            quote_char='"' if layout.delimiter == b"," else False,
            newlines_in_values=layout.delimiter == b",",
            ignore_empty_lines=False,
            invalid_row_handler=skipped,
        ),
        pa.csv.ConvertOptions(
            include_columns=columns,
            column_types=dict.fromkeys(columns, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        ),
    )
    at = np.delete(np.arange(len(table) + len(bad)), [row.number - 1 for row in bad])
    row = np.zeros(len(table) + len(bad), np.int64)
    row[at] = np.arange(len(at))
    if bad:
        table = table.take(pa.array(row, mask=~np.isin(np.arange(len(row)), at)))
    rows = pa.RecordBatch.from_arrays([table[name].combine_chunks() for name in columns], columns)
    reason = "its line has {} of {} fields"
    return rows, [Damaged(piece.first + number, reason) for number, reason in piece.bad] + [
        Damaged(piece.first + row.number - 1, reason.format(row.actual_columns, row.expected_columns)) for row in bad
    ]


TABLE = Form("table (CSV, TSV)", is_form, read, write, splits=splits)
