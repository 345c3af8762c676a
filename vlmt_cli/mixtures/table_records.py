"""Where the records of a table as text end, and which of them a quotation mark has damaged.

In a CSV quotation marks may enclose ends of lines. A mark that nobody closes, or that the next quotation of another
record closes, would take the records in between for a part of its field. So a record of several lines is *damaged*

- if no mark closes its quotation before the end of the file, or for a long time;
- if lines within it are records by themselves: as many fields as the table has columns, and in a column of images what
  looks like the name of one. Where images have bare ids, the first and nearly all other lines must look so, or the
  first and another that opens a quotation itself.

The damaged record is then its first line alone, and the lines after it are read.
"""

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.image_names import SUFFIXES

NOT_CLOSED = "opens a quotation that nothing closes"
RUNS_ON = "opens a quotation that runs on over other records"
_FIRST_BLOCK = 1 << 12
"""Bytes that are looked at behind a damaged record; twice as many after each that have none."""
_FEW, _NEARLY_ALL = 3, 0.8
"""How many lines, and which share of them, must look like records where these have bare ids."""
_LONGEST = 16 << 20
"""Bytes of a record of several lines."""
_MOST_COLUMNS = 100
_MOST_BAD = 10_000
"""Damaged records of which most may be in a text."""
# Records: fields that may begin with a quotation, which must be closed, up to the end of the line.
_FIELD = rb'(?:"(?:[^"]++|"")*+"[^,\n]*+|(?!")[^,\n]*+)'
_RECORD = re.compile(rb"%b(?:,%b)*+(?:\n|\Z)" % (_FIELD, _FIELD))
# The name of an image, or its address; {0} are its letters.
_NAME = (
    rf"{{0}}*(?:{'|'.join(map(re.escape, SUFFIXES))})"
    r"|{0}*(?:COCO_(?:train|val|test)20\d\d_\d{{12}}|v7w_\d+|-img[01])|(?:{0}*/)?0\d{{11}}|https?://{0}*"
)
_OPENS = r'(?:^|,)"[^",\r\n]'
"""A mark that opens a quotation: within one it would stand twice, and behind one a comma or the end of the line."""
_ANY, _NO_SPACE = "[^,]", r"[^,\s]"

Ends = NDArray[np.int64]
Bad = list[tuple[int, str]]
"""Damaged records: which of them, and what is wrong with it."""


@dataclass(frozen=True)
class RowForms:
    """What a line of a table looks like that is a record by itself.

    Attributes:
        pattern: of RE2: as many fields as the table has columns, and in a column of images the name or id of one.
        is_named: whether images have names there that look like such; bare ids may be anything.
    """

    pattern: str
    is_named: bool


def row_forms(columns: int, images: list[int], values: list[str]) -> RowForms:
    """Say what the lines of a table look like.

    Args:
        columns: how many it has.
        images: which of them name images, from 0.
        values: some of what stands in these.
    """
    named = [value for value in values if re.fullmatch(_NAME.format(_ANY), value, re.IGNORECASE)]
    if named:
        name = _NAME.format(_ANY if any(map(re.compile(r"\s").search, named)) else _NO_SPACE)
    else:
        name = r"\d+" if values and all(value.isdigit() for value in values) else f"{_NO_SPACE}+"

    goes_on = r"|\r?\n?$" if named else ""  # the quotation of a last field, in the next line
    field = rf'(?:"(?:[^"]|"")*(?:"{goes_on})|[^,]*)'

    def fields(count: int, form: str) -> str:
        return f"(?:{form}){{{count}}}" if columns <= _MOST_COLUMNS else f"(?:{form})*"

    rows = [rf'{fields(at, f"{field},")}\s*"?(?:{name})"?\s*{fields(columns - at - 1, f",{field}")}' for at in images]
    return RowForms(rf"(?i)^(?:{'|'.join(rows)})\r?\n?$", bool(named))


