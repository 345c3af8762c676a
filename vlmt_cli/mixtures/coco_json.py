"""COCO-style JSON: a record an image, and what is said of it in other lists of the file.

    {"info": {...}, "images": [{"id": 9, "file_name": "COCO_train2014_000000000009.jpg", "flickr_url": ...}, ...],
     "annotations": [{"image_id": 9, "caption": "..."}, ...], "categories": [...]}

An image's id is one of its names, which says which it is where a source is given for numbers. Written back, an image
that is not kept goes, and with it every entry of ``annotations`` with its id; all else stays byte for byte. The file is
held in memory.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.packed import open_packed
from vlmt_cli.base.words import printable
from vlmt_cli.mixtures.batch import Batch, Form, Kept, Source, Wanted
from vlmt_cli.mixtures.byte_ranges import merged, write_ranges
from vlmt_cli.mixtures.json_records import BOM, Window
from vlmt_cli.mixtures.json_rows import Rows
from vlmt_cli.mixtures.json_values import Cut, Spans, value_end
from vlmt_cli.mixtures.json_writing import ranges_of

_BEGINS = re.compile(rb'\{(?s:.)*?"(?:images|annotations)"\s*:\s*\[\s*\{')
_TURNS = re.compile(rb'"(?:messages|conversations|query)"\s*:')
_SPACE = re.compile(rb"\s*")
_LISTS = ("images", "annotations")


class _Entry(msgspec.Struct):
    id: Any = None
    image_id: Any = None
    caption: Any = None


def is_form(path: Path, head: bytes) -> bool:
    """Whether a file is one object with a list of images or annotations."""
    head = head.removeprefix(BOM).lstrip()
    if path.is_dir() or not _BEGINS.match(head) or _TURNS.search(head):
        return False
    try:
        return not head[value_end(head, 0) :].strip()  # otherwise a record a line
    except Cut:
        return True


def read(source: Source, wanted: Wanted) -> Iterator[Batch]:
    """Read the images of a file.

    Raises:
        DataError: it is damaged, or has no list of images.
    """
    data, spans = _parts(source.path)
    records = [data[start:stop] for start, stop in spans["images"].tolist()]
    rows = Rows(wanted, are_images=True)
    rows.add_window(Window(0, True, lambda: (records, spans["images"])))
    if rows.damaged:
        bad = rows.damaged[0]
        raise DataError(bad.reason, where=f"{source.path}: images[{bad.record}]", todo="get the file again")
    if wanted.texts:
        said: dict[str, list[str]] = {}
        for entry in _entries(data, spans["annotations"], source.path):
            if isinstance(entry.caption, str):
                said.setdefault(str(entry.image_id), []).append(entry.caption)
        rows.texts = [[*texts, *said.get(own or "", [])] for texts, own in zip(rows.texts, rows.ids, strict=True)]
    yield rows.batch()


def write(source: Source, kept: Kept, to: Path) -> None:
    """Write a file again without the images that are not kept and the annotations of them."""
    data, spans = _parts(source.path)
    images = _entries(data, spans["images"], source.path)
    gone = {str(entry.id) for entry, stays in zip(images, kept.records, strict=True) if not stays}
    gone -= {str(entry.id) for entry, stays in zip(images, kept.records, strict=True) if stays}
    annotations = _entries(data, spans["annotations"], source.path)
    masks = {
        "images": kept.records,
        "annotations": np.array([str(entry.image_id) not in gone for entry in annotations], bool),
    }
    stays, at = [], 0
    for name in sorted(_LISTS, key=lambda name: spans[name][0, 0] if len(spans[name]) else 0):
        if len(spans[name]):
            ranges = ranges_of(spans[name], masks[name], len(data), False)
            ranges[0, 0], at, ranges[-1, 1] = at, int(spans[name][-1, 1]), int(spans[name][-1, 1])
            stays.append(ranges)
    write_ranges(source.path, merged(np.concatenate([*stays, np.array([[at, len(data)]])])), to)


def _parts(path: Path) -> tuple[bytes, dict[str, Spans]]:
    """Return a file's bytes, and where the entries of its two lists stand."""
    try:
        with open_packed(path) as file:
            data = file.read()
    except FileNotFoundError as error:
        raise DataError("there is no such file", where=path) from error
    spans = dict.fromkeys(_LISTS, np.empty((0, 2), np.int64))
    name, at, seen = "its beginning", len(BOM) * data.startswith(BOM), False
    try:
        at = _after(data, at, b"{")
        while data[at : at + 1] != b"}":
            key = value_end(data, at)
            name = str(msgspec.json.decode(data[at:key]))
            at = _after(data, key, b":")
            if name in _LISTS and data[at : at + 1] == b"[":
                seen = seen or name == "images"
                spans[name], at = _span_list(data, at)
            else:
                at = value_end(data, at)
            at = _next(data, at, b"}")
    except Cut as error:
        raise DataError(f"is cut off in '{printable(name)}'", where=path, todo="get the file again") from error
    except (ValueError, msgspec.MsgspecError) as error:
        raise DataError(f"is not JSON in '{printable(name)}'", where=path, todo="get the file again") from error
    if data[at + 1 :].strip() or not seen:
        raise DataError("is not one object with a list of images", where=path, todo="get the file again")
    return data, spans


def _span_list(data: bytes, at: int) -> tuple[Spans, int]:
    """Return where the values of a list stand, and where it ends."""
    spans = []
    at = _after(data, at, b"[")
    while data[at : at + 1] != b"]":
        stop = value_end(data, at)
        spans.append((at, stop))
        at = _next(data, stop, b"]")
    return np.array(spans, np.int64).reshape(-1, 2), at + 1


def _after(data: bytes, at: int, mark: bytes) -> int:
    """Return where the next value begins behind a mark."""
    at = _SPACE.match(data, at).end()  # type: ignore[union-attr]
    if at >= len(data):
        raise Cut
    if data[at : at + 1] != mark:
        raise ValueError
    return _SPACE.match(data, at + 1).end()  # type: ignore[union-attr]


def _next(data: bytes, at: int, end: bytes) -> int:
    """Return where the next value of a list begins, or its end stands."""
    at = _SPACE.match(data, at).end()  # type: ignore[union-attr]
    return at if data[at : at + 1] == end else _after(data, at, b",")


def _entries(data: bytes, spans: Spans, path: Path) -> list[_Entry]:
    decode = msgspec.json.Decoder(_Entry).decode
    entries = []
    for number, (start, stop) in enumerate(spans.tolist()):
        try:
            entries.append(decode(data[start:stop]))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            where = f"{path}: entry {number}"
            raise DataError(f"is not JSON ({printable(error)})", where=where, todo="get the file again") from error
    return entries


COCO = Form("COCO-style JSON", is_form, read, write)
