"""What is right in multiple choice: the choice's number."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlmt_cli.datasets.table import TASKS
from vlmt_cli.tasks import scoring
from vlmt_cli.tasks.examples import Columns, Examples, Part
from vlmt_cli.tasks.scoring import Judged

COLUMNS = ("label",)
CHANCE = "any choice"
PREDICTS = "answers"


def known(task: str, table: pa.Table) -> NDArray[np.bool_]:
    """Say which of N questions have a right choice."""
    return scoring.label_known(table)


def columns(part: Part) -> tuple[Columns, NDArray[np.bool_]]:
    """Return N right choices, and which examples have one."""
    return scoring.label_columns(part.table)


def decode(
    options: NDArray[np.float32], given: Mapping[str, NDArray[Any]], labels: Sequence[str]
) -> dict[str, list[Any]]:
    """Return each question's best choice."""
    return {"answer": [labels[number] for number in options.argmax(1).tolist()]}


def judge(task: str, split: str, table: pa.Table, predicted: Mapping[str, Any], protocol: str = "") -> Judged:
    """Score choices by accuracy."""
    return scoring.label_accuracy(split, table, predicted, TASKS[task].labels)


def chance(train: Examples, test: Examples, boxes_of: object) -> float:
    """Return the accuracy of any choice."""
    return 1 / 4
