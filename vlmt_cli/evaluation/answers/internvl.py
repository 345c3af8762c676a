"""InternVL's lists of answers.

RefCOCO, boxes of 0 to 1000, without any id: in the order of the benchmark's file
    [{"answer": "man in blue[[102, 31, 344, 988]]", "gt_bbox": [66.2, 18.1, 222.3, 470.0], "hw": [480, 640]}, ...]
VQA
    [{"question_id": 262148000, "question": "...", "answer": "down", "annotation": "down"}, ...]
"""

from pathlib import Path

import numpy as np

from vlmt_cli.evaluation.answers.predicted import Form, Predicted, gather
from vlmt_cli.evaluation.answers.records import Record, has, read_records


def is_form(path: Path, record: Record) -> bool:
    """Whether a record is an answer beside what is right."""
    return has(record, "answer", "gt_bbox") or has(record, "question_id", "answer", "annotation")


def read(path: Path) -> Predicted:
    """Read all answers of a list."""
    records = read_records(path)
    if "gt_bbox" in records[0]:
        sizes = [_pair(each.get("hw")) for each in records]
        fields = {"answers": ("answer",), "texts": ("sent", "question"), "target_boxes": ("gt_bbox",)}
        wide = np.array([[side[1], side[0]] for side in sizes], np.float64)
        return gather(path, "internvl", records, fields, sizes=wide, convention="0-1000:xyxy")
    fields = {"answers": ("answer",), "ids": ("question_id",), "texts": ("question",), "images": ("image",),
              "targets": ("annotation",)}  # fmt: skip
    return gather(path, "internvl", records, fields)


def _pair(value: object) -> tuple[float, float]:
    """Return two numbers, NaN where they are none."""
    is_pair = isinstance(value, list) and len(value) == 2 and all(isinstance(each, (int, float)) for each in value)
    return (float(value[0]), float(value[1])) if is_pair and isinstance(value, list) else (np.nan, np.nan)


INTERNVL = Form("InternVL's list", is_form, read)
