"""The records of a JSON array or of JSON lines, each with its span of bytes; nothing of them is decoded here.

    [{"id": 1}, [{"id": 2}, {"id": 3}], {"id": 4}]     three records, of which the second is packed
    {"id": 1}\\n\\n{"id": 2}\\n                           two records

A file is read in windows. The end of most windows is guessed from how the last records were separated, and *proved*:
if what stands before a comma, closed with ``]``, is a JSON array, then that comma separates two records, since JSON is
read from left to right. msgspec proves it at about 1 GB/s. Where no guess holds, records are walked one by one, by
their quotation marks and brackets alone; that also reads what other readers of JSON take, such as ``NaN``.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.packed import open_packed
from vlmt_cli.base.words import printable
from vlmt_cli.mixtures.json_values import Cut, Spans, after_space, located, spans_table, value_end

WINDOW = 1 << 19
"""Bytes that are read at once; a longer record makes its window longer. Larger windows leave the cache: slower."""
BOM = b"\xef\xbb\xbf"
LINES = (".jsonl", ".ndjson", ".jsonlines")

_WALKED = 64
"""Records that are walked before the next guess; twice as many after each that did not hold."""
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True)
class Window:
    """N consecutive records of a file.

    Attributes:
        first: the number of the first.
        is_array: whether they stand in an array, and not in lines.
        quick: the N records as the decoder gave them that the reader asked for; None where they are of another type.
        text: the array that these were decoded from.
        offset: where this text begins in the unpacked file.
    """

    first: int
    is_array: bool
    find: Callable[[], tuple[Sequence[Any], Spans]]
    quick: list[Any] | None = None
    text: memoryview | None = None
    offset: int = 0

    @cached_property
    def _parts(self) -> tuple[Sequence[Any], Spans]:
        return self.find()

    @cached_property
    def records(self) -> list[memoryview]:
        """The bytes of each record."""
        return [memoryview(record) for record in self._parts[0]]

    @property
    def spans(self) -> Spans:
        """Where each record stands."""
        return self._parts[1]

    def __len__(self) -> int:
        return len(self._parts[0]) if self.quick is None else len(self.quick)


def windows(path: Path, quick: msgspec.json.Decoder[list[Any]] | None = None) -> Iterator[Window]:
    """Give the records of a file, a window after the other; each holds until the next is asked for.

    Args:
        path: the file.
        quick: decodes an array of records of a type that most are of.

    Raises:
        DataError: an array is damaged or cut off; said with the record's number. Lines are given as they stand.
    """
    with _opened(path) as text:
        text.more()
        text.at = len(BOM) if text.data.startswith(BOM) else 0
        text.skip_space()
        if text.data[text.at : text.at + 1] == b"[" and not _is_lines(text, path):
            text.at += 1
            yield from _array(text, quick)
        else:
            yield from _lines(text)


class _Text:
    """What was read of a file and is not yet used: ``data`` from ``at`` on; ``base`` is the offset of ``data``.

    What is before ``at`` is no longer needed; at least a byte of it is held once anything was used. The memory is used
    again: to take new memory for every window costs as much as to fill it.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file, self.path = file, path
        self.data, self.at, self.base, self.is_all, self.record = bytearray(), 0, 0, False, 0

    def more(self) -> bool:
        """Read on, and at least as much again as is held; False at the end of the file."""
        first = max(self.at - 1, 0)
        held = self.data[first:]
        is_roomy = 2 * len(held) <= len(self.data)
        data = self.data if is_roomy and self.data else bytearray(max(WINDOW, 2 * len(held)))
        data[: len(held)] = held
        size = 0
        if not self.is_all:
            with memoryview(data) as room:
                size = self.file.readinto(room[len(held) :])  # type: ignore[attr-defined]
        if len(held) + size < len(data):
            data = data[: len(held) + size]
        self.base, self.data, self.at = self.base + first, data, self.at - first
        self.is_all = not size
        return not self.is_all

    def skip_space(self) -> bytes:
        """Skip white space; returns the byte behind it, nothing at the end of the file."""
        while True:
            self.at = after_space(self.data, self.at)
            if self.at < len(self.data) or not self.more():
                return bytes(self.data[self.at : self.at + 1])

    def next_value(self) -> tuple[int, int]:
        """Return the span in ``data`` of the value that begins here, which is read whole."""
        while True:
            try:
                return self.at, value_end(self.data, self.at)
            except Cut:
                if not self.more():
                    raise self.damaged("is cut off") from None
            except ValueError as error:
                raise self.damaged(f"is not JSON ({error})") from error

    def damaged(self, what: str) -> DataError:
        where = f"{self.path}: record {self.record}"
        return DataError(f"{what} (near byte {self.base + self.at:,})", where=where, todo="get the file again")


