"""COCO and Flickr30k image retrieval, Karpathy split: about five captions an image, one example a caption.

dataset_coco.json
    {"dataset": "coco", "images": [{"filepath": "val2014", "filename": "COCO_val2014_000000391895.jpg",
        "cocoid": 391895, "imgid": 0, "split": "test", "sentids": [770337, ...], "sentences": [
            {"tokens": ["a", "man", ...], "raw": "A man with a red helmet ...", "imgid": 0, "sentid": 770337}, ...]},
        ...]}
dataset_flickr30k.json
    the same, without filepath and cocoid; the stem of the filename, "1000092795.jpg", is the image's Flickr photo id

From https://cs.stanford.edu/people/karpathy/deepimagesent/. COCO: 113,287 / 5,000 / 5,000 images, 566,747 train
captions; Flickr30k: 29,000 / 1,014 / 1,000 images, 145,000 train captions (table 8).

Traps: ``restval`` is a part of train; some images have six or seven captions; most papers' 1k test of COCO is the first
1,000 test images in file order, which is therefore kept.
"""

from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.keys import image_keys
from vlmt_cli.datasets.names import check_names
from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.pieces import read_columns
from vlmt_cli.datasets.source import Int64, find
from vlmt_cli.datasets.tables import RETRIEVAL, Examples, example_table

COCO_FILE = "dataset_coco.json"
FLICKR30K_FILE = "dataset_flickr30k.json"
SPLITS = {"train": ("train", "restval"), "val": ("val",), "test": ("test",)}


class Sentence(msgspec.Struct, gc=False):
    sentid: Int64
    raw: str


class Image(msgspec.Struct, gc=False):
    split: Literal["train", "restval", "val", "test"]
    sentences: list[Sentence]


class CocoImage(Image, gc=False):
    cocoid: Int64
    filename: str | None = None


class Flickr30kImage(Image, gc=False):
    filename: str


def read_coco(raw: Path, options: Options) -> Examples:
    """Read COCO retrieval."""
    path = find(raw, COCO_FILE)
    if path is None:
        return Examples()
    notes: dict[str, int] = {}
    read = _read(path, CocoImage, "cocoid", pa.int64(), notes)
    keys = image_keys("coco", read["image"], path)
    check_names(read["name"], keys, path, "$.images[{}]")
    return _captions(path, read, keys, notes)


def read_flickr30k(raw: Path, options: Options) -> Examples:
    """Read Flickr30k retrieval."""
    path = find(raw, FLICKR30K_FILE)
    if path is None:
        return Examples()
    notes: dict[str, int] = {}
    read = _read(path, Flickr30kImage, "filename", pa.string(), notes)
    keys = image_keys("flickr30k", pc.replace_substring_regex(read["image"], r"\.jpg$", ""), path)
    return _captions(path, read, keys, notes)


def _read(
    path: Path, kind: type[CocoImage] | type[Flickr30kImage], image: str, image_type: pa.DataType, notes: dict[str, int]
) -> dict[str, pa.Array]:
    """Read columns of N images, named by the field ``image``, and of all their captions."""

    def columns(images: Sequence[CocoImage | Flickr30kImage]) -> dict[str, pa.Array]:
        sentences = [sentence for each in images for sentence in each.sentences]
        return {
            "image": pa.array(list(map(attrgetter(image), images)), image_type),
            "name": pa.array([each.filename for each in images], pa.string()),
            "split": pa.array([each.split for each in images], pa.string()),
            "captions": pa.array([len(each.sentences) for each in images], pa.int64()),
            "sentid": pa.array([each.sentid for each in sentences], pa.int64()),
            "raw": pa.array([each.raw for each in sentences], pa.string()),
        }

    def once(images: Sequence[Image]) -> dict[str, int]:
        captions = sum(len(each.sentences) for each in images)
        return {**dict.fromkeys((image, "split", "sentences"), len(images)), "sentid": captions, "raw": captions}

    return read_columns(path, list[kind], columns, below="images", notes=notes, once=once)  # type: ignore[valid-type]


def _captions(path: Path, read: dict[str, pa.Array], keys: pa.Array, notes: dict[str, int]) -> Examples:
    shown = pa.array(np.repeat(np.arange(len(keys)), read["captions"].to_numpy()))
    table = example_table(
        RETRIEVAL,
        path,
        example_id=read["sentid"],
        images=keys.take(shown),
        text=read["raw"],
    )
    split = read["split"].take(shown)
    parts = {name: table.filter(pc.is_in(split, pa.array(of))) for name, of in SPLITS.items()}
    return Examples(
        {name: part for name, part in parts.items() if len(part)},
        notes=notes,
        test_images={"test": keys.filter(pc.equal(read["split"], "test"))},
    )
