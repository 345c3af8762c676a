"""Official annotation files: finding them, and decoding just the fields needed.

msgspec skips what a record type does not name without building it, checks the
types of what it does name, and says where a record is wrong.
"""

import gc
import gzip
import mmap
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec

from vlmt_cli.base.errors import DataError

T = TypeVar("T")

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""An integer that fits a column."""

_AGAIN = "download the official file again"
_CHUNK = 32 << 20


def find(raw: Path, *names: str) -> Path | None:
    """Return the first of ``names`` in folder ``raw`` that is there, plain or as ``.gz`` beside it, or None."""
    for name in names:
        for path in (raw / name, raw / f"{name}.gz"):
            if path.exists():
                return path
    return None


def read_json(path: Path, kind: type[T]) -> T:
    """Decode a JSON file as ``kind``.

    Raises:
        DataError: the file is cut short, is not valid JSON, or a record is not of its type;
            the error names the record.
    """
    with _buffer(path) as data:
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.MsgspecError as error:
            _complain(path, data, kind, error)


def read_json_lines(path: Path, kind: type[T]) -> list[T]:
    """Decode a file of one JSON record a line. Raises a DataError that names the line."""
    decoder = msgspec.json.Decoder(kind)
    records: list[T] = []
    lines = 0
    with _carefully(path), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        while chunk := file.read(_CHUNK) + file.readline():
            try:
                records += decoder.decode_lines(chunk)
            except msgspec.MsgspecError:
                _complain_of_line(path, chunk, decoder, lines)
            lines += chunk.count(b"\n")
    if not records:
        raise DataError("is empty", where=path, todo=_AGAIN)
    return records


def typed(path: Path, value: Any, kind: type[T]) -> T:
    """Check plain Python data that was read from ``path``, such as a pickle's, and turn it into ``kind``.

    Raises:
        DataError: a record is not of its type; the error names the record.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        _fail(path, None, error)


def read_lines(path: Path) -> list[str]:
    """Read a text file as lines. Raises a DataError when it is not UTF-8 text."""
    with _buffer(path) as data:
        try:
            text = str(data, "utf-8").replace("\r\n", "\n").removesuffix("\n")
            return text.split("\n")  # splitlines() would also cut at characters that captions may hold
        except UnicodeDecodeError as error:
            raise DataError(f"is not UTF-8 text (byte {error.start})", where=path, todo=_AGAIN) from error


def count_bytes(path: Path, pattern: bytes) -> int:
    """Count how often ``pattern`` stands in a file, which shows dict keys that decoding swallowed."""
    with _buffer(path) as data:
        return len(re.findall(re.escape(pattern), data))


@contextmanager
def _buffer(path: Path) -> Iterator[memoryview | bytes]:
    """The bytes of a file, mapped where it is plain, unpacked where it is ``.gz``."""
    with _carefully(path), path.open("rb") as file:
        if path.suffix == ".gz":
            yield gzip.decompress(file.read())
            return
        if not file.seek(0, 2):
            raise DataError("is empty", where=path, todo=_AGAIN)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
            yield view


@contextmanager
def _carefully(path: Path) -> Iterator[None]:
    """Turn the errors of reading ``path`` into DataErrors, and let the garbage collector rest.

    It would walk through millions of new records again and again and find no cycle.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"is not an intact .gz file ({error})", where=path, todo=_AGAIN) from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", where=path) from error
    finally:
        if collecting:
            gc.enable()


def _complain(path: Path, data: memoryview | bytes, kind: Any, error: msgspec.MsgspecError) -> NoReturn:
    """Raise the DataError for ``error``, with the key of the record where msgspec says only ``$[...]``."""
    if isinstance(error, msgspec.ValidationError) and "$[...]" in str(error):
        record = kind.__args__[1]
        # A copy, as a Raw would keep the mapped file from being closed.
        for key, value in msgspec.json.decode(bytes(data), type=dict[str, msgspec.Raw]).items():
            try:
                msgspec.json.decode(value, type=record)
            except msgspec.ValidationError as here:
                _fail(path, f"record {key!r}", here)
    _fail(path, None, error)


def _complain_of_line(path: Path, chunk: bytes, decoder: msgspec.json.Decoder[Any], before: int) -> NoReturn:
    """Raise the DataError for the first bad line of ``chunk``, which ``before`` lines precede."""
    for number, line in enumerate(chunk.split(b"\n"), before + 1):
        if line.strip():
            try:
                decoder.decode(line)
            except msgspec.MsgspecError as error:
                _fail(path, f"line {number}", error)
    raise AssertionError("the chunk has a line that cannot be decoded")


def _fail(path: Path, record: str | None, error: msgspec.MsgspecError) -> NoReturn:
    what, _, at = str(error).partition(" - at `")
    where = ": ".join(part for part in (str(path), record, at.rstrip("`") if at != "$`" else "") if part)
    todo = f"correct that record, or {_AGAIN}" if isinstance(error, msgspec.ValidationError) else _AGAIN
    what = what if what[:2].isupper() else what[0].lower() + what[1:]
    raise DataError(what, where=where, todo=todo) from error
