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
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.keys import image_keys
from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.source import Int64, find, read_json
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


class Flickr30kImage(Image, gc=False):
    filename: str


class CocoFile(msgspec.Struct, gc=False):
    images: list[CocoImage]


class Flickr30kFile(msgspec.Struct, gc=False):
    images: list[Flickr30kImage]


def read_coco(raw: Path, options: Options) -> Examples:
    """Read COCO retrieval."""
    path = find(raw, COCO_FILE)
    if path is None:
        return Examples()
    notes: dict[str, int] = {}
    images = read_json(path, CocoFile, notes, lambda file: _once(file.images, "cocoid")).images
    keys = image_keys("coco", pa.array([image.cocoid for image in images], pa.int64()), path)
    return _captions(path, images, keys, notes)


def read_flickr30k(raw: Path, options: Options) -> Examples:
    """Read Flickr30k retrieval."""
    path = find(raw, FLICKR30K_FILE)
    if path is None:
        return Examples()
    notes: dict[str, int] = {}
    images = read_json(path, Flickr30kFile, notes, lambda file: _once(file.images, "filename")).images
    names = pa.array([image.filename for image in images], pa.string())
    keys = image_keys("flickr30k", pc.replace_substring_regex(names, r"\.jpg$", ""), path)
    return _captions(path, images, keys, notes)


def _once(images: Sequence[Image], name: str) -> dict[str, int]:
    captions = sum(len(image.sentences) for image in images)
    return {name: len(images), "split": len(images), "sentences": len(images), "sentid": captions, "raw": captions}


def _captions(path: Path, images: Sequence[Image], keys: pa.Array, notes: dict[str, int]) -> Examples:
    captions = np.array([len(image.sentences) for image in images], dtype=np.int64)
    shown = pa.array(np.repeat(np.arange(len(images)), captions))
    table = example_table(
        RETRIEVAL,
        path,
        example_id=pa.array([sentence.sentid for image in images for sentence in image.sentences], pa.int64()),
        images=keys.take(shown),
        text=pa.array([sentence.raw for image in images for sentence in image.sentences], pa.string()),
    )
    split = pa.array([image.split for image in images], pa.string()).take(shown)
    parts = {name: table.filter(pc.is_in(split, pa.array(of))) for name, of in SPLITS.items()}
    return Examples({name: part for name, part in parts.items() if len(part)}, notes=notes)
