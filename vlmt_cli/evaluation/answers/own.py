"""Predictions as ``vlmt evaluate`` keeps them: ``predictions/<task>-<split>.parquet`` in a run's folder."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vlmt_cli.base.errors import DataError
from vlmt_cli.evaluation.answers.predicted import Form, Predicted
from vlmt_cli.evaluation.answers.records import Record, has, has_any, reading

_BOX = pa.list_(pa.float64(), 4)


def is_form(path: Path, record: Record) -> bool:
    """Whether a table is of ours."""
    return has(record, "example_id", "images") and has_any(record, ("answer", "box", "choice"))


def read(path: Path) -> Predicted:
    """Read a table; a chosen candidate, where one is chosen, is the answer.

    Raises:
        DataError: it is damaged, or a column is not what its name says.
    """
    try:
        with reading(path):
            table = pq.read_table(path).combine_chunks()
        name = next(name for name in ("choice", "answer", "box") if name in table.column_names)
        ids = table["example_id"].combine_chunks().cast(pa.string())
        column = table[name].combine_chunks().cast(_BOX if name == "box" else pa.string())
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"is damaged ({str(error).splitlines()[0][:160]})", where=path) from error
    if name != "box":
        return Predicted(path, "vlmt", column, ids=ids)
    boxes = np.full((len(table), 4), np.nan)
    boxes[column.is_valid().to_numpy(zero_copy_only=False)] = (
        column.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
    )
    nothing = pa.nulls(len(table), pa.string())
    return Predicted(path, "vlmt", nothing, ids=ids, boxes=boxes, convention="pixels:xyxy")


OWN = Form("vlmt's own predictions", is_form, read)
