"""Lists of images: a name a line, or an array of ids.

    val2014/COCO_val2014_000000253964.jpg 253964        more columns are passed over
    VG_100K_2/2415417.jpg xml/2415417.xml
    # a comment, which names no image and stays when the list is written back
["000000253964.jpg", 391895]                            JSON
ids.npy                                                 integers or strings

A line is a record, however it ends; a blank line or a comment is none.
"""

import io
import re
import tokenize
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import atomic
from vlmt_cli.base.image_names import SUFFIXES
from vlmt_cli.base.opening import open_file
from vlmt_cli.base.packed import open_packed
from vlmt_cli.base.words import count, printable
from vlmt_cli.mixtures import json_records, json_writing
from vlmt_cli.mixtures.batch import Batch, Damaged, Form, Kept, Source, Wanted
from vlmt_cli.mixtures.byte_ranges import merged, size_of, write_ranges
from vlmt_cli.mixtures.image_fields import LONGEST, is_official
from vlmt_cli.mixtures.json_images import decoded_names
from vlmt_cli.mixtures.json_records import BOM
from vlmt_cli.mixtures.json_values import Spans

_BLOCK = 4 << 20
_NPY = b"\x93NUMPY"
_ADDRESS = re.compile(r"https?://")
_ENDS = tuple(suffix.encode() for suffix in SUFFIXES)
_FIRST = 20
"""Lines that tell whether a text is a list."""
_NAME = re.compile(r"\d+(?:\.0+)?|[0-9a-f]{16}|[a-z][a-z0-9_]*:[\w.-]+|https?://\S+", re.ASCII)
"""What a name without a suffix looks like: an id, an image key, an address."""
_FLOAT = re.compile(r"(\d+)\.0+", re.ASCII)
_JSON = re.compile(rb"\[\s*[\"\d\]]")


def is_form(path: Path, head: bytes) -> bool:
    """Whether a file is an array of numpy's, a JSON array of names or ids, or lines of text."""
    if path.is_dir():
        return False
    text = head.removeprefix(BOM).lstrip()
    if head.startswith(_NPY) or _JSON.match(text):
        return True
    if b"\0" in head or text[:1] in (b"", b"<", b"{", b"["):
        return False
    if not _first_lines(head):
        return path.suffix == ".txt"  # what is left of a list all of whose records went
    return unnamed_line(head) is None


def unnamed_line(head: bytes) -> tuple[int, str] | None:
    """Return the number, from 1, of the first line of a text that names no image, and the line; None where all do."""
    lines = ((number, line, _column(line).decode(errors="replace")) for number, line in _first_lines(head))
    return next(
        ((number, line.decode(errors="replace")) for number, line, name in lines if not _looks_named(name)), None
    )


def _first_lines(head: bytes) -> list[tuple[int, bytes]]:
    """Return the first lines of a text that are neither blank nor comments, with their numbers from 1."""
    lines = [(number, line.strip()) for number, line in enumerate(head.removeprefix(BOM).splitlines()[:_FIRST], 1)]
    return [(number, line) for number, line in lines if line and not line.startswith(b"#")]


def _column(line: bytes) -> bytes:
    """Return what a line says first; a name may have spaces where tabs divide, or where nothing but a name stands."""
    if b"\t" in line:
        return line.split(b"\t", 1)[0]
    first = line.split(None, 1)[0]
    is_whole = line.lower().endswith(_ENDS) and not first.lower().endswith(_ENDS) and not first.isdigit()
    return line if is_whole else first


def _looks_named(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) or is_official(name) or _NAME.fullmatch(name) is not None


def read(source: Source, wanted: Wanted) -> Iterator[Batch]:
    """Read the names of a list.

    Raises:
        DataError: it is neither text, JSON, nor an array of integers or strings.
    """
    kind = _kind(source.path)
    if kind == "npy":
        values = [_whole(str(value)).encode(errors="replace") for value in _array(source.path).tolist()]
        names = [value.decode(errors="replace") for value in values]  # numpy lets any number be a letter
        yield _batch(0, names, [], wanted)
    elif kind == "json":
        for window in json_records.windows(source.path):
            try:
                names = [decoded_names(text) for text in window.records]
            except ValueError as error:
                todo = "give one list of names or ids"
                where = f"{source.path}: after record {window.first}"
                raise DataError(str(error), where=where, todo=todo) from error
            yield _batch(window.first, names, [], wanted)
    else:
        first = 0
        for _, lines in _blocks(source.path):
            damaged, names = [], []
            for number, line in enumerate(lines, first):
                try:
                    if b"\r" in line.strip():
                        raise ValueError("has several lines in one, as carriage returns alone end them")
                    name = _whole(_column(line).decode())
                    if len(name) > LONGEST or "\0" in name:
                        raise ValueError(f"has a name of {count(len(name), 'character')}: '{printable(name, 40)}'")
                    names.append(name)
                except ValueError as error:
                    names.append("")
                    is_text = isinstance(error, UnicodeDecodeError)
                    damaged.append(Damaged(number, "is not UTF-8" if is_text else str(error)))
            if first == 0 and names and len(damaged) == len(names):
                raise DataError(
                    damaged[0].reason, where=f"{source.path}: record 0", todo="give a list of names as text"
                )
            yield _batch(first, names, damaged, wanted)
            first += len(names)


