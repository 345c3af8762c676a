"""Visual7W pointing: "which" questions about Visual Genome images, answered by one of four boxes.

dataset_v7w_pointing.json
    {"dataset": "visual7w-pointing",
     "boxes": [{"box_id": 4019, "name": "man", "x": 10, "y": 20, "width": 100, "height": 50}, ...],
     "images": [{"image_id": 2372205, "filename": "v7w_2372205.jpg", "split": "train", "qa_pairs": [
         {"qa_id": 1, "image_id": 2372205, "type": "which", "question": "Which pillow is farther left?",
          "answer": 4019, "multiple_choices": [4020, 4021, 4022]}, ...]}, ...]}

From https://github.com/yukezhu/visual7w-toolkit. 93,813 train and 57,265 test questions (table 8) on 17,953 train and
val and 7,780 test images (table 7). The four candidates are sorted by box id, so that their order gives nothing away.

Traps: the answer and the three other choices are box ids; the file is also met under the name dataset.json, which is
the name of the toolkit's other file, of "telling" questions, too.
"""

from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.keys import image_keys
from vlmt_cli.datasets.names import check_names
from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.source import Int64, find, read_json
from vlmt_cli.datasets.tables import (
    REFERRING,
    TARGET_DROPPED,
    Examples,
    box_array,
    corners_of,
    example_table,
    lists,
    note,
    sound_corners,
    target_columns,
)

FILE = "dataset_v7w_pointing.json"
OTHER_NAME = "dataset.json"
SPLITS = ("train", "val", "test")


class Box(msgspec.Struct, gc=False):
    box_id: Int64
    name: str
    x: float
    y: float
    width: float
    height: float


class Pair(msgspec.Struct, gc=False):
    qa_id: Int64
    question: str
    answer: Int64
    multiple_choices: tuple[Int64, Int64, Int64]


class Image(msgspec.Struct, gc=False):
    image_id: Int64
    split: Literal["train", "val", "test"]
    qa_pairs: list[Pair]
    filename: str | None = None


class File(msgspec.Struct, gc=False):
    boxes: list[Box]
    images: list[Image]


def read(raw: Path, options: Options) -> Examples:
    """Read Visual7W pointing."""
    path = find(raw, FILE, OTHER_NAME)
    if path is None:
        return Examples()
    notes: dict[str, int] = {}
    file = read_json(path, File, notes, _once)
    pairs = [pair for image in file.images for pair in image.qa_pairs]
    shown = pa.array(np.repeat(np.arange(len(file.images)), [len(image.qa_pairs) for image in file.images]))

    choices = np.array([(pair.answer, *pair.multiple_choices) for pair in pairs], dtype=np.int64).reshape(-1, 4)
    order = np.argsort(choices, axis=1, kind="stable")
    target = np.argmin(order, axis=1)  # the answer was first
    rows = _rows_of_boxes(np.take_along_axis(choices, order, axis=1), pairs, file.boxes, path)
    corners = corners_of([(box.x, box.y, box.width, box.height) for box in file.boxes])
    corners, is_sound = sound_corners(corners, notes)
    boxes = box_array(corners)
    answer = rows[np.arange(len(rows)), target]
    stays = is_sound[rows]
    has_answer = stays[np.arange(len(rows)), target]
    note(notes, TARGET_DROPPED, int((~has_answer).sum()))
    before = np.take_along_axis(np.cumsum(stays, axis=1), target[:, None], axis=1).ravel() - 1
    keys = image_keys("vg", pa.array([image.image_id for image in file.images], pa.int64()), path)
    check_names([image.filename for image in file.images], keys, path, "$.images[{}]")
    table = example_table(
        REFERRING,
        path,
        example_id=pa.array([pair.qa_id for pair in pairs], pa.int64()),
        images=keys.take(shown),
        text=[pair.question for pair in pairs],
        candidates=lists(stays.sum(1), boxes.take(pa.array(rows[stays]))),
        category=pa.array([box.name for box in file.boxes], pa.string()).take(pa.array(answer)),
        **target_columns(boxes, answer, before, has_answer),
    )
    split = pa.array([image.split for image in file.images], pa.string())
    parts = {name: table.filter(pc.equal(split.take(shown), name)) for name in SPLITS}
    return Examples(
        {name: part for name, part in parts.items() if len(part)},
        notes=notes,
        test_images={"test": keys.filter(pc.equal(split, "test"))},
    )


def _once(file: File) -> dict[str, int]:
    pairs = sum(len(image.qa_pairs) for image in file.images)
    return {
        **dict.fromkeys(("box_id", "x", "y", "width", "height"), len(file.boxes)),
        **dict.fromkeys(("qa_id", "question", "answer", "multiple_choices"), pairs),
    }


def _rows_of_boxes(choices: NDArray[np.int64], pairs: list[Pair], boxes: list[Box], path: Path) -> NDArray[np.int64]:
    """Find each choice's row among the boxes; both (N, 4)."""
    rows = pc.index_in(pa.array(choices.ravel()), pa.array([box.box_id for box in boxes], pa.int64()))
    if rows.null_count:
        number = rows.is_null().index(True).as_py()
        raise DataError(
            f"box {choices.flat[number]} is not among the boxes",
            where=f"{path}: qa_id {pairs[number // 4].qa_id}",
            todo="download the official file again",
        )
    return np.asarray(rows, dtype=np.int64).reshape(-1, 4)
