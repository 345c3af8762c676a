"""Columns of large JSON files, a piece of the records at a time.

Records that become columns while they are in the processor's cache cost half as much as a file that is decoded at once.
Where a record ends is guessed, from how the first one begins. A wrong guess does no harm: JSON that is cut inside of a
text or of a record is not JSON, so that each piece that can be decoded is whole records. Whatever cannot be cut, or has
anything wrong with it, is decoded at once by ``source.read_json``, which knows what to forgive and what to say.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, get_origin

import msgspec
import pyarrow as pa

from vlmt_cli.base.packed import open_packed
from vlmt_cli.datasets.decoding import Notes, without_mark
from vlmt_cli.datasets.keys_once import Once, are_more
from vlmt_cli.datasets.parts import Cut, parts_of
from vlmt_cli.datasets.source import carefully, json_line_pieces, read_json

Columns = Mapping[str, pa.Array]

_HEAD = 1 << 16
_LONGEST = 1 << 26  # bytes without a place to cut, which would soon be the whole file in memory
_TRIES = 8
_BEGINNING = re.compile(rb'\s*(?:"[^"\\]*"\s*:\s*)?(\{\s*"[^"\\]*"\s*:)')
_BETWEEN = {
    list: re.compile(rb"\}(\s*,\s*)\Z"),
    dict: re.compile(rb'\}(\s*,\s*)"[^"\\]{0,200}"\s*:\s*\Z'),
}
_BEFORE = 300  # bytes before a record that hold its key and the end of the record before


class _CannotCut(Exception):
    pass


def read_columns(
    path: Path,
    kind: Any,
    columns: Callable[[Any], Columns],
    *,
    below: str = "",
    notes: Notes | None = None,
    once: Once | None = None,
) -> dict[str, pa.Array]:
    """Decode a JSON file and make columns of its records.

    Args:
        path: the file, plain or packed.
        kind: ``list[R]`` or ``dict[str, R]``, where R is the type of a record.
        columns: makes columns of some of the records, a value of ``kind``; the columns need not have one length. It is
            called again for all records at once where pieces did not do.
        below: the key of the file's one object that holds the records; empty where they are all that the file holds.
        notes: where optional fields that are NaN are noted.
        once: how often some keys may stand in the JSON of some of the records, a value of ``kind``.

    Returns:
        The columns of all records, in the order of the file. Keys of a dict that are far from each other are not
        compared, so that the reader must see whether one stands twice.

    Raises:
        DataError: as ``read_json``.
    """
    with carefully(path):
        try:
            pieces, total = [], 0
            for records in _pieces(path, kind, below, once):
                pieces.append(columns(records))
                total += len(records)
            if not total:
                raise _CannotCut  # read_json has the words for a file without a record
        except (_CannotCut, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            whole = read_json(path, _file_kind(kind, below), notes, once and (lambda read: once(_below(read, below))))
            pieces = [columns(_below(whole, below))]
    return _joined(pieces)


def read_line_columns(
    path: Path, kind: Any, columns: Callable[[Any], Columns], notes: Notes | None = None, once: Once | None = None
) -> dict[str, pa.Array]:
    """Do the same for a file of one record a line, or of one array of records; ``kind`` is the type of a record."""
    return _joined([columns(records) for records in json_line_pieces(path, kind, notes, once)])


def _joined(pieces: list[Columns]) -> dict[str, pa.Array]:
    return {name: pa.concat_arrays([piece[name] for piece in pieces]) for name in pieces[0]}


def _pieces(path: Path, kind: Any, below: str, once: Once | None) -> Iterator[Any]:
    """Decode a file in pieces. Raises an error where anything about it is not as it should be."""
    form = get_origin(kind)
    opening, closing = (b"{", b"}") if form is dict else (b"[", b"]")
    decode = msgspec.json.Decoder(kind).decode
    with open_packed(path) as file:
        data = bytes(without_mark(file.read(_HEAD)))
        if (top := re.search(rb'"%b"\s*:\s*\[' % below.encode() if below else rb"\A\s*\%b" % opening, data)) is None:
            raise _CannotCut
        head, data = data[: top.end()], data[top.end() :]
        # The records must be where ``below`` says, and not in an object inside of it.
        msgspec.json.decode(head + closing + (b"}" if below else b""), type=msgspec.Raw)
        beginning = _BEGINNING.match(data)
        cut = partial(_cut, beginning=beginning[1] if beginning else b"", between=_BETWEEN[form])
        for memory, start, end, is_last in parts_of(file, data, cut):
            memory[start - 1 : start] = opening
            if is_last:
                break
            memory[end : end + 1] = closing
            with memoryview(memory) as view, view[start - 1 : end + 1] as piece:
                records = decode(piece)
            yield _with_keys_once(records, memory, start, end, once)
    rest = head[:-1] + memory[start - 1 : end]
    if below and rest.count(b'"%b"' % below.encode()) > 1:
        raise _CannotCut
    records = _below(msgspec.json.decode(rest, type=_file_kind(kind, below)), below)
    yield _with_keys_once(records, rest, len(head), len(rest), once)


def _cut(memory: bytearray, start: int, end: int, beginning: bytes, between: re.Pattern[bytes]) -> Cut | None:
    """Find the last place where a record seems to end and another to begin, by how the first of all begins."""
    at = end
    for _ in range(_TRIES if beginning else 0):
        if (at := memory.rfind(beginning, start + 1, at)) < 0:
            break
        if match := between.search(memory, max(start, at - _BEFORE), at):
            return match.span(1)
    if end - start > _LONGEST:
        raise _CannotCut
    return None


def _with_keys_once(records: Any, data: bytes | bytearray, start: int, end: int, once: Once | None) -> Any:
    if once and are_more(data, once(records), start, end):
        raise _CannotCut
    return records


@cache
def _file_kind(kind: Any, below: str) -> Any:
    return msgspec.defstruct("File", [(below, kind)], gc=False) if below else kind


def _below(read: Any, below: str) -> Any:
    return getattr(read, below) if below else read
