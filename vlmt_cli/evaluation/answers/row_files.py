"""Rows of a benchmark from the file that a user has of it, or from the records of predictions themselves.

POPE's labels, a file a category
    {"question_id": 1, "image": "COCO_val2014_000000310196.jpg", "text": "Is there a snowboard ...?", "label": "yes"}
LLaVA's questions, which do not say what is right
    {"question_id": "201307251", "image": "n161313.jpg", "text": "Is it overcast?\\nAnswer ...", "category": "default"}
lmms-lab's Parquet; RefCOCO's boxes are x, y, width, height, and an expression each makes a row
    question_id  question  answer: list  bbox  file_name
Qwen-VL's and InternVL's lines, whose boxes are corners
    {"image": "...", "sent": "lady in blue", "bbox": [...], "height": 428, "width": 640}
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.datasets.table import AMONG_CANDIDATES
from vlmt_cli.evaluation.answers.choices import options_of
from vlmt_cli.evaluation.answers.predicted import Predicted
from vlmt_cli.evaluation.answers.records import Record, four_numbers, numbers, read_records, refer_ids, strings
from vlmt_cli.evaluation.answers.rows import SOURCE, Rows, kind_of, right_columns, split_name
from vlmt_cli.mixtures.names import keys_of

_IDS = ("question_id", "questionId", "sent_id", "identifier", "pairID", "index", "id")
_TEXTS = ("sent", "text", "question", "sentence", "expression", "sentence2", "caption", "input")
_IMAGES = ("image", "image_source", "file_name", "filename", "image_path", "img", "image_id", "imageId", "img_id",
           "Flickr30K_ID", "Flikr30kID")  # fmt: skip
_TARGETS = ("label", "gold_label", "answer", "annotation", "target", "multiple_choice_answer", "gt_answer")
_BOXES = ("bbox", "gt_bbox_xyxy", "gt_bbox", "box")
_LONGEST_NAME = 1_000
"""Letters of an image's name; longer ones are pictures."""


def rows_of_files(paths: Sequence[Path], name: str) -> Rows:
    """Read a benchmark's files.

    Args:
        paths: one or more; of several that name no categories, each is one.
        name: of the benchmark, ``refcoco:testA`` or ``pope``.

    Raises:
        UsageError: only official files have what the benchmark is scored by.
        DataError: one cannot be read.
    """
    task, split = split_name(name)
    _check_task(task)
    records: list[Record] = []
    categories = _categories(paths)
    for path, category in zip(paths, categories, strict=True):
        of_file = _exploded(read_records(path)) if kind_of(task) == "referring" else read_records(path)
        if len(paths) > 1 and not any(each.get("category") for each in of_file):
            of_file = [{**each, "category": category} for each in of_file]
        records += of_file
    texts = strings(records, _TEXTS)
    ids = strings(records, _IDS)
    if texts is None and ids is None:
        raise DataError("names neither questions nor their ids", where=paths[0], todo="give the benchmark's own file")
    given: dict[str, Any] = {
        "targets": strings(records, _TARGETS), "length": len(records), "options": options_of(records)
    }  # fmt: skip
    if kind_of(task) == "vqa" and isinstance(records[0].get("answers"), list):
        given["answers"] = [_said(each.get("answers")) for each in records]
    sizes = _sizes(records)
    if kind_of(task) == "referring":
        given["boxes"] = _corners(records, sizes)
    images, named = _shown(strings(records, _IMAGES), ids), strings(records, ("category",))
    return _rows(name, split, given, ids, texts, images, named, sizes,
                 listed_paths(paths), paths[0].name.partition(".")[0] if len(paths) == 1 else "",
                 refer_ids(records))  # fmt: skip


def rows_of_predictions(predicted: Predicted, name: str) -> Rows:
    """Take the records of a file of predictions as the benchmark's rows: what is right stands in them.

    Raises:
        DataError: it does not say what is right.
    """
    task, split = split_name(name)
    _check_task(task)
    if not predicted.has_targets:
        todo = "give the benchmark's file with --rows, or the data folder with its official files"
        raise DataError("does not say what is right", where=predicted.path, todo=todo)
    boxes, sizes = predicted.target_boxes, predicted.sizes
    if boxes is not None and sizes is None and np.nanmax(boxes) <= 1:
        sizes = np.ones((len(boxes), 2))
    ids, images = predicted.ids, predicted.images
    if images is None and task == "mme":
        images = ids  # which both questions about an image share
    if ids is None or pc.count_distinct(ids).as_py() < len(ids):
        ids = pa.array(np.arange(len(predicted)) if predicted.rows is None else predicted.rows).cast(pa.string())
    given = {"targets": predicted.targets, "boxes": boxes, "length": len(predicted), "options": predicted.options}
    return _rows(name, split, given, ids, predicted.texts, images, predicted.categories, sizes,
                 f"{predicted.path} itself")  # fmt: skip


