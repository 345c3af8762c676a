"""Boxes that are given instead of detected: from a file, or the candidates of a dataset's examples."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vlmt_cli.base.boxes import BoxArray, sound_boxes
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.opening import check_file, read_file
from vlmt_cli.base.words import printable
from vlmt_cli.datasets.clean_command import get_examples
from vlmt_cli.datasets.table import DATASETS
from vlmt_cli.features.box_names import keys_of_photos

WITH_CANDIDATES = tuple(name for name, row in DATASETS.items() if row.candidates != "none")
"""The datasets whose examples have candidate boxes."""
ALL_CANDIDATES = "candidates"
"""The name of them all together."""


FORMS = ("xyxy", "xywh")
"""How a file may write boxes: two corners, or a corner with width and height."""


class _Line(msgspec.Struct):
    image: str | int
    boxes: list[tuple[float, float, float, float]]


def read_boxes(path: Path, form: str = FORMS[0], photos: Sequence[tuple[str, str]] = ()) -> dict[str, BoxArray]:
    """Read boxes from a file.

    Args:
        path: Parquet with the columns ``image`` (a key or a name, ``box_names``) and ``boxes`` (lists of four numbers
            in pixels), or JSON lines with these fields: ``{"image": "coco:9", "boxes": [[0.5, 1, 20, 30.5]]}``.
        form: ``xyxy``, or ``xywh``. A file does not say which one it has.
        photos: that are extracted: image key and path.

    Returns:
        Image key to (R, 4), ``[x1, y1, x2, y2]``, in the order of the file.

    Raises:
        DataError: the file cannot be read, a name does not say which image it is, an image occurs twice or has no box,
            or most boxes are not of this form.

    Impossible boxes among the others stay, for ``fit_boxes`` to drop where the size of the photo is known.
    """
    lines = _parquet_lines(path) if path.suffix == ".parquet" else _json_lines(path)
    boxes_of: dict[str, BoxArray] = {}
    sound, impossible, first = 0, 0, ""
    keys = keys_of_photos([(where, name) for where, name, _ in lines], photos)
    for image, (where, _, boxes) in zip(keys, lines, strict=True):
        if image in boxes_of:
            raise DataError(f"{image} occurs twice", where=where)
        if not len(boxes):
            raise DataError(f"{image} has no box", where=where, todo="leave it out")
        with np.errstate(over="ignore", invalid="ignore"):
            corners = boxes if form == "xyxy" else np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
            is_box = np.isfinite(corners).all(1) & (corners[:, 2:] > corners[:, :2]).all(1)
        if not is_box.all() and not first:
            values = ", ".join(f"{value:g}" for value in boxes[int(np.argmin(is_box))])
            first = f"[{values}] of {image}"
        sound, impossible = sound + int(is_box.sum()), impossible + int((~is_box).sum())
        boxes_of[image] = corners
    if not boxes_of:
        raise DataError("names no image", where=path)
    if impossible > sound:
        todo = {
            "xyxy": "write [x1, y1, x2, y2] in pixels, x1 < x2, y1 < y2; or say --box-format xywh",
            "xywh": "write [x1, y1, width, height] in pixels; or say --box-format xyxy",
        }[form]
        what = f"{impossible:,} of {impossible + sound:,} boxes are not {form}, the first of them {first}"
        raise DataError(what, where=path, todo=todo)
    return boxes_of


def candidate_boxes(examples: Path, dataset: str) -> dict[str, BoxArray]:
    """Collect the distinct candidate boxes of each image of a dataset's example tables, of all splits.

    Args:
        examples: the folder of example tables, ``<data>/examples``.
        dataset: one of ``WITH_CANDIDATES``, or ``candidates`` for all of them that were read.

    Returns:
        Image key to (R, 4) in pixels, by rising x1, y1, x2, y2: an order that no file's order changes.

    Raises:
        DataError: the dataset was not read yet.
    """
    names = WITH_CANDIDATES if dataset == ALL_CANDIDATES else (dataset,)
    files = [file for name in names for file in sorted((examples / name).glob("*.parquet"))]
    tables = [pq.read_table(file, columns=["images", "candidates"]) for file in files if "candidates" in _columns(file)]
    if not tables:
        todo = get_examples(examples.parent, *names)
        raise DataError("has no example tables", where=examples / names[0], todo=todo)
    table = pa.concat_tables(tables).combine_chunks()
    keys = pc.list_element(table["images"], 0).combine_chunks().dictionary_encode()
    candidates = table["candidates"].combine_chunks()
    image = keys.indices.to_numpy()[pc.list_parent_indices(candidates).to_numpy()]
    boxes = candidates.flatten().flatten().to_numpy().reshape(-1, 4)
    distinct = np.unique(np.column_stack([image, boxes]).astype(np.float64), axis=0)
    images, first = np.unique(distinct[:, 0].astype(np.int64), return_index=True)
    parts = np.split(distinct[:, 1:].astype(np.float32), first[1:])
    key_of = keys.dictionary.to_pylist()
    return {key_of[image]: part for image, part in zip(images.tolist(), parts, strict=True)}


class FittedBoxes(NamedTuple):
    """The usable ones among the boxes that were given for a photo.

    Attributes:
        boxes: clipped to the photo, (R, 4).
        as_given: the same boxes, as they were given, (R, 4).
        dropped, clipped: how many boxes the rule dropped, and how many it clipped.
        problem: the first that was dropped and why, in words; empty where none was.
    """

    boxes: BoxArray
    as_given: BoxArray
    dropped: int
    clipped: int
    problem: str


def fit_boxes(boxes: BoxArray, width: int, height: int) -> FittedBoxes:
    """Apply the rule for impossible boxes (``base.boxes``) to those that were given for a photo."""
    ruled = sound_boxes(boxes, width, height)
    keep, problem = ruled.is_sound, ""
    if not keep.all():
        values = ", ".join(f"{value:g}" for value in boxes[int(np.argmin(keep))])
        problem = f"the given box [{values}] is empty, inverted, not finite or outside the {width} x {height} photo"
    clipped = np.asarray(ruled.boxes[keep], np.float32)
    return FittedBoxes(clipped, boxes[keep], int((~keep).sum()), int(ruled.is_clipped.sum()), problem)


def _columns(file: Path) -> list[str]:
    names: list[str] = pq.read_schema(file).names
    return names


def _json_lines(path: Path) -> "list[tuple[str, str, BoxArray]]":
    try:
        lines = read_file(path).splitlines()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path) from error
    decoder, parsed = msgspec.json.Decoder(_Line), []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                record = _decoded(line, decoder)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                todo = 'write {"image": "coco:9", "boxes": [[x1, y1, x2, y2]]} a line'
                raise DataError(printable(error, 200), where=f"{path}:{number}", todo=todo) from error
            with np.errstate(over="ignore"):
                boxes = np.array(record.boxes, np.float32).reshape(-1, 4)
            parsed.append((f"{path}:{number}", str(record.image), boxes))
    return parsed


def _decoded(line: bytes, decoder: "msgspec.json.Decoder[_Line]") -> _Line:
    """Decode a line, in which Python may have written NaN and Infinity, which are not JSON: one bad box of many."""
    if b"NaN" in line or b"Infinity" in line:
        return msgspec.convert(json.loads(line), _Line)
    return decoder.decode(line)


def _parquet_lines(path: Path) -> "list[tuple[str, str, BoxArray]]":
    check_file(path)
    try:
        table = pq.read_table(path, columns=["image", "boxes"])
        table = table.cast(pa.schema([("image", pa.string()), ("boxes", pa.list_(pa.list_(pa.float32(), 4)))]))
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        todo = "write columns image (string) and boxes (list of lists of four numbers)"
        raise DataError(f"cannot be read as boxes ({reason})", where=path, todo=todo) from error
    images, boxes = table["image"].to_pylist(), table["boxes"].combine_chunks()
    offsets = boxes.offsets.to_numpy()
    values = boxes.values.flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
    return [
        (f"{path}: row {row}", str(image), values[offsets[row] : offsets[row + 1]]) for row, image in enumerate(images)
    ]