def _array(text: _Text, quick: msgspec.json.Decoder[list[Any]] | None) -> Iterator[Window]:
    """Give the records of an array; ``text`` stands behind its bracket."""
    if text.skip_space() == b"]":
        text.at += 1
    else:
        hint, walked, is_done = b"", _WALKED, False
        while not is_done:
            goal = text.record + walked
            while not is_done and text.record < goal:
                window, hint, is_done = _walk(text, goal, hint)
                yield window
            walked *= 2
            while not is_done and (guessed := _guess(text, hint, quick)):
                walked = _WALKED
                yield guessed
    if text.skip_space():
        what = f"goes on after its array with '{printable(text.data[text.at : text.at + 20].decode(errors='replace'))}'"
        todo = "if each line is a record, name it .jsonl; otherwise get it again"
        raise DataError(what, where=text.path, todo=todo)


def _walk(text: _Text, goal: int, hint: bytes) -> tuple[Window, bytes, bool]:
    """Walk records up to one of number ``goal``, or a window of them.

    Returns:
        The records; the bytes between the last two, with two of the first and the first key of the second; and whether
        the array has ended.
    """
    first, spans, records, is_done = text.record, [], [], False
    size = 0
    while text.record < goal and size < WINDOW and not is_done:
        text.skip_space()
        start, end = text.next_value()
        spans.append((text.base + start, text.base + end))
        records.append(text.data[start:end])
        size += end - start
        text.at, end = end, text.base + end
        behind = text.skip_space()
        if behind not in (b",", b"]"):
            raise text.damaged("is cut off" if not behind else "ends with neither a comma nor the end of the array")
        is_done = behind == b"]"
        text.at, text.record = text.at + 1, text.record + 1
        if not is_done:
            text.skip_space()
            key = text.data.find(b'"', text.at + 2, text.at + 200)
            if key >= 0 and end - 2 >= text.base:
                hint = bytes(text.data[end - 2 - text.base : key + 1])
    return Window(first, True, _parts(records, spans_table(spans))), hint, is_done


def _guess(text: _Text, hint: bytes, quick: msgspec.json.Decoder[list[Any]] | None) -> Window | None:
    """Take all records up to the last separator like ``hint``; None where that is not one."""
    if not hint:
        return None
    if len(text.data) - text.at < WINDOW // 2:
        text.more()
    end = text.data.rfind(hint, text.at)
    if end < 0:
        return None
    data, base, start, end = text.data, text.base, text.at, text.data.index(b",", end + 2)

    def find() -> tuple[Sequence[Any], Spans]:
        with _as_array(data, start, end) as array:
            records = _RAWS.decode(array)
        return records, located(data, start, records) + base

    window = None
    if quick is not None:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            with _as_array(data, start, end) as array:
                records = quick.decode(array)
            window = Window(text.record, True, find, records, array, base + start - 1)
    if window is None:
        try:
            window = Window(text.record, True, _parts(*find()))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
    text.at, text.record = end + 1, text.record + len(window)
    return window


@contextmanager
def _as_array(data: bytearray, start: int, end: int) -> Iterator[memoryview]:
    """Give the text between two places as an array: brackets stand around it for as long as it is decoded.

    A copy with brackets would cost a seventh of the time in which it is decoded.
    """
    around = data[start - 1], data[end]
    data[start - 1], data[end] = b"[]"
    try:
        yield memoryview(data)[start - 1 : end + 1].toreadonly()
    finally:
        data[start - 1], data[end] = around


def _parts(records: Sequence[Any], spans: Spans) -> Callable[[], tuple[Sequence[Any], Spans]]:
    return lambda: (records, spans)


def _lines(text: _Text) -> Iterator[Window]:
    while True:
        end = text.data.rfind(b"\n", text.at) + 1
        if not end and text.more():
            continue
        end = end or len(text.data)
        block = text.data[text.at : end]
        if not block:
            return
        breaks = np.flatnonzero(np.frombuffer(block, np.uint8) == 10) + 1
        bounds = [0, *breaks.tolist()]
        if bounds[-1] < len(block):
            bounds.append(len(block))
        spans, records = [], []
        for start, stop in pairwise(bounds):
            line = block[start:stop]
            if not line.isspace():
                spans.append((start, start + len(line.rstrip())))
                records.append(line.strip())
        if records:
            yield Window(text.record, False, _parts(records, spans_table(spans) + (text.base + text.at)))
        text.record += len(records)
        text.at = end
        text.more()


def _is_lines(text: _Text, path: Path) -> bool:
    """Whether a file that begins with a bracket holds a packed record in each line: its first is whole, more follow."""
    name = path.name.removesuffix(".gz")
    if not name.endswith(LINES):
        return False
    end = text.data.find(b"\n", text.at)
    if end < 0 or text.data[end:].isspace():
        return False
    try:
        return not text.data[value_end(text.data[: end + 1], text.at) : end].strip()
    except (Cut, ValueError):
        return False


@contextmanager
def _opened(path: Path) -> Iterator[_Text]:
    try:
        with open_packed(path) as file:
            yield _Text(file, path)
    except FileNotFoundError as error:
        raise DataError("there is no such file", where=path) from error
