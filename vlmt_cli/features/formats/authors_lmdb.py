"""The authors' LMDB of region features, and its older form.

coco/features_100/COCO_trainval_resnext152_faster_rcnn_genome.lmdb/data.mdb
    b"262148" -> pickle of {"image_id": 262148, "image_h": 480, "image_w": 640, "num_boxes": 100,
        "boxes": float32 (100, 4), x1 y1 x2 y2 in pixels, "features": float32 (100, 2048)}
    b"keys" -> pickle of [b"262148", ...]
the older form, of vilbert_beta
    b"262148" -> pickle of {"image_id": "262148", "image_h": "480", "image_w": "640", "num_boxes": "100",
        "boxes": base64 of float32, "features": base64 of float32, "cls_prob": base64 of float32 (100, 1601)}

From https://dl.fbaipublicfiles.com/vilbert-multi-task/datasets/..., or made by the authors' convert_to_lmdb.py.

Traps: keys are bare numbers of COCO, Flickr30k or Visual Genome, which collide, hence ``--source``; Visual7W's are
v7w_<id>, NLVR2's dev-850-0-img0. ``num_boxes`` counts confident regions and may be smaller than what is there: all of
them are taken, as the authors' reader does. A pickle is a program: only arrays and plain data are read from it.
"""

import re
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.pickles import loads
from vlmt_cli.base.words import printable
from vlmt_cli.features.formats.entry import Entry, PackOptions, assemble, damaged, numbers, pick, whole
from vlmt_cli.features.lmdb_file import Lmdb, opened
from vlmt_cli.features.record import Regions

KEYS = b"keys"
_NUMBERED = re.compile(r"(?:COCO_[A-Za-z0-9]+_|v7w_)?0*(\d{1,18})(?:\.[A-Za-z]{3,4})?")
_OTHERS = re.compile(r"(?:train|dev|test1|test2)-\d+-\d+-img\d|n\d+(?=\.|$)")
_IMAGE_FIELDS = ("image_id", "img_id", "imageId", "image_name", "img_name", "image_path", "file_name", "filename")


def entries(path: Path, options: PackOptions) -> Generator[Entry]:
    """Read an LMDB image by image, in the order of its keys; those that ``keys`` lists in vain come last."""
    with opened(path) as file:
        yield from in_lmdb(file, KEYS, lambda key, value, share: _entry(key, value, f"{path}: {key}", share))
        listed = file.get(KEYS)
        if listed is not None:
            try:
                names = loads(listed, f"{path}: keys")
            except DataError as error:
                yield damaged("keys", error.what, 1)
            else:
                yield from listed_in_vain(file, names, "")


def in_lmdb(file: Lmdb, keys: bytes, entry: Callable[[str, bytes, float], Entry]) -> Iterator[Entry]:
    """Make an entry of each record but ``keys``, and of each damage in an LMDB."""
    for n, record in enumerate(file.records(), 1):
        share = n / max(n, file.entries)
        if record.damage:
            yield damaged(readable(record.key) or "pages of the LMDB", record.damage, share)
        elif record.key != keys:
            yield entry(readable(record.key), record.value, share)


def listed_in_vain(file: Lmdb, listed: Any, prefix: str) -> Iterator[Entry]:
    """Make an entry of each key in a list of keys that has no record."""
    existing = file.intact_keys()
    if not isinstance(listed, (list, tuple)):
        yield damaged("keys", f"the keys are {type(listed).__name__}, not a list", 1)
        return
    for key in listed:
        if not isinstance(key, (bytes, str, int)):
            yield damaged("keys", f"a key is {type(key).__name__}, not text", 1)
            continue
        name = readable(key) if isinstance(key, bytes) else str(key)
        if name.encode(errors="backslashreplace") not in existing:
            yield damaged(f"{prefix}{name}", "listed among the keys, but there is no record", 1)


def readable(key: bytes) -> str:
    """Return a key as text, whatever is in it."""
    return key.decode(errors="backslashreplace")


def regions_of(record: Any) -> Regions:
    """Take the fields of a record, which the authors' per-image files have, too. Raises a ValueError."""
    if not isinstance(record, dict):
        raise ValueError(f"the record is {type(record).__name__}, not a dict of fields")
    boxes = numbers(pick(record, "boxes", "bbox"), "boxes")
    features = numbers(pick(record, "features"), "features")
    scores = pick(record, "cls_prob")
    regions = assemble(
        boxes,
        features,
        whole(pick(record, "image_w", "image_width"), "image_w"),
        whole(pick(record, "image_h", "image_height"), "image_h"),
        None if scores is None else numbers(scores, "cls_prob"),
    )
    stated = pick(record, "num_boxes")
    if stated is not None and whole(stated, "num_boxes") > len(regions.boxes):
        raise ValueError(f"there are {len(regions.boxes)} boxes, not {whole(stated, 'num_boxes')}")
    return regions


def _entry(key: str, value: bytes, where: str, share: float) -> Entry:
    return Entry(base_name(key), partial(_read, key, value, where), share)


def base_name(key: str) -> str:
    """Return a key without the folders that some tools put before it."""
    return key.rpartition("/")[2]


def _read(key: str, value: bytes, where: str) -> Regions:
    record = loads(value, where)
    regions = regions_of(record)
    check_image(key, record, "the key")
    return regions


def check_image(name: str, record: Mapping[str, Any], what: str) -> None:
    """Refuse a record that says that it is of another image than its name.

    ``COCO_val2014_000000000009`` is ``9``; a number says nothing about ``dev-850-0-img0``.

    Args:
        name: a key, or a file's name.
        record: its fields.
        what: what the name is, for the error.

    Raises:
        ValueError: they name different images.
    """
    named = identity(name)
    for field in _IMAGE_FIELDS:
        stated = identity(_scalar(record.get(field)))
        if named and stated and named[0] == stated[0] and named[1] != stated[1]:
            said = _scalar(record.get(field))
            raise ValueError(f"{field} is {printable(repr(said))}, and {what} names another image")


def _scalar(value: Any) -> Any:
    """Return what an array of one element holds, and of numpy's kinds Python's own."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.item() if value.size == 1 else None
    return value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value


def identity(name: Any) -> tuple[str, str] | None:
    """Return what tells images apart in a name, and what kind of name that is; None where nothing does."""
    if isinstance(name, float) and name.is_integer():
        name = int(name)
    if isinstance(name, bytes):
        name = readable(name)
    if not isinstance(name, (str, int)) or isinstance(name, bool):
        return None
    text = base_name(str(name).strip())
    if numbered := _NUMBERED.fullmatch(text):
        return "number", numbered[1]
    if other := _OTHERS.match(text):
        return "name", other[0]
    return None