def _whole(name: str) -> str:
    """Write an id without the point that pandas gives it."""
    match = _FLOAT.fullmatch(name) if name.endswith("0") else None
    return match[1] if match else name


def write(source: Source, kept: Kept, to: Path) -> None:
    """Write a list again without the records that are not kept; lines and JSON byte for byte, arrays as such."""
    kind = _kind(source.path)
    if kind == "npy":
        with atomic(to) as temporary, open(temporary, "wb") as file:
            np.save(file, _array(source.path)[kept.records], allow_pickle=False)
    elif kind == "json":
        json_writing.write(source, kept, to)
    else:
        spans = [part for part, _ in _blocks(source.path)]
        every = np.concatenate(spans) if spans else np.empty((0, 2), np.int64)
        gone = every[~kept.records]
        starts, ends = np.append(0, gone[:, 1]), np.append(gone[:, 0], size_of(source.path))
        write_ranges(source.path, merged(np.column_stack([starts, ends])), to)


def _kind(path: Path) -> str:
    try:
        with open_packed(path) as file:
            head = file.read(1 << 16)
    except FileNotFoundError as error:
        raise DataError("there is no such file", where=path) from error
    if head.startswith(_NPY):
        return "npy"
    return "json" if _JSON.match(head.removeprefix(BOM).lstrip()) else "lines"


def _array(path: Path) -> NDArray[np.generic]:
    """Load ids; never anything that is pickled."""
    try:
        with open_file(path) as file:
            content = io.BytesIO(file.read())
        values = np.load(content, allow_pickle=False)
        if content.read(1):
            raise ValueError("more follows behind it")
    except (ValueError, EOFError, OSError, MemoryError, tokenize.TokenError) as error:
        todo = "save it again as an array of integers or strings"
        raise DataError(f"is not an array that can be read ({printable(error)})", where=path, todo=todo) from error
    if values.dtype == np.dtype("u8,u8"):
        todo = "scan the tables of its metadata, with --write for another subset"
        raise DataError("is a subset of DataComp, whose uids name no image", where=path, todo=todo)
    are_ids = values.dtype.kind in "iuU" or (values.dtype.kind == "f" and bool(np.all(values == np.floor(values))))
    if values.ndim != 1 or not are_ids:
        todo = "save it again as one row of integers or strings"
        raise DataError(f"is an array of {values.dtype} and shape {values.shape}", where=path, todo=todo)
    return values  # type: ignore[no-any-return]


def _blocks(path: Path) -> Iterator[tuple[Spans, list[bytes]]]:
    """Give the lines that name images, some at a time, with their spans; a comment is none."""
    with open_packed(path) as file:
        base, rest = 0, b""
        while True:
            chunk = file.read(_BLOCK)
            text = rest + chunk
            end = text.rfind(b"\n") + 1 if chunk else len(text)
            if not text:
                return
            breaks = (np.flatnonzero(np.frombuffer(text, np.uint8)[:end] == 10) + 1).tolist()
            bounds = [0, *breaks, *([end] if end and (not breaks or breaks[-1] < end) else [])]
            spans, lines = [], []
            for start, stop in pairwise(bounds):
                line = text[start:stop]
                line = (line.removeprefix(BOM) if base + start == 0 else line).strip()
                if line and not line.startswith(b"#"):
                    spans.append((base + (start or (len(BOM) * text.startswith(BOM) if not base else 0)), base + stop))
                    lines.append(line)
            yield np.array(spans, np.int64).reshape(-1, 2), lines
            base, rest = base + end, text[end:]
            if not chunk:
                return


def _batch(first: int, names: list[str], damaged: list[Damaged], wanted: Wanted) -> Batch:
    n = len(names)
    shown = [number for number, name in enumerate(names) if name]
    values = [names[number] for number in shown]
    is_url = [_ADDRESS.match(name) is not None for name in values]
    columns = {
        "record": pa.array([first + number for number in shown], pa.int64()),
        "position": pa.array(np.zeros(len(shown), np.int32)),
        "name": pa.array([None if url else name for name, url in zip(values, is_url, strict=True)], pa.string()),
    }
    if any(is_url):
        columns["url"] = pa.array(
            [name if url else None for name, url in zip(values, is_url, strict=True)], pa.string()
        )
    texts = pa.array([[]] * n, pa.list_(pa.string())) if wanted.texts else None
    images = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    return Batch(first, n, images, pa.nulls(n, pa.string()), texts, damaged=tuple(damaged))


IMAGE_LIST = Form("a list of images", is_form, read, write)
