"""RefCOCO, RefCOCO+ and RefCOCOg: expressions that refer to one object of a COCO image, one example a sentence.

refs(unc).p, refs(umd).p or refs(google).p, a pickle
    [{"ref_id": 0, "ann_id": 1719310, "category_id": 1, "image_id": 581857, "split": "train", "sent_ids": [0, 1, 2],
      "file_name": "COCO_train2014_000000581857_16.jpg", "sentences": [
          {"sent_id": 0, "sent": "the lady with the blue shirt", "raw": "THE LADY WITH THE BLUE SHIRT",
           "tokens": ["the", "lady", ...]}, ...]}, ...]
instances.json
    {"images": [{"id": 581857, "flickr_url": "...", ...}, ...], "categories": [{"id": 1, "name": "person", ...}, ...],
     "annotations": [{"id": 1719310, "image_id": 581857, "category_id": 1, "bbox": [103.93, 299.99, 134.22, 177.42],
                      "area": 1.0, "iscrowd": 0, "segmentation": [[...]]}, ...], ...}

From https://github.com/lichengunc/refer. Train sentences: RefCOCO 120,624, RefCOCO+ 120,191, RefCOCOg 80,512 (table 8);
test images: 1,500, 1,500 and 2,600 (table 7). Candidates are all annotated objects of the image.

Traps: the pickles are Python 2's, and a pickle can run code, so that only plain data is read; RefCOCO and RefCOCO+ have
two test sets, testA (people) and testB (the rest); google's split of RefCOCOg shares images between train and val, and
with umd's test set.
"""

from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.keys import image_keys
from vlmt_cli.base.pickles import read_pickle
from vlmt_cli.datasets.crosswalks import CocoImage, links_of
from vlmt_cli.datasets.decoding import CORRECT
from vlmt_cli.datasets.names import check_names
from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.source import Int64, find, read_json, typed
from vlmt_cli.datasets.tables import (
    REFERRING,
    TARGET_DROPPED,
    Examples,
    Xywh,
    box_array,
    check_unique,
    corners_of,
    example_table,
    lists,
    note,
    sound_corners,
    target_columns,
)

REFS = "refs({}).p"
INSTANCES = "instances.json"
SPLITS = ("train", "val", "testA", "testB", "test")


class Sentence(msgspec.Struct, gc=False):
    sent_id: Int64
    sent: str | None = None
    raw: str | None = None


class Ref(msgspec.Struct, gc=False):
    ann_id: Int64
    image_id: Int64
    split: Literal["train", "val", "testA", "testB", "test"]
    sentences: list[Sentence]
    ref_id: Int64 | None = None
    file_name: str | None = None


class Annotation(msgspec.Struct, gc=False):
    id: Int64
    image_id: Int64
    category_id: Int64
    bbox: Xywh


class Category(msgspec.Struct, gc=False):
    id: Int64
    name: str


class Image(CocoImage, gc=False):
    width: float | None = None
    height: float | None = None


class _Sizes(msgspec.Struct, gc=False):
    images: list[Image]


class Instances(msgspec.Struct, gc=False):
    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category]


def read_unc(raw: Path, options: Options) -> Examples:
    """Read RefCOCO or RefCOCO+."""
    return _read(raw, REFS.format("unc"))


def read_refcocog(raw: Path, options: Options) -> Examples:
    """Read RefCOCOg."""
    return _read(raw, REFS.format(options.refcocog.split_by), test_of="umd")


def image_sizes(raw: Path, keys: pa.Array) -> NDArray[np.float64] | None:
    """Return width and height in pixels of N images, (N, 2), NaN where they are not known; None without the file."""
    if (path := find(raw, INSTANCES)) is None:
        return None
    images = read_json(path, _Sizes).images
    rows = pc.index_in(
        keys, pc.binary_join_element_wise("coco", pa.array([each.id for each in images]).cast(pa.string()), ":")
    )
    sides = np.array([(each.width or np.nan, each.height or np.nan) for each in images] + [(np.nan, np.nan)])
    sizes: NDArray[np.float64] = sides[rows.fill_null(len(images)).to_numpy()]
    return sizes


