"""JSON as people have it: valid JSON at full speed, and everything else once more, with care.

What strict decoding refuses is tried again with a byte order mark left out, with numbers that are written as text or
as ``7.0``, and with NaN and Infinity, which JSON does not have. These matter in fields that are read alone: a box with
one is not finite, an optional field is missing and noted, and anything else is an error that names the record.
"""

import re
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import numpy as np

from vlmt_cli.base.beginnings import beginning
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.words import quoted

AGAIN = "download the official file again"
CORRECT = f"correct that record, or {AGAIN}"
Notes = dict[str, int]
Bytes = memoryview | bytes

# Numbers that do not fit a float. A float field that gets the stand-in is infinite as float32.
_NOT_FINITE = re.compile(rb"(?:\bNaN|-?\bInfinity|-?\b\d+(?:\.\d+)?[eE]\+?\d{3,})\b")
_STAND_IN = b"1e308"
_MARK = b"\xef\xbb\xbf"


def decode(data: Bytes, kind: Any, path: Path, line: str | None = None, notes: Notes | None = None) -> Any:
    """Decode the JSON in ``data`` as ``kind``.

    Args:
        data: a file, or a line of it.
        kind: a type, as msgspec takes it.
        path: of the file, for the error.
        line: which line, for the error.
        notes: where optional fields that are NaN are noted.

    Raises:
        DataError: it is not; the error names the record.
    """
    data = without_mark(data)
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if form := beginning(data):
            raise DataError(form[0], where=_place(path, line), todo=form[1]) from error
    try:
        return msgspec.json.decode(data, type=kind, strict=False)
    except RecursionError as error:
        raise DataError("is nested too deeply", where=_place(path, line), todo=AGAIN) from error
    except UnicodeDecodeError as error:
        raise not_utf8(data, _place(path, line)) from error
    except msgspec.MsgspecError as error:
        tokens = _not_finite(data)
        if not tokens:
            complain(path, line, data, kind, error)
    return _decode_tamed(_with(data, tokens, _STAND_IN), _with(data, tokens, b"null"), kind, path, line, notes)


def without_mark(data: Bytes) -> Bytes:
    """Leave out a byte order mark; what has none stays where it is."""
    # A copy, as a slice of a mapped file would keep it from being closed.
    return bytes(data[len(_MARK) :]) if bytes(data[: len(_MARK)]) == _MARK else data


def _decode_tamed(tamed: bytes, nulls: bytes, kind: Any, path: Path, line: str | None, notes: Notes | None) -> Any:
    """Decode what holds numbers that are not finite: with a float in their place, or with null."""
    try:
        return msgspec.json.decode(tamed, type=kind, strict=False)
    except msgspec.MsgspecError as error:
        what, at = _parts(error)
        if " | null`" not in what or not _is_stand_in(tamed, error):
            complain(path, line, tamed, kind, error, True)
    except (UnicodeDecodeError, RecursionError) as error:
        complain(path, line, tamed, kind, error)
    try:
        value = msgspec.json.decode(nulls, type=kind, strict=False)
    except msgspec.MsgspecError as error:
        complain(path, line, tamed, kind, error, True)
    if notes is not None:
        note = f"files with NaN as {at.rpartition('.')[2]}, taken as missing; the first is in {path.name}: {line or at}"
        notes.setdefault(note, 1)
    return value


def complain(
    path: Path, line: str | None, data: Bytes, kind: Any, error: Exception, is_tamed: bool = False
) -> NoReturn:
    """Raise the DataError for ``error``, with the key of the record where msgspec says only ``$[...]``."""
    where = _place(path, line)
    if isinstance(error, RecursionError):
        raise DataError("is nested too deeply", where=where, todo=AGAIN) from error
    if isinstance(error, UnicodeDecodeError):
        raise not_utf8(data, where) from error
    if isinstance(error, msgspec.ValidationError) and "$[...]" in str(error):
        for key, value in _entries(bytes(data)):
            try:
                msgspec.json.decode(value, type=kind.__args__[1], strict=False)
            except (msgspec.MsgspecError, UnicodeDecodeError) as here:
                complain(path, f"record {quoted(key)}", bytes(value), kind.__args__[1], here, is_tamed)
    what, at = _parts(error)
    if is_tamed and _is_stand_in(data, error):
        what = "is NaN or infinite"
    if what == "Input data was truncated" and re.search(rb"\\u[dD][89a-fA-F]", data):
        what = "is cut short, or a text in it has half of a surrogate pair (\\ud800)"
    todo = CORRECT if isinstance(error, msgspec.ValidationError) else AGAIN
    what = what if what[:2].isupper() else what[0].lower() + what[1:]
    where = ": ".join(part for part in (where, at if at != "$" else "") if part)
    raise DataError(what, where=where, todo=todo) from error


def _entries(data: bytes) -> list[tuple[str, msgspec.Raw]]:
    """List the keys of an object and the JSON of their values; nothing where that is wrong after the first mistake."""
    try:
        return list(msgspec.json.decode(data, type=dict[str, msgspec.Raw]).items())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []


def not_utf8(data: Bytes, where: object) -> DataError:
    """Make the error for bytes that are not UTF-8 text, with the number of the first wrong one."""
    try:
        str(data, "utf-8")
        return DataError("is not UTF-8 text", where=where, todo=AGAIN)
    except UnicodeDecodeError as error:
        return DataError(f"is not UTF-8 text (byte {error.start:,})", where=where, todo=AGAIN)


def _not_finite(data: Bytes) -> list[tuple[int, int]]:
    """Find the numbers that are not finite, and stand in no text: where each begins and ends."""
    spans = [match.span() for match in _NOT_FINITE.finditer(data)]
    if not spans:
        return []
    content = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(content == ord('"'))
    after_slash = quotes[(quotes > 0) & (content[quotes - 1] == ord("\\"))]
    escaped = [at for at in after_slash.tolist() if _slashes_before(data, at) % 2]
    quotes = np.setdiff1d(quotes, escaped, assume_unique=True)
    outside = np.searchsorted(quotes, [start for start, _ in spans]) % 2 == 0
    return [span for span, is_outside in zip(spans, outside.tolist(), strict=True) if is_outside]


def _slashes_before(data: Bytes, at: int) -> int:
    start = at
    while start and data[start - 1] == ord("\\"):
        start -= 1
    return at - start


def _with(data: Bytes, tokens: list[tuple[int, int]], stand_in: bytes) -> bytes:
    """Put a stand-in for every number that is not finite."""
    parts, before = [], 0
    for start, end in tokens:
        parts += [bytes(data[before:start]), stand_in]
        before = end
    return b"".join([*parts, bytes(data[before:])])


def _is_stand_in(data: Bytes, error: Exception) -> bool:
    """Whether an error is about a stand-in."""
    _, at = _parts(error)
    try:
        value = msgspec.json.decode(data)
        for index, key in re.findall(r"\[(\d+)\]|\.([A-Za-z_]\w*)", at):
            value = value[int(index)] if index else value[key]
    except (msgspec.MsgspecError, ValueError, LookupError, TypeError, RecursionError):
        return False
    return bool(value == float(_STAND_IN))


def _parts(error: Exception) -> tuple[str, str]:
    what, _, at = str(error).partition(" - at `")
    return what, at.rstrip("`") or "$"


def _place(path: Path, line: str | None) -> str:
    return f"{path}: {line}" if line else str(path)
