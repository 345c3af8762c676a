"""What the official scores of all task groups have in common. No torch here.

A score is kept an example, from 0 to 1: the mean of the scores is the metric. Kept apart, they can be resampled
(``evaluation.bootstrap``), split (``evaluation.contamination``) and compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError

ScoreColumn = NDArray[np.float64]
Column: TypeAlias = Any
"""An Arrow array, a numpy array or a list; pyarrow has no types to say it with."""

TYPES = {
    "answer": pa.string(),
    "confidence": pa.float32(),
    "probabilities": pa.list_(pa.float32()),
    "box": pa.list_(pa.float32(), 4),
    "iou": pa.float32(),
    "choice": pa.int32(),
}
"""The columns that predictions may have."""


@dataclass(frozen=True)
class Measure:
    """A metric before it is averaged.

    Attributes:
        scores: of N queries.
        groups: which of them are not independent trials; None where all are.
        weights: of each; None where all are equal.
    """

    scores: ScoreColumn
    groups: Column | None = None
    weights: ScoreColumn | None = None


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
        shortlist: of retrieval, how its scores were made where not all pairs were scored (``cascade``); else None.
    """

    split: str
    images: pa.ListArray
    counted: NDArray[np.int64]
    scores: ScoreColumn
    extra: Mapping[str, Measure | float] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    protocol: str = ""
    shortlist: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Asked:
    """The examples of a table that have a right answer, with what was predicted of them.

    Attributes:
        counted: which of N examples, (M,).
        truth: their M rows of the table.
        predicted: their M predictions by column.
        columns: the predictions of all N examples.
    """

    counted: NDArray[np.int64]
    truth: pa.Table
    predicted: dict[str, pa.Array]
    columns: dict[str, pa.Array]


def asked(table: pa.Table, predicted: Mapping[str, Any], known: NDArray[np.bool_]) -> Asked:
    """Take the examples with a right answer out of a table, with their predictions.

    Args:
        table: N examples.
        predicted: N predictions by column; those that are not in ``TYPES`` are passed over.
        known: which examples have a right answer, (N,).
    """
    columns = {name: _typed(values, TYPES[name]) for name, values in predicted.items() if name in TYPES}
    counted = np.flatnonzero(known)
    rows = pa.array(counted)
    own = {name: column.take(rows) for name, column in columns.items()}
    return Asked(counted, table.take(rows).combine_chunks(), own, columns)


def _typed(values: Column, kind: pa.DataType) -> pa.Array:
    return (
        one_array(values).cast(kind) if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(list(values), kind)
    )


def judged(
    split: str, table: pa.Table, part: Asked, scores: ScoreColumn, extra: Mapping[str, Measure | float] | None = None
) -> Judged:
    """Put the scores of the M examples that were asked beside all N examples."""
    every = np.full(len(table), np.nan)
    every[part.counted] = scores
    columns = {**named(table), "score": pa.array(every, from_pandas=True), **part.columns}
    return Judged(split, table["images"].combine_chunks(), part.counted, scores, extra or {}, columns)


def named(table: pa.Table) -> dict[str, Any]:
    """Return the columns that every file of predictions begins with."""
    return {name: one_array(table[name]) for name in ("example_id", "images")}


def accuracy(predicted: Column, right: Column) -> ScoreColumn:
    """Return whether each of N predictions is right: classes by number or name, or chosen candidates by their index.

    Raises:
        DataError: an example has no right answer (null or negative), or the columns differ in length.
    """
    ours, truth = one_array(predicted), one_array(right)
    check_lengths(predictions=ours, labels=truth)
    unknown = truth.null_count
    if pa.types.is_integer(truth.type):
        unknown += pc.sum(pc.less(truth, 0)).as_py() or 0
    if unknown:
        raise DataError(f"{unknown:,} of {len(truth):,} examples have no label", todo="score the others only")
    return as_floats(pc.equal(ours, truth))


def label_accuracy(split: str, table: pa.Table, predicted: Mapping[str, Any], labels: Sequence[str]) -> Judged:
    """Score classes by name against a table's column ``label``, which numbers ``labels``; -1 has no right answer."""
    part = asked(table, predicted, label_known(table))
    right = pa.array(labels).take(one_array(part.truth["label"]))
    return judged(split, table, part, accuracy(part.predicted["answer"], right))


def label_known(table: pa.Table) -> NDArray[np.bool_]:
    """Say which of N examples have a label that is not negative."""
    return mask(pc.greater_equal(table["label"], 0))


def label_columns(table: pa.Table) -> tuple[dict[str, Any], NDArray[np.bool_]]:
    """Return N labels, -1 where there is none, and which examples have one."""
    labels = table["label"].fill_null(-1).to_numpy().astype(np.int64)
    return {"labels": labels}, labels >= 0


def label_chance(train: NDArray[np.int64], test: NDArray[np.int64]) -> float:
    """Return the share of test labels that are the most frequent training label."""
    most = np.bincount(train[train >= 0]).argmax()
    return float((test == most).mean())


def mask(truths: pa.ChunkedArray | pa.Array) -> NDArray[np.bool_]:
    """Return a Boolean column as numpy, null as False."""
    result: NDArray[np.bool_] = one_array(truths.fill_null(False)).to_numpy(zero_copy_only=False)
    return result


def one_array(column: Column) -> pa.Array:
    """Return a column as one Arrow array."""
    if isinstance(column, pa.ChunkedArray):
        return column.combine_chunks()
    return column if isinstance(column, pa.Array) else pa.array(column)


def as_floats(truths: pa.Array) -> ScoreColumn:
    """Return a Boolean array as 0 and 1, null as 0."""
    values: ScoreColumn = truths.fill_null(False).to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def check_lengths(**columns: Any) -> None:
    """Raise a DataError that names the lengths of columns that differ."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError("the columns differ: " + ", ".join(f"{n:,} {name}" for name, n in lengths.items()))
