"""lmms-eval's logs of samples (``--log_samples``), in the three shapes that they have had.

Now, without the question's record; ``resps`` where it differs from ``filtered_resps``
    {"doc_id": 0, "target": "B", "filtered_resps": ["B"], "doc_hash": "7423...", "input": "...", "exact_match": 1.0}
    {"doc_id": 0, "target": "yes", "filtered_resps": "Yes", "pope_accuracy": {"question_id": "1", "score": 1.0, ...}}
In between, the record less what holds images
    {"doc_id": 0, "doc": {"question_id": "1", "question": "...", "answer": "yes"}, "target": "yes",
     "arguments": {...}, "resps": [["Yes"]], "filtered_resps": ["Yes"], ...}
At first, one JSON object around them
    {"args": {...}, "model_configs": {...}, "logs": [{"doc_id": 0, "doc": {...}, "target": ..., "resps": ...}, ...]}

Traps: ``doc_hash`` is that of an empty record now, the same in all rows; ``doc_id`` is the row of the data that the
task made, where RefCOCO has a row a sentence; a metric's own dict may have what the record lost.
"""

from pathlib import Path
from typing import Any

import numpy as np

from vlmt_cli.base.errors import DataError
from vlmt_cli.evaluation.answers.predicted import Form, Predicted, gather
from vlmt_cli.evaluation.answers.records import Record, as_text, has, has_any, read_records

_IDS = ("question_id", "questionId", "sent_id", "identifier", "pairID", "index")
_TEXTS = ("question", "sent", "expression", "input")
_IMAGES = ("image_source", "file_name", "image_path", "imageId", "image_id", "image")
_CATEGORIES = ("category",)
_LARGEST = 1 << 62


def is_form(path: Path, record: Record) -> bool:
    """Whether a record is a sample."""
    return has(record, "doc_id", "target") and has_any(record, ("filtered_resps", "resps"))


def read(path: Path) -> Predicted:
    """Read all samples of a log.

    Raises:
        DataError: it cannot be read, or a ``doc_id`` is no number or occurs twice, as where two logs were joined.
    """
    records = [_flat(each) for each in read_records(path)]
    rows = [each.get("doc_id") for each in records]
    for number, row in enumerate(rows):
        if type(row) is not int or not 0 <= row < _LARGEST:
            raise DataError("doc_id is not a row number", where=f"{path}: record {number}")
    notes = []
    hashes = {as_text(each.get("doc_hash")) for each in records}
    if len(hashes) == 1 and len(records) > 1 and None not in hashes:
        notes.append("All samples have one doc_hash, which tells nothing; doc_id is their row.")
    fields = {"answers": ("answer",), "ids": _IDS, "texts": _TEXTS, "images": _IMAGES, "categories": _CATEGORIES,
              "targets": ("target",), "target_boxes": ("bbox", "target_box")}  # fmt: skip
    read = gather(path, "lmms-eval", records, fields, rows=np.array(rows, np.int64), notes=tuple(notes))
    return read


def _flat(record: Record) -> Record:
    """Put a sample, what its metrics say of the record, and the record itself side by side; the sample counts first."""
    flat: Record = {}
    doc = record.get("doc")
    parts: list[Any] = [doc, *(value for value in record.values() if isinstance(value, dict) and value is not doc)]
    for part in parts:
        if isinstance(part, dict):
            flat.update({name: value for name, value in part.items() if name not in flat})
    flat.pop("answer", None)
    flat.update({name: value for name, value in record.items() if not isinstance(value, dict)})
    flat["answer"] = as_text(_innermost(record.get("filtered_resps", record.get("resps"))))
    flat["target_box"] = record.get("target")
    return flat


def _innermost(value: Any) -> Any:
    """Return the first response of lists in lists; four numbers are a box."""
    while isinstance(value, list) and value and not (len(value) == 4 and isinstance(value[0], (int, float))):
        value = value[0]
    return value


LMMS_EVAL = Form("lmms-eval samples", is_form, read)
