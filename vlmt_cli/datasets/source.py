"""Official annotation files: finding them, and decoding just the fields needed.

msgspec skips what a record type does not name without building it, checks the
types of what it does name, and says where a record is wrong.
"""

import mmap
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin

import msgspec
import numpy as np

from vlmt_cli.base.collecting import gc_paused
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.opening import open_file
from vlmt_cli.base.packed import open_packed
from vlmt_cli.base.words import quoted
from vlmt_cli.base.zips import archive_of, files_in, folders_in
from vlmt_cli.datasets.decoding import (
    AGAIN,
    Bytes,
    Notes,
    complain,
    decode,
    not_utf8,
    without_mark,
)
from vlmt_cli.datasets.forms import columns
from vlmt_cli.datasets.keys_once import Once, are_more, check_once
from vlmt_cli.datasets.parts import Cut, parts_of

T = TypeVar("T")

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""An integer that fits a column."""

READABLE = "see that you may read it, or put the official file there again"
_HEAD = 1 << 16


def find(raw: Path, *names: str) -> Path | None:
    """Return the first of ``names``, of files or folders, in folder ``raw`` that is there, or None.

    Plain, or as ``.gz`` beside it; else in a folder of ``raw``, as some archives unpack; else in a zip archive in
    either, whose path then leads into the archive (``base.zips``).
    """
    return next(all_of(raw, *names), None)


def all_of(raw: Path, *names: str) -> Iterator[Path]:
    """Give every file or folder that could be meant by ``names``, in the order in which ``find`` looks for them: the
    first is read, and the others are passed over."""
    for name in names:
        for path in (raw / name, raw / f"{name}.gz"):
            if path.exists():
                yield path
    inner = [entry for entry in _entries(raw) if entry.is_dir()]
    for name in names:
        for path in (folder / each for folder in inner for each in (name, f"{name}.gz")):
            if path.exists():
                yield path
    archives = [entry for folder in (raw, *inner) for entry in _entries(folder) if entry.suffix.lower() == ".zip"]
    for name in names:
        for archive in archives:
            if member := files_in(archive).get(name) or folders_in(archive).get(name):
                yield archive / member


def _entries(folder: Path) -> list[Path]:
    """Return what lies in a folder, sorted; nothing where it cannot be read."""
    try:
        time = folder.stat().st_mtime_ns
        return _listed(folder, time)
    except OSError:
        return []


@lru_cache(maxsize=256)
def _listed(folder: Path, time: int) -> list[Path]:
    with os.scandir(folder) as entries:
        kept = [Path(entry.path) for entry in entries if not entry.name.startswith(".")]
    # Path's is_dir says no of a link to itself, of which an entry's raises an error.
    return sorted(path for path in kept if path.name.lower().endswith(".zip") or path.is_dir())


def read_json(path: Path, kind: type[T], notes: Notes | None = None, once: Once | None = None) -> T:
    """Decode a JSON file as ``kind``.

    Args:
        path: the file, plain or ``.gz``.
        kind: a type, as msgspec takes it; a list also comes from JSON lines, or from columns.
        notes: where optional fields that are NaN are noted.
        once: how often some keys may stand in the file, given what was decoded; more of them are looked at.

    Raises:
        DataError: the file is cut short, is not valid JSON, has no record, a record is not of its type, or has a key
            twice; the error names the record.
    """
    with _buffer(path) as data:
        try:
            value: T = decode(data, kind, path, notes=notes)
        except DataError:
            if (records := _of_another_form(path, data, kind)) is None:
                raise
            value = records
        if once:
            check_once(data, once(value), str(path))
        check_records(path, value)
        return value


def check_records(path: Path, value: Any) -> None:
    """Raise a DataError where what was read of a file has no record: then it is as damaged as an empty file.

    Args:
        path: the file.
        value: a list or dict of records, or an object around lists of them.
    """
    lists = {"": value} if not isinstance(value, msgspec.Struct) else msgspec.structs.asdict(value)
    for name, records in lists.items():
        if isinstance(records, list | dict) and not records:
            raise DataError(f"has no record{f' in {quoted(name)}' if name else ''}", where=path, todo=AGAIN)


def read_json_lines(path: Path, kind: type[T], notes: Notes | None = None, once: Once | None = None) -> list[T]:
    """Decode a file of one JSON record a line, or of one array of records; arguments and errors are ``read_json``'s.

    ``once`` is called with a part of the records.
    """
    return list(chain.from_iterable(json_line_pieces(path, kind, notes, once)))


def json_line_pieces(
    path: Path, kind: type[T], notes: Notes | None = None, once: Once | None = None
) -> Iterator[list[T]]:
    """Decode such a file a few MB at a time, so that records are still in the processor's cache when they are used.

    An array comes as a whole.
    """
    decoders = [msgspec.json.Decoder(kind, strict=strict) for strict in (True, False)]
    lines, is_empty = 0, True
    with carefully(path), open_packed(path) as file:
        first = bytes(without_mark(file.read(_HEAD)))
        if first.lstrip()[:1] == b"[":
            yield read_json(path, list[kind], notes, once)  # type: ignore[valid-type]
            return
        for memory, start, end, _ in parts_of(file, first, _after_last_line):
            with memoryview(memory) as view, view[start:end] as part:
                new = _decode_lines(path, part, decoders, lines, notes)
                if once:
                    _check_lines_once(path, part, once(new), lines)
            yield new
            is_empty = is_empty and not new
            lines += int(np.count_nonzero(np.frombuffer(memory, np.uint8)[start:end] == ord("\n")))
    if is_empty:
        raise DataError("is empty", where=path, todo=AGAIN)


def typed(path: Path, value: Any, kind: type[T]) -> T:
    """Check plain Python data that was read from ``path``, such as a pickle's, and turn it into ``kind``.

    Raises:
        DataError: there is no record, or one is not of its type; the error names it.
    """
    try:
        records = msgspec.convert(value, kind, strict=False)
    except (msgspec.ValidationError, RecursionError) as error:
        complain(path, None, b"", kind, error)
    check_records(path, records)
    return records


def read_lines(path: Path) -> list[str]:
    """Read a text file as lines. Raises a DataError when it is not UTF-8 text."""
    with _buffer(path) as data:
        try:
            text = str(data, "utf-8-sig").replace("\r\n", "\n").removesuffix("\n")
        except UnicodeDecodeError as error:
            raise not_utf8(data, path) from error
    return text.split("\n")  # splitlines() would also cut at characters that captions may hold


def _after_last_line(memory: bytearray, start: int, end: int) -> Cut | None:
    at = memory.rfind(b"\n", start, end) + 1
    return (at, at) if at else None


def _decode_lines(
    path: Path, chunk: memoryview, decoders: "list[msgspec.json.Decoder[T]]", before: int, notes: Notes | None
) -> list[T]:
    """Decode whole lines, which ``before`` lines precede: all at once, or else one by one."""
    for decoder in decoders:
        try:
            return decoder.decode_lines(chunk)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
    kind = decoders[0].type
    lines = bytes(chunk).split(b"\n")
    numbered = ((number, line) for number, line in enumerate(lines, before + 1) if line.strip())
    try:
        return [decode(line, kind, path, f"line {number}", notes) for number, line in numbered]
    except DataError:
        if before or (records := _of_another_form(path, chunk, list[kind])) is None:  # type: ignore[valid-type]
            raise
        return cast("list[T]", records)


def _check_lines_once(path: Path, chunk: memoryview, most: Mapping[str, int], before: int) -> None:
    if are_more(chunk, most):
        for number, line in enumerate(bytes(chunk).split(b"\n"), before + 1):
            check_once(line, dict.fromkeys(most, 1), f"{path}: line {number}")


def _of_another_form(path: Path, data: Bytes, kind: Any) -> Any:
    """Read JSON lines in place of a list, or columns in place of records; None where it is neither.

    Raises:
        DataError: it holds columns that cannot be read as records.
    """
    record = get_args(kind)[-1] if get_origin(kind) in (list, dict) else None
    if get_origin(kind) is list:
        try:
            return msgspec.json.Decoder(record, strict=False).decode_lines(data) or None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
    # Two names of a record's fields make columns; a struct around a list of records has a list's name alone.
    listed = next((get_args(each.type)[0] for each in _fields(kind) if get_origin(each.type) is list), None)
    names = {each.name for each in _fields(record or listed)}
    if (by_name := columns(bytes(data))) is None or len(names & by_name.keys()) < 2:
        return None
    what = "holds columns, as Hugging Face's datasets and pandas write them, not records"
    todo = "write records (pandas: orient='records')"
    if get_origin(kind) is not list:
        raise DataError(what, where=path, todo=todo)
    try:
        rows = [dict(zip(by_name, row, strict=True)) for row in zip(*by_name.values(), strict=True)]
        return msgspec.json.decode(msgspec.json.encode(rows), type=kind, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(what, where=path, todo=todo) from error


def _fields(kind: Any) -> "tuple[msgspec.structs.FieldInfo, ...]":
    return msgspec.structs.fields(kind) if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else ()


@contextmanager
def _buffer(path: Path) -> Iterator[memoryview | bytes]:
    """The bytes of a file, mapped where it is plain, unpacked where it is ``.gz``."""
    with carefully(path):
        if path.suffix == ".gz" or archive_of(path):
            with open_packed(path) as unpacked:
                data = unpacked.read()
            if not data:
                raise DataError("is empty", where=path, todo=AGAIN)
            yield data
            return
        with open_file(path) as file:
            if not file.seek(0, 2):
                raise DataError("is empty", where=path, todo=AGAIN)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
                yield view


@contextmanager
def carefully(path: Path) -> Iterator[None]:
    """Turn the errors of reading ``path`` into DataErrors, and pause the garbage collector."""
    try:
        with gc_paused():
            yield
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", where=path, todo=READABLE) from error