def sentence_ids(raw: Path) -> list[pa.Table]:
    """Return of each file of references the ids of its sentences, as strings: ``sent_id``, ``ref_id``, ``ann_id``,
    ``image`` (its key) and ``split``; a row a sentence."""
    tables = []
    for by in ("unc", "umd", "google"):
        if path := find(raw, REFS.format(by)):
            refs = typed(path, _plain(read_pickle(path)), list[Ref])
            of = pa.array(np.repeat(np.arange(len(refs)), [len(ref.sentences) for ref in refs]))
            columns = {
                "ref_id": pa.array([ref.ref_id for ref in refs], pa.int64()).cast(pa.string()),
                "ann_id": pa.array([ref.ann_id for ref in refs], pa.int64()).cast(pa.string()),
                "image": image_keys("coco", [ref.image_id for ref in refs], path),
                "split": pa.array([ref.split for ref in refs], pa.string()),
            }
            sentences = pa.array([each.sent_id for ref in refs for each in ref.sentences], pa.int64()).cast(pa.string())
            tables.append(
                pa.table({"sent_id": sentences, **{name: column.take(of) for name, column in columns.items()}})
            )
    return tables


def objects_alike(raw: Path, keys: pa.Array, categories: pa.Array) -> NDArray[np.int64] | None:
    """Count for each of N expressions the annotated objects of its image that are of its object's category.

    Args:
        raw: the folder of official files.
        keys: N image keys.
        categories: N names, of the objects that are meant.

    Returns:
        (N,); None where the file is missing.
    """
    if (path := find(raw, INSTANCES)) is None:
        return None
    instances = read_json(path, Instances)
    names = _names(instances.categories, instances.annotations, path)
    images = pa.array([each.image_id for each in instances.annotations], pa.int64()).cast(pa.string())
    objects = pc.binary_join_element_wise("coco:", images, " ", names, "").dictionary_encode()
    counts = np.append(np.bincount(objects.indices.to_numpy()), 0)
    asked = pc.index_in(pc.binary_join_element_wise(keys, categories, " "), objects.dictionary)
    alike: NDArray[np.int64] = counts[asked.fill_null(len(counts) - 1).to_numpy()]
    return alike


def _read(raw: Path, refs_file: str, test_of: str | None = None) -> Examples:
    """Read one of the three.

    Args:
        raw: the folder of its files.
        refs_file: whose split: ``refs(unc).p``, ``refs(umd).p`` or ``refs(google).p``.
        test_of: whose test set is a test set beside it, as ``test-umd``, where its file is there.
    """
    path, objects_path = find(raw, refs_file), find(raw, INSTANCES)
    if path is None and list(raw.glob("refs(*).p*")):
        raise DataError(f"there is no {refs_file}", where=raw, todo=_advice(raw, refs_file))
    if path is None:
        return Examples()
    if objects_path is None:  # the test images are known all the same
        return Examples(test_images=_test_images(_refs(path), path))
    notes: dict[str, int] = {}
    instances = read_json(objects_path, Instances, notes, _once)
    boxes, is_sound = _boxes(instances, notes)
    splits, test_images = _splits(path, instances, boxes, is_sound, objects_path, notes)
    if test_of and refs_file != REFS.format(test_of) and (other := find(raw, REFS.format(test_of))):
        other_splits, other_images = _splits(other, instances, boxes, is_sound, objects_path, notes)
        splits |= {f"test-{test_of}": other_splits["test"]} if "test" in other_splits else {}
        test_images |= {f"test-{test_of}": other_images["test"]}
    links = links_of(instances.images, objects_path)
    return Examples(splits, links=links, notes=notes, test_images=test_images)


def _advice(raw: Path, refs_file: str) -> str:
    """Say what to do where another split's file of references is there."""
    for other in ("umd", "google"):
        if refs_file != REFS.format("unc") and find(raw, REFS.format(other)):
            return f"download it, or take {other}'s split, which is there, with --set refcocog.split_by={other}"
    return f"take it from the archive that {INSTANCES} came in; the paper's split is this one, not another's"


def _once(instances: Instances) -> dict[str, int]:
    return dict.fromkeys(("image_id", "category_id", "bbox"), len(instances.annotations))


