"""Keys that stand twice in a record, of which decoding would silently take the last.

They are counted in the JSON as it is written: as many as there are records, and nothing more needs to be looked at.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.words import printable, quoted

Once = Callable[[Any], Mapping[str, int]]
"""How often some keys may stand in the JSON of a decoded value, so that more means a key that stands twice."""

_STEP = 1 << 18  # bytes whose places of keys stay in the processor's cache
_WORTH_LISTING = 3  # keys; one or two are sooner counted one after another
_END = 4


def check_once(data: memoryview | bytes, most: Mapping[str, int], where: str) -> None:
    """Raise a DataError that names the record in which a key stands twice.

    Args:
        data: JSON.
        most: how often each of some keys stands in it, if it is once in every record that has it.
        where: the file, and the line if it is one.
    """
    if are_more(data, most):
        try:
            value = json.loads(bytes(data), object_pairs_hook=_marked)
        except (ValueError, RecursionError):
            return
        for at, key in _twice(value):
            raise DataError(f"the key {quoted(key)} stands twice in {at}", where=where, todo="remove one of them")


def are_more(
    data: memoryview | bytes | bytearray, most: Mapping[str, int], start: int = 0, end: int | None = None
) -> bool:
    """Whether a key stands more often than it may in JSON between two places; some that are values may count, too."""
    end = len(data) if end is None else end
    keys = list(most)
    bounds = _bounds(data, keys, start, end) if len(keys) >= _WORTH_LISTING else [0] * len(keys)
    suspected = [key for key, bound in zip(keys, bounds, strict=True) if not 0 < bound <= most[key]]
    return any(_count(data, key, start, end) > most[key] for key in suspected)


def _bounds(data: memoryview | bytes | bytearray, keys: Sequence[str], start: int, end: int) -> list[int]:
    """Count in one pass how often keys stand at most: those whose last bytes are the same count for each other."""
    content = np.frombuffer(data, np.uint8)
    endings = [f'"{key}'.encode()[-_END:] for key in keys]
    codes = [np.uint32(int.from_bytes(ending, "big")) for ending in endings]
    masks = [np.uint32((1 << 8 * len(ending)) - 1) for ending in endings]
    totals = [0] * len(keys)
    for at in range(start, end, _STEP):
        colons = at + np.flatnonzero(content[at : min(at + _STEP, end)] == ord(":"))
        quotes = colons[content[colons - 1] == ord('"')] - 1
        written = np.zeros(len(quotes), np.uint32)
        for before in range(_END, 0, -1):
            written = written << np.uint32(8) | content[quotes - before]
        for number, (code, mask) in enumerate(zip(codes, masks, strict=True)):
            totals[number] += int(np.count_nonzero(written & mask == code))
    return totals


def _count(data: memoryview | bytes | bytearray, key: str, start: int, end: int) -> int:
    name, total = f'"{key}":'.encode(), 0
    for at in range(start, end, _STEP):
        # What crosses the border belongs to the part in which it begins.
        until = min(at + _STEP + len(name) - 1, end)
        total += bytes(data[at:until]).count(name)
    # Some write a space before the colon.
    return total or sum(1 for _ in re.compile(rf'"{re.escape(key)}"\s+:'.encode()).finditer(data, start, end))


class _Twice(dict[str, Any]):
    key = ""


def _marked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    seen: set[str] = set()
    marked = _Twice(result)
    marked.key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return marked


def _twice(value: Any) -> Iterator[tuple[str, str]]:
    """Go through the objects with a key that stands twice: where, and the key."""
    waiting = [("$", value)]
    while waiting:
        at, value = waiting.pop()
        if isinstance(value, _Twice):
            yield at, value.key
        if isinstance(value, dict):
            waiting += [(f"{at}.{printable(key, 30)}", part) for key, part in value.items()]
        elif isinstance(value, list):
            waiting += [(f"{at}[{number}]", part) for number, part in enumerate(value)]
