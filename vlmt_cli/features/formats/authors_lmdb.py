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

from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

from vlmt_cli.base.pickles import loads
from vlmt_cli.features.formats.entry import Entry, Options, assemble, damaged, numbers, pick, whole
from vlmt_cli.features.lmdb_file import opened
from vlmt_cli.features.record import Regions

KEYS = b"keys"


def entries(path: Path, options: Options) -> Generator[Entry]:
    """Read an LMDB image by image, in the order of its keys; those that ``keys`` lists in vain come last."""
    with opened(path) as transaction:
        total = transaction.stat()["entries"]
        for n, (key, value) in enumerate(transaction.cursor(), 1):
            if key != KEYS:
                name = readable(key)
                yield Entry(name, partial(_read, value, f"{path}: {name}"), n / total)
        listed = transaction.get(KEYS)
        for key in loads(listed, f"{path}: keys") if listed else ():
            name = readable(key) if isinstance(key, bytes) else str(key)
            if transaction.get(name.encode()) is None:
                yield damaged(name, "listed among the keys, but there is no record", 1)


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


def _read(value: bytes, where: str) -> Regions:
    return regions_of(loads(value, where))
