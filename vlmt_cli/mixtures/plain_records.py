"""Records of LLaVA's usual form, a window of them at once: where they stand, and whose turns may name images.

    [{"id": "000000033471", "image": "coco/train2017/000000033471.jpg", "conversations": [{"from": "human", ...}]}, ...]

msgspec gives the turns of a record as a view of the text that it decoded. Where that view lies in memory says where the
turns stand in the text; and where turns are a record's last field, the record ends behind them. So nothing is read a
second time to know where records stand, and the turns are searched for a window of records at once.
"""

import re

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlmt_cli.mixtures.json_images import ESCAPED_MARK
from vlmt_cli.mixtures.json_values import Spans, after_space


class Plain(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """What nearly all records of LLaVA's form are; another field makes a record another kind."""

    id: str | int | None = None
    image: str | None = None
    conversations: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    model: str | None = None


PLAIN: msgspec.json.Decoder[list[Plain]] = msgspec.json.Decoder(list[Plain])
_BETWEEN = re.compile(rb"([ \t\r\n]*\})(?:[ \t\r\n]*,[ \t\r\n]*)?")
_CHUNK = 1 << 17
"""Bytes that are searched at once: what is noted of them stays in a core's cache."""


def turns_of(records: list[Plain], text: memoryview) -> Spans:
    """Return where the turns of each record stand in the text that the records were decoded from.

    Args:
        records: N of them.
        text: a JSON array.

    Returns:
        N x 2: the first and the last byte (exclusive) of the turns; 0 and 0 where a record has none.
    """
    views = [pa.py_buffer(each.conversations or b"") for each in records]
    sizes = np.array([view.size for view in views], np.int64)
    starts = np.array([view.address for view in views], np.int64) - pa.py_buffer(text).address
    starts[sizes == 0] = 0
    return np.column_stack([starts, starts + sizes])


def spans_of(text: memoryview, turns: Spans) -> Spans | None:
    """Return where the records of an array stand, N x 2; None where turns are not last in all, or not written alike.

    What closes the first record and separates it from the second must stand behind every other record's turns as well:
    a bracket behind a field of a record closes the record.
    """
    letters, behind = np.frombuffer(text, np.uint8), turns[:, 1]
    between = _BETWEEN.match(text, int(behind[0])) if behind.all() else None
    if between is None:
        return None
    closing, gap = between[1], between[0] if len(turns) > 1 else b""
    if not _follows(letters, behind[:-1], gap) or not _follows(letters, behind[-1:], closing):
        return None
    starts = np.append(after_space(text, 1), behind[:-1] + len(gap))
    if not (letters[starts] == ord("{")).all():
        return None
    return np.column_stack([starts, behind + len(closing)])


def rows_to_search(text: memoryview, turns: Spans) -> NDArray[np.int64]:
    """Return which records' turns may name images themselves.

    Nearly all turns are one list of objects with texts, and have one ``<``, that of ``<image>``. Others have a list
    or an object within, behind a key, as blocks of content are; ``<img>``; or no ``<`` but an escaped one.
    """
    letters = np.frombuffer(text, np.uint8)
    at = _where(letters, b"[{<")
    is_mark = letters[at] == ord("<")
    marks, lists = at[is_mark], at[~is_mark]
    # A key ends with a quotation mark; behind it stand a colon and white space, which is taken to be anything below it.
    last, second, third = (letters[np.maximum(lists - k, 0)] for k in (1, 2, 3))
    is_colon, may_end = last == ord(":"), second <= ord('"')
    is_value = (is_colon & may_end) | ((last <= 32) & ((second <= 32) | ((second == ord(":")) & (third <= ord('"')))))
    is_img = np.ones(len(marks), bool)
    for k, letter in enumerate(b"<img>"):
        is_img &= letters[np.minimum(marks + k, len(letters) - 1)] == letter
    is_suspect = _count(lists[is_value], turns + np.array([1, 0])) + _count(marks[is_img], turns) > 0
    for row in np.flatnonzero((turns[:, 1] > 0) & ~is_suspect & (_count(marks, turns) == 0)).tolist():
        first, end = turns[row].tolist()
        is_suspect[row] = ESCAPED_MARK in bytes(text[first:end])
    return np.flatnonzero(is_suspect)


def _where(letters: NDArray[np.uint8], wanted: bytes) -> NDArray[np.int64]:
    """Return where one of some letters stands."""
    parts = []
    is_first, is_other = np.empty(_CHUNK, bool), np.empty(_CHUNK, bool)
    for start in range(0, len(letters), _CHUNK):
        part = letters[start : start + _CHUNK]
        either = np.equal(part, wanted[0], out=is_first[: len(part)])
        for other in wanted[1:]:
            either |= np.equal(part, other, out=is_other[: len(part)])
        parts.append(np.flatnonzero(either) + start)
    return np.concatenate(parts)


def _count(at: NDArray[np.int64], spans: Spans) -> NDArray[np.int64]:
    """Return how many of some positions lie in each of N spans."""
    return np.diff(np.searchsorted(at, spans))[:, 0]


def _follows(letters: NDArray[np.uint8], at: NDArray[np.int64], text: bytes) -> bool:
    """Whether a text stands at each of some positions."""
    if len(at) and at[-1] + len(text) > len(letters):
        return False
    return all((letters[at + k] == letter).all() for k, letter in enumerate(text))
