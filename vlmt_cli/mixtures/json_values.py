"""Where values of JSON text begin and end, by its quotation marks and brackets alone."""

import json
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from vlmt_cli.base.words import printable

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\]]', re.DOTALL)
_SCALAR = re.compile(rb"[^,\[\]{}\s]+")
_SPACE = re.compile(rb"[ \t\r\n]*")

Spans = NDArray[np.int64]
"""N x 2: where each record begins and ends (exclusive) in the unpacked file."""


class Cut(Exception):
    """A value is not closed within what was read."""


def value_end(text: bytes | bytearray, start: int) -> int:
    """Return where the JSON value that begins at ``start`` ends, by its quotation marks and brackets alone.

    Raises:
        Cut: it is not closed.
        ValueError: nothing that could be a value begins there.
    """
    first = text[start : start + 1]
    if first not in (b"{", b"[", b'"'):
        match = _SCALAR.match(text, start)
        if start == len(text):
            raise Cut
        if match is None:
            raise ValueError(f"expected a record at '{printable(text[start : start + 20].decode(errors='replace'))}'")
        if match.end() == len(text):
            raise Cut
        return match.end()
    depth = 0
    for token in _TOKEN.finditer(text, start):
        mark = text[token.start()]
        if mark == 0x22:
            if token.end() - token.start() == 1:
                break
        else:
            depth += 1 if mark in b"{[" else -1
        if depth == 0:
            return token.end()
    raise Cut


def located(data: bytearray, start: int, records: Sequence[Any]) -> Spans:
    """Return where records stand that follow each other in an array from ``start`` on."""
    lengths = np.fromiter((memoryview(record).nbytes for record in records), np.int64, len(records))
    start = after_space(data, start)
    gap = data[start + lengths[0] : after_space(data, data.index(b",", start + lengths[0]) + 1)]
    starts = start + np.cumsum(lengths + len(gap)) - (lengths + len(gap))
    ends = starts + lengths
    # Where each gap is that of the first, each record begins where it was expected to.
    if ends[-1] <= len(data):
        letters = np.frombuffer(data, np.uint8)
        is_gap = all((letters[ends[:-1] + k] == letter).all() for k, letter in enumerate(gap))
        if is_gap and not np.isin(letters[starts], (9, 10, 13, 32)).any():
            return np.column_stack([starts, ends])
    spans, at = [], start
    for length in lengths.tolist():
        at = after_space(data, at)
        spans.append((at, at + length))
        at = data.find(b",", at + length) + 1
    return spans_table(spans)


def after_space(data: bytearray | memoryview, at: int) -> int:
    return _SPACE.match(data, at).end()  # type: ignore[union-attr]


def as_value(raw: Any) -> Any:
    """Decode what was left as JSON; what is not JSON any more is returned.

    Raises:
        ValueError: it is damaged.
    """
    if not isinstance(raw, msgspec.Raw):
        return raw
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            return json.loads(bytes(raw).decode(errors="replace"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is not JSON ({printable(error)})") from error


def spans_table(pairs: list[tuple[int, int]]) -> Spans:
    """Return pairs as a table, N x 2."""
    return np.array(pairs, np.int64).reshape(-1, 2)
