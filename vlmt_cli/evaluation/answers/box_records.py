"""Boxes by the ids of the refer toolkit, and other records with a box of their own.

[{"sent_id": 12, "box": [103.9, 300.0, 238.1, 477.4]}, ...]       also ref_id, ann_id, or the expression itself
{"row_idx": 0, "file_name": "000000547144.jpg", "normal_caption": "...", "gt_bbox_xyxy": [...],
 "pred_box_xyxy_first": [...], "first_iou": 0.0, "pred_box_expected_format": "abs_xyxy"}

A field's name may say the order of its boxes, ``xyxy`` or ``xywh``; another field may say ``abs_xyxy``.
"""

from pathlib import Path

from vlmt_cli.base.errors import DataError
from vlmt_cli.evaluation.answers.predicted import Form, Predicted, gather
from vlmt_cli.evaluation.answers.records import REFER_IDS, Record, four_of, has, has_any, read_records

_BOXES = ("pred_box_xyxy_first", "pred_box_xyxy", "pred_bbox_xyxy", "pred_box", "pred_bbox", "predicted_box",
          "box_xyxy", "box_xywh", "bbox_2d", "box", "bbox", "prediction")  # fmt: skip
_TARGETS = ("gt_bbox_xyxy", "gt_box_xyxy", "gt_bbox", "gt_box")
_IDS = (*(name for names in REFER_IDS.values() for name in names), "question_id", "id")
_TEXTS = ("sent", "sentence", "expression", "normal_caption", "caption", "phrase", "question", "text")
_IMAGES = ("file_name", "image", "image_path", "image_id")
_ROWS = "row_idx"
_CONVENTIONS = {"abs_xyxy": "pixels:xyxy", "abs_xywh": "pixels:xywh", "norm_xyxy": "0-1:xyxy",
                "norm1000_xyxy": "0-1000:xyxy"}  # fmt: skip


def is_form(path: Path, record: Record) -> bool:
    """Whether a record has a box and says what it is of; with the image's size it is a benchmark's right box."""
    is_benchmark = has(record, "bbox", "height", "width")
    return (
        any(_may_be_box(name, record[name]) for name in _BOXES if name in record)
        and not is_benchmark
        and has_any(record, (*_IDS, *_TEXTS, _ROWS))
    )


def read(path: Path) -> Predicted:
    """Read all boxes of a file.

    Raises:
        DataError: it cannot be read, or no record has a box.
    """
    records = read_records(path)
    field = next((name for record in records if (name := _box_field(record))), None)
    if field is None:
        raise DataError("has no boxes: four numbers in a list", where=path, todo="look at its records")
    convention = _CONVENTIONS.get(str(records[0].get("pred_box_expected_format")))
    if convention is None:
        order = next((order for order in ("xyxy", "xywh") if order in field), None)
        convention = f"?:{order}" if order else None
    fields = {"boxes": (field,), "ids": _IDS, "texts": _TEXTS, "images": _IMAGES, "target_boxes": _TARGETS}
    return gather(path, "boxes", records, fields, convention=convention)


def _box_field(record: Record) -> str | None:
    """Return the field that holds a predicted box."""
    return next((name for name in _BOXES if four_of(record.get(name)) is not None), None)


def _may_be_box(name: str, value: object) -> bool:
    """Whether a field is a box, or may be one in other records: null, or numbers that are not four."""
    if value is None or value == []:
        return name != "prediction"  # other forms have answers in that
    is_list = isinstance(value, list) and all(part is None or isinstance(part, (int, float)) for part in value)
    return is_list or four_of(value) is not None


BOXES = Form("boxes by id", is_form, read)