def records_in(text: bytes, delimiter: bytes, forms: RowForms | None, is_all: bool) -> tuple[Ends, Bad]:
    """Tell the records apart of a text that begins with one.

    Args:
        text: of a table.
        delimiter: in a table with tabs quotation marks are letters like others.
        forms: what its lines look like; None where damage does not matter.
        is_all: whether the text ends where the file does; otherwise its last record may be cut off, and is left out.

    Returns:
        The byte after each record, and those that are damaged.

    Raises:
        ValueError: most of many records are damaged, so that its quotation marks do not quote.
    """
    if delimiter == b"\t" or b'"' not in text:
        ends: Ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")) + 1
        is_cut = is_all and text and (not len(ends) or ends[-1] < len(text))
        return (np.append(ends, len(text)) if is_cut else ends), []
    parts: list[Ends] = []
    bad: Bad = []
    at, size, count = 0, len(text), 0
    while at < len(text):
        stop = min(at + size, len(text))
        block = text[at:stop]
        ends, why = _sound(block, forms, is_all and stop == len(text))
        if why:
            start = int(ends[-1]) if len(ends) else 0
            bad.append((count + len(ends), why))
            ends = np.append(ends, block.find(b"\n", start) + 1 or len(block))
        elif not len(ends) and stop == len(text):
            if len(block) <= _LONGEST or b"\n" not in block:
                break
            bad.append((count, NOT_CLOSED))
            ends = np.array([block.index(b"\n") + 1])
        parts.append(ends + at)
        at, count = at + (int(ends[-1]) if len(ends) else 0), count + len(ends)
        size = _FIRST_BLOCK if why else 2 * size
        if len(bad) > max(_MOST_BAD, count // 2):
            raise ValueError(f"opens quotations that nothing closes in {len(bad):,} of {count:,} records")
    return (np.concatenate(parts) if parts else np.empty(0, np.int64)), bad


def _sound(block: bytes, forms: RowForms | None, is_all: bool) -> tuple[Ends, str | None]:
    """Return where the records of a block end up to the first that is damaged, and what is wrong with that one."""
    letters = np.frombuffer(block, np.uint8)
    breaks: Ends = np.flatnonzero(letters == ord("\n")) + 1
    marks = np.flatnonzero(letters == ord('"'))
    before = letters[np.maximum(marks[::2], 1) - 1]
    if np.isin(before[marks[::2] > 0], np.frombuffer(b',\n"', np.uint8)).all():
        ends = breaks[np.searchsorted(marks, breaks) % 2 == 0]  # ends of lines between quotation marks do not count
        is_open = len(marks) % 2 == 1
        if is_all and not is_open and (not len(ends) or ends[-1] < len(block)):
            ends = np.append(ends, len(block))
    else:  # some stand within a field
        found, end = [], 0
        while end < len(block) and (match := _RECORD.match(block, end)):
            end = match.end()
            if end < len(block) or is_all or block[-1:] == b"\n":
                found.append(end)
        ends = np.array(found, np.int64)
        is_open = end < len(block)
    inner = np.setdiff1d(breaks, ends, assume_unique=True)
    if forms is None or not len(inner):
        return ends, NOT_CLOSED if is_open and is_all and forms else None
    record = _first_that_runs_on(letters, breaks, inner, ends, forms)
    if record is not None:
        return ends[:record], RUNS_ON
    return ends, NOT_CLOSED if is_open and is_all else None


def _first_that_runs_on(
    letters: NDArray[np.uint8], breaks: Ends, inner: Ends, ends: Ends, forms: RowForms
) -> int | None:
    """Return the first record in which lines are that are records by themselves; None where none is.

    Args:
        letters: of a block.
        breaks: the byte after each of its lines.
        inner: those of them that end no record.
        ends: those that do.
        forms: what lines look like.
    """
    bounds = breaks if len(breaks) and breaks[-1] == len(letters) else np.append(breaks, len(letters))
    offsets = pa.py_buffer(np.append(0, bounds).astype(np.int32))
    lines = pa.Array.from_buffers(pa.binary(), len(bounds), [None, offsets, pa.py_buffer(letters)])
    owner = np.searchsorted(ends, bounds)  # the record of each line; that of the last ones may not have ended
    is_several = np.isin(owner, np.searchsorted(ends, inner))
    row, owner = np.flatnonzero(is_several), owner[is_several]
    is_first, is_last = np.diff(owner, prepend=-1) != 0, np.diff(owner, append=-1) != 0
    is_last[-1] &= bool(len(ends)) and bool(bounds[row[-1]] == ends[-1])  # of a record that has not ended, none is
    lines = lines.take(pa.array(row))
    records = owner[is_first]
    starts = np.flatnonzero(is_first)
    is_row = pc.match_substring_regex(lines, forms.pattern).to_numpy(zero_copy_only=False)
    within = np.add.reduceat(is_row & ~is_first & ~is_last, starts)
    first, last = (np.add.reduceat(is_row & each, starts) for each in (is_first, is_last))
    if forms.is_named:
        runs_on = (within > 0) | (first & last)
    else:
        rows, many = within + last, np.add.reduceat(~is_first, starts)
        opens = pc.match_substring_regex(lines, _OPENS).to_numpy(zero_copy_only=False)
        opening = np.add.reduceat(is_row & opens & ~is_first, starts)
        runs_on = (first > 0) & ((opening > 0) | ((rows >= _FEW) & (rows >= _NEARLY_ALL * many)))
    return int(records[np.argmax(runs_on)]) if runs_on.any() else None