def _boxes(instances: Instances, notes: dict[str, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return (N, 4) corners of all objects, and which of them are possible."""
    sizes = np.array([(image.width or 0.0, image.height or 0.0) for image in instances.images] + [(0.0, 0.0)])
    shown = pc.index_in(_image_ids(instances.annotations), pa.array([each.id for each in instances.images], pa.int64()))
    width, height = sizes[shown.fill_null(len(sizes) - 1).to_numpy()].T
    return sound_corners(corners_of([each.bbox for each in instances.annotations]), notes, width, height)


def _splits(
    path: Path,
    instances: Instances,
    corners: NDArray[np.float32],
    is_sound: NDArray[np.bool_],
    objects_path: Path,
    notes: dict[str, int],
) -> tuple[dict[str, pa.Table], dict[str, pa.Array]]:
    """Read the sentences of one file of references, by split, and the images of all its test references."""
    refs, objects = _refs(path), instances.annotations
    row = _rows_of_refs(refs, objects, path, objects_path)
    text = _text(refs, path)
    boxes = box_array(corners)

    # One list of candidates an image, in the order of the annotations; empty where none of its boxes is possible.
    image_of = np.array([each.image_id for each in objects], dtype=np.int64)
    in_order = np.argsort(image_of, kind="stable")
    images, image_number = np.unique(image_of, return_inverse=True)
    in_order = in_order[is_sound[in_order]]
    sizes = np.bincount(image_number[in_order], minlength=len(images))
    candidates = lists(sizes, boxes.take(pa.array(in_order)))
    position = np.zeros(len(objects), dtype=np.int64)
    position[in_order] = np.arange(len(in_order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)

    said = np.repeat(np.arange(len(refs)), [len(ref.sentences) for ref in refs])
    meant = row[said]
    note(notes, TARGET_DROPPED, int((~is_sound[meant]).sum()))
    table = example_table(
        REFERRING,
        path,
        example_id=pa.array([each.sent_id for ref in refs for each in ref.sentences], pa.int64()),
        images=image_keys("coco", [ref.image_id for ref in refs], path).take(pa.array(said)),
        text=text,
        candidates=candidates.take(pa.array(image_number[meant])),
        **target_columns(boxes, meant, position[meant], is_sound[meant]),
        category=_names(instances.categories, objects, objects_path).take(pa.array(meant)),
    )
    split = pa.array([ref.split for ref in refs], pa.string()).take(pa.array(said))
    parts = {name: table.filter(pc.equal(split, name)) for name in SPLITS}
    return {name: part for name, part in parts.items() if len(part)}, _test_images(refs, path)


def _refs(path: Path) -> list[Ref]:
    refs = typed(path, _plain(read_pickle(path)), list[Ref])
    keys = image_keys("coco", [ref.image_id for ref in refs], path)
    check_names([ref.file_name for ref in refs], keys, path, "$[{}]")
    return refs


def _test_images(refs: list[Ref], path: Path) -> dict[str, pa.Array]:
    """Return the images of the references of each test split."""
    of = {split: [ref.image_id for ref in refs if ref.split == split] for split in SPLITS if split.startswith("test")}
    return {split: image_keys("coco", pa.array(ids, pa.int64()), path) for split, ids in of.items()}


def _rows_of_refs(refs: list[Ref], objects: list[Annotation], path: Path, objects_path: Path) -> NDArray[np.int64]:
    """Find each reference's object among the annotations."""
    ids = pa.array([each.id for each in objects], pa.int64())
    check_unique(ids, objects_path)
    rows = pc.index_in(pa.array([ref.ann_id for ref in refs], pa.int64()), ids)
    shown = pa.array([ref.image_id for ref in refs], pa.int64())
    fits = pc.equal(_image_ids(objects).take(rows), shown).fill_null(False)
    if not pc.all(fits, min_count=0).as_py():
        number = fits.index(False).as_py()
        raise DataError(
            f"object {refs[number].ann_id} is not among those of image {shown[number]} in {objects_path.name}",
            where=f"{path}: $[{number}]",
            todo="download both files again, from the same release",
        )
    return np.asarray(rows, dtype=np.int64)


def _image_ids(objects: list[Annotation]) -> pa.Array:
    return pa.array([each.image_id for each in objects], pa.int64())


def _names(categories: list[Category], objects: list[Annotation], path: Path) -> pa.Array:
    """Name the category of each annotation."""
    wanted = pa.array([each.category_id for each in objects], pa.int64())
    rows = pc.index_in(wanted, pa.array([category.id for category in categories], pa.int64()))
    if rows.null_count:
        number = rows.is_null().index(True).as_py()
        what, where = f"category {wanted[number]} is not among the categories", f"{path}: $.annotations[{number}]"
        raise DataError(what, where=where, todo=CORRECT)
    return pa.array([category.name for category in categories], pa.string()).take(rows)


def _plain(refs: Any) -> Any:
    """Take a dict of references by their ids for their list."""
    return list(refs.values()) if isinstance(refs, dict) else refs


def _text(refs: list[Ref], path: Path) -> list[str]:
    sentences = [(number, each) for number, ref in enumerate(refs) for each in ref.sentences]
    for number, each in sentences:
        if each.sent is None and each.raw is None:
            what = f"sentence {each.sent_id} has neither sent nor raw"
            raise DataError(what, where=f"{path}: $[{number}]", todo=CORRECT)
    return [each.sent if each.sent is not None else str(each.raw).lower() for _, each in sentences]
