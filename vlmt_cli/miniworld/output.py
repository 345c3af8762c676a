"""Files written atomically, and the pieces that several official formats share."""

import gzip
import json
import os
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vlmt_cli.miniworld.draw import outline
from vlmt_cli.miniworld.photos import Plan, coco_stem
from vlmt_cli.miniworld.scene import HEIGHT, SHAPES, WIDTH, Thing

COCO_URL = "http://images.cocodataset.org"


def put(path: Path, data: bytes) -> None:
    """Write ``data`` beside ``path``, then rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def put_json(path: Path, value: object) -> None:
    """Write one JSON value."""
    put(path, json.dumps(value).encode())


def put_json_lines(path: Path, records: Iterable[object]) -> None:
    """Write one JSON value a line; compressed where the name ends in .gz, without a time stamp."""
    data = "".join(f"{json.dumps(record)}\n" for record in records).encode()
    put(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def put_pickle(path: Path, value: object) -> None:
    """Write plain lists, dicts, strings and numbers in the old protocol that the RefCOCO files have."""
    put(path, pickle.dumps(value, protocol=2))


def flickr_url(photo_id: int) -> str:
    """Return a photo's address on Flickr, in the form that COCO's files have."""
    secret = f"{photo_id * 2654435761 % 16**10:010x}"
    return f"http://farm{photo_id % 9 + 1}.staticflickr.com/{photo_id % 8191 + 1000}/{photo_id}_{secret}_z.jpg"


def coco_image(plan: Plan, photo: int) -> dict[str, Any]:
    """Return the photo as a record of an instances file's ``images``."""
    stem = coco_stem(plan, photo)
    return {
        "license": plan.coco[photo] % 8 + 1,
        "file_name": f"{stem}.jpg",
        "coco_url": f"{COCO_URL}/{plan.coco_set[photo]}/{stem}.jpg",
        "height": HEIGHT,
        "width": WIDTH,
        "date_captured": "2013-11-14 17:02:52",
        "flickr_url": flickr_url(plan.flickr[photo]),
        "id": plan.coco[photo],
    }


def categories() -> list[dict[str, Any]]:
    """Return the shapes as COCO categories."""
    return [{"supercategory": "shape", "id": i, "name": shape} for i, shape in enumerate(SHAPES, 1)]


def segmentation(thing: Thing) -> list[list[float]]:
    """Return the thing's outline as COCO polygons: x and y in turn, in pixels."""
    return [[round(value, 2) for point in outline(thing) for value in point]]


def area(thing: Thing) -> float:
    """Return the thing's area in square pixels."""
    points = outline(thing)
    turns = zip(points, points[1:] + points[:1], strict=True)
    return round(abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in turns)) / 2, 2)


def object_ids(plan: Plan, photo: int, base: int) -> list[int]:
    """Return an id for each thing of the photo. Things stand in random order, so the ids' order says nothing."""
    return [base + photo * 10 + i for i in range(len(plan.scenes[photo].things))]


def instance(plan: Plan, photo: int, index: int) -> dict[str, Any]:
    """Return one thing of the photo as a record of an instances file's ``annotations``."""
    thing = plan.scenes[photo].things[index]
    return {
        "segmentation": segmentation(thing),
        "area": area(thing),
        "iscrowd": 0,
        "image_id": plan.coco[photo],
        "bbox": [float(value) for value in thing.box],
        "category_id": SHAPES.index(thing.shape) + 1,
        "id": object_ids(plan, photo, 1_000_000)[index],
    }
