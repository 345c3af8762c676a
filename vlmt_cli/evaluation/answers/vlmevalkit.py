"""VLMEvalKit's predictions: the benchmark's own table without its images, and a column more.

MODEL_DATASET.xlsx (or .tsv, .json)
    index  question        answer  split  bbox_x1  bbox_y1  bbox_x2  bbox_y2  prediction
    0      woman in white          testA  0.1      ...                        [[12, 30, 44, 91]]

Traps: an Excel cell ends at 32,767 characters, so that a longer answer is cut; ``index`` is the benchmark's own, and
``split_index`` where a part was chosen; right boxes are in pixels in ``bbox_x1`` and so on, and as shares of the image
in ``bbox_x1_norm``.
"""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from vlmt_cli.base.words import count
from vlmt_cli.evaluation.answers.predicted import Form, Predicted, gather
from vlmt_cli.evaluation.answers.records import Record, has, numbers, read_records

CELL = 32_767
"""Characters that a cell of Excel holds."""
_CORNERS = ("x1", "y1", "x2", "y2")


def is_form(path: Path, record: Record) -> bool:
    """Whether a row is a question with its prediction."""
    return has(record, "index", "prediction")


def read(path: Path) -> Predicted:
    """Read all rows of a table."""
    records = read_records(path)
    fields = {"answers": ("prediction",), "ids": ("question_id", "index"), "texts": ("question", "text"),
              "images": ("image_path",), "categories": ("category",), "targets": ("answer",)}  # fmt: skip
    boxes = [numbers(records, f"bbox_{corner}") for corner in _CORNERS]
    shares = [numbers(records, f"bbox_{corner}_norm") for corner in _CORNERS]
    more: dict[str, object] = {}
    if all(column is not None for column in boxes):
        more["target_boxes"] = np.stack([column for column in boxes if column is not None], 1)
    if "target_boxes" in more and all(column is not None for column in shares):
        # How large an image is, its box says twice.
        corners, parts = more["target_boxes"], np.stack([column for column in shares if column is not None], 1)
        assert isinstance(corners, np.ndarray)
        with np.errstate(divide="ignore", invalid="ignore"):
            more["sizes"] = np.round((corners / parts)[:, 2:])
    made = gather(path, "vlmevalkit", records, fields, **more)
    cut = pc.sum(pc.greater_equal(pc.utf8_length(made.answers), CELL), min_count=0).as_py()
    if not cut:
        return made
    note = f"{count(cut, 'answer')} of {CELL:,} characters or more: a cell of Excel ends there, so that they are cut."
    return gather(path, "vlmevalkit", records, fields, **more, notes=(note,))


VLMEVALKIT = Form("VLMEvalKit's table", is_form, read)
