"""Predictions as ``vlmt evaluate`` keeps them: ``predictions/<task>-<split>.parquet`` in a run's folder."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from vlmt_cli.evaluation.answers.predicted import Form, Predicted
from vlmt_cli.evaluation.answers.records import Record, has, has_any
from vlmt_cli.tasks.tables import read_columns


def is_form(path: Path, record: Record) -> bool:
    """Whether a table is of ours."""
    return has(record, "example_id", "images") and has_any(record, ("answer", "box", "choice"))


def read(path: Path) -> Predicted:
    """Read a table; a chosen candidate, where one is chosen, is the answer."""
    table = read_columns(path, None).combine_chunks()
    name = next(name for name in ("choice", "answer", "box") if name in table.column_names)
    answers = pa.nulls(len(table), pa.string()) if name == "box" else table[name].combine_chunks().cast(pa.string())
    boxes = None
    if name == "box":
        boxes = np.full((len(table), 4), np.nan)
        known = table["box"].is_valid().to_numpy()
        boxes[known] = table["box"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
    return Predicted(path, "vlmt", answers, ids=table["example_id"].combine_chunks(), boxes=boxes,
                     convention="pixels:xyxy")  # fmt: skip


OWN = Form("vlmt's own predictions", is_form, read)
