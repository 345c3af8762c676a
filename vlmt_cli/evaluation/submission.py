"""Submission files for the servers and scripts that score a test set, in the form that each dataset's row names."""

from pathlib import Path

import pyarrow as pa

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.files import write_bytes
from vlmt_cli.datasets.table import TASKS
from vlmt_cli.datasets.tables import check_unique
from vlmt_cli.tasks.scoring import Column, one_array


def write_submission(task: str, path: Path, ids: Column, predicted: Column) -> None:
    """Write what a model answered to N test examples, whole or not at all.

    The servers refuse a file that lacks a question: give all examples of the test set.

    Args:
        task: one whose row has a submission form.
        path: of the file.
        ids: N example ids, as the example table has them.
        predicted: N answers, or labels by their names.

    Raises:
        UsageError: the task has no such file.
        DataError: an id occurs twice or is not one of the dataset's, an answer is missing or not a label.
    """
    form = TASKS[task].submission
    if form is None:
        able = ", ".join(name for name, row in TASKS.items() if row.submission)
        raise UsageError(f"{task} has no submission file", todo=f"choose one of {able}")
    names, answers = one_array(ids).cast(pa.string()), one_array(predicted).cast(pa.string())
    if len(names) != len(answers):
        raise DataError(f"{len(names):,} examples have {len(answers):,} predictions", where=path)
    if names.null_count or answers.null_count:
        raise DataError(f"{names.null_count or answers.null_count:,} examples lack their id or prediction", where=path)
    check_unique(names, path)
    write_bytes(path, form.encode(names.to_pylist(), answers, path))