def _shown(images: pa.Array | None, ids: pa.Array | None) -> pa.Array | None:
    """Name pictures that stand in the column of images by their hash, and those that another row holds as that one's.

    VLMEvalKit's tables have pictures as text, and in place of one that repeats the index of the row that has it.
    """
    if images is None or not pc.any(is_picture := pc.greater(pc.utf8_length(images), _LONGEST_NAME)).as_py():
        return images
    names = pc.if_else(is_picture, None, images)
    at = pc.index_in(names, value_set=ids, skip_nulls=True) if ids is not None else pa.nulls(len(images), pa.int32())
    held = pc.if_else(is_picture, images, images.take(at)).dictionary_encode()
    hashes = [sha256(each.encode()).hexdigest()[:32] for each in held.dictionary.to_pylist()]
    return pc.coalesce(pa.array(hashes, pa.string()).take(held.indices), names)


def _check_task(task: str) -> None:
    """Refuse tasks whose candidates only official files have."""
    if task in AMONG_CANDIDATES:
        what = f"{task} is scored by the candidate that is chosen, and only its official files list them"
        raise UsageError(what, todo=f"put them below raw/{task}, run vlmt clean, and leave --rows out")


def image_lists(names: pa.Array | None, task: str, ids: pa.Array, text: pa.Array) -> pa.ListArray:
    """Name the image of each of N rows; VQA's question ids name theirs, and what has no name is an image by itself."""
    keys = pa.nulls(len(ids), pa.string())
    if names is not None:
        keys = keys_of(names, source=SOURCE.get(task)).keys
        keys = pc.coalesce(keys, pc.binary_join_element_wise("name", names, ":"))
    if task == "vqa":
        numbered = pc.struct_field(pc.extract_regex(ids, r"^(?P<image>[0-9]+)[0-9]{3}$"), "image")
        keys = pc.coalesce(keys, pc.binary_join_element_wise("coco", numbered, ":"))
    alone = pc.binary_join_element_wise("row", pa.array(np.arange(len(ids))).cast(pa.string()), ":")
    return pa.ListArray.from_arrays(np.arange(len(ids) + 1, dtype=np.int32), pc.coalesce(keys, alone))


def listed_paths(paths: Sequence[Path]) -> str:
    """Name some files in a message: the first, and how many more."""
    return str(paths[0]) + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")


def _rows(
    name: str,
    split: str,
    given: dict[str, Any],
    ids: pa.Array | None,
    texts: pa.Array | None,
    images: pa.Array | None,
    categories: pa.Array | None,
    sizes: NDArray[np.float64] | None,
    origin: str,
    file: str = "",
    ids_of: Mapping[str, pa.Array] | None = None,
) -> Rows:
    task, length = split_name(name)[0], given["length"]
    ids = pa.array(np.arange(length)).cast(pa.string()) if ids is None else ids
    texts = pa.nulls(length, pa.string()) if texts is None else texts
    columns = {"example_id": ids, "images": image_lists(images, task, ids, texts), "text": texts,
               **right_columns(task, given)}  # fmt: skip
    if given.get("options") is not None:
        columns["options"] = given["options"]
    if categories is not None and categories.null_count < length:
        columns["category"] = categories
    return Rows(name, task, split, kind_of(task), pa.table(columns), origin, sizes, file=file, ids=ids_of or {})


def _categories(paths: Sequence[Path]) -> list[str]:
    """Name each of several files by what tells its name from the others'."""
    names = [path.name.partition(".")[0] for path in paths]
    before, behind = _alike(names), _alike([name[::-1] for name in names])
    return [name[before : len(name) - behind] or name for name in names]


def _alike(names: Sequence[str]) -> int:
    """Return how many first letters all of some names share."""
    return next((i for i, letters in enumerate(zip(*names, strict=False)) if len(set(letters)) > 1), 0)


def _exploded(records: list[Record]) -> list[Record]:
    """Make a row of each expression of a record that has a list of them; its box is x, y, width, height then."""
    if not isinstance(records[0].get("answer"), list):
        return records
    return [
        {
            **{key: value for key, value in record.items() if key not in ("answer", "question")},
            "sent": each,
            "is_xywh": 1,
        }
        for record in records
        for each in record["answer"]
    ]


def _corners(records: list[Record], sizes: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Return right boxes as corners: width and height where the form has them, or where corners cannot be."""
    boxes = four_numbers(records, _BOXES)
    if boxes is None:
        return None
    is_xywh = "is_xywh" in records[0]
    if not is_xywh and "sent" not in records[0]:
        known = boxes[np.isfinite(boxes).all(1)]
        is_xywh = bool((known[:, 2:] < known[:, :2]).any())
    if is_xywh:
        boxes = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
    return boxes


def _sizes(records: list[Record]) -> NDArray[np.float64] | None:
    for wide, high in (("width", "height"), ("image_width", "image_height")):
        columns = numbers(records, wide), numbers(records, high)
        if columns[0] is not None and columns[1] is not None:
            return np.stack([columns[0], columns[1]], 1)
    return None


def _said(answers: Any) -> list[str]:
    """Return annotators' answers, as strings or in records."""
    said = [each.get("answer") if isinstance(each, dict) else each for each in answers or ()]
    return [each for each in said if isinstance(each, str)]
