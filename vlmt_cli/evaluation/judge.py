"""What each task's official evaluation makes of predictions: a score an example, before anything is averaged."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.datasets.table import AMONG_CANDIDATES, TASKS
from vlmt_cli.evaluation import metrics
from vlmt_cli.evaluation.metrics import Column, Scores, known, one_array

TYPES = {
    "answer": pa.string(),
    "confidence": pa.float32(),
    "probabilities": pa.list_(pa.float32()),
    "box": pa.list_(pa.float32(), 4),
    "iou": pa.float32(),
    "choice": pa.int32(),
}


@dataclass(frozen=True)
class Measure:
    """A metric before it is averaged.

    Attributes:
        scores: of N queries.
        groups: which of them are no independent trials; None where all are.
        weights: of each; None where all are equal.
    """

    scores: Scores
    groups: Column | None = None
    weights: Scores | None = None


@dataclass(frozen=True)
class Judged:
    """One split of a task, judged.

    Attributes:
        split: its name.
        images: the lists of image keys of all N examples.
        counted: the examples that the metric is of, (M,).
        scores: theirs, (M,).
        extra: further metrics by name.
        columns: of all examples, for the file of predictions.
        protocol: what else tells what was scored, such as COCO's ``1k``.
    """

    split: str
    images: pa.ListArray
    counted: NDArray[np.int64]
    scores: Scores
    extra: Mapping[str, Measure | float] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    protocol: str = ""


def judge(task: str, split: str, table: pa.Table, predicted: Mapping[str, NDArray[Any]]) -> Judged:
    """Score the predictions of any task but retrieval by its official metric (table 8).

    Args:
        task: which.
        split: its name.
        table: the N examples, with all columns of the task.
        predicted: what ``run.predict`` said of them; its own score is not read.

    Returns:
        Scores of the examples that have a right answer. Beside them: VQA's and Visual Genome QA's soft score, and
        NLVR2's consistency.
    """
    columns = {name: pa.array(list(values), TYPES[name]) for name, values in predicted.items() if name in TYPES}
    counted = np.flatnonzero(_known(task, table))
    those = pa.array(counted)
    truth = table.take(those).combine_chunks()
    ours = {name: column.take(those) for name, column in columns.items()}
    images = table["images"].combine_chunks()
    extra: dict[str, Measure | float] = {}
    head = TASKS[task].head
    if head in ("vqa", "gqa"):
        given = (ours["answer"], truth["answers"], truth["counts"], head == "vqa")
        scores = metrics.vqa_accuracy(*given)
        if head == "vqa":
            extra["soft score"] = Measure(metrics.soft_score(*given), _first(truth["images"]))
    elif head == "referring":
        overlap = np.full(len(table), np.nan)
        overlap[counted] = metrics.iou(ours["box"], truth["box"])
        columns["iou"] = pa.array(overlap, pa.float32(), from_pandas=True)
        if task in AMONG_CANDIDATES:
            scores = metrics.accuracy(ours["choice"], truth["target"])
        else:
            scores = metrics.localised(ours["box"], truth["box"])
    else:
        right = pa.array(TASKS[task].labels).take(one_array(truth["label"]))
        scores = metrics.accuracy(ours["answer"], right)
        if head == "nlvr2":
            extra["consistency"] = Measure(metrics.consistency(scores, truth["example_id"]))
    every = np.full(len(table), np.nan)
    every[counted] = scores
    columns = {**named(table), "score": pa.array(every, from_pandas=True), **columns}
    return Judged(split, images, counted, scores, extra, columns)


def named(table: pa.Table) -> dict[str, Any]:
    """Return the columns that every file of predictions begins with."""
    return {name: one_array(table[name]) for name in ("example_id", "images")}


def _known(task: str, table: pa.Table) -> NDArray[np.bool_]:
    there = known(table)
    if task in AMONG_CANDIDATES:
        target: NDArray[np.int64] = table["target"].fill_null(-1).to_numpy()
        there = there & (target >= 0)
    return there


def _first(images: pa.ChunkedArray) -> pa.Array:
    return pc.list_element(one_array(images), 0)
