"""What is right in multi-modal verification: labels, accuracy, NLVR2's consistency, the most frequent label.

Shapes: B batch, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.table import TASKS
from vlmt_cli.tasks import scoring
from vlmt_cli.tasks.examples import Columns, Examples, Part
from vlmt_cli.tasks.probabilities import softmax
from vlmt_cli.tasks.scoring import Column, Judged, Measure, ScoreColumn, check_lengths, one_array

COLUMNS = ("label",)
CHANCE = "most frequent label"
PREDICTS = "answers"


def known(task: str, table: pa.Table) -> NDArray[np.bool_]:
    """Say which of N statements have a label."""
    return scoring.label_known(table)


def columns(part: Part) -> tuple[Columns, NDArray[np.bool_]]:
    """Return N labels, and which examples have one."""
    return scoring.label_columns(part.table)


def decode(
    options: NDArray[np.float32], given: Mapping[str, NDArray[Any]], labels: Sequence[str]
) -> dict[str, list[Any]]:
    """Return each statement's best class, and the probabilities of all in the order of the labels."""
    answers = [labels[label] for label in options.argmax(1).tolist()]
    return {"answer": answers, "probabilities": softmax(options).tolist()}


def judge(task: str, split: str, table: pa.Table, predicted: Mapping[str, Any], protocol: str = "") -> Judged:
    """Score classes by accuracy; beside NLVR2's its consistency."""
    made = scoring.label_accuracy(split, table, predicted, TASKS[task].labels)
    if task != "nlvr2":
        return made
    ids = table["example_id"].take(pa.array(made.counted))
    return replace(made, extra={"consistency": Measure(consistency(made.scores, ids))})


def chance(train: Examples, test: Examples, boxes_of: object) -> float:
    """Return the accuracy of always giving the most frequent training label."""
    return scoring.label_chance(train.columns["labels"], test.columns["labels"])


def consistency(scores: ScoreColumn, identifiers: Column) -> ScoreColumn:
    """Return NLVR2's second official metric: for each of S sentences whether all its pairs of images were right.

    Args:
        scores: (N,) ``accuracy``.
        identifiers: N example ids ``split-set-pair-sentence``; pairs of one set and sentence belong together.

    Returns:
        (S,), in order of the sentences' first examples.

    Raises:
        DataError: an identifier has another form, or the columns differ in length.
    """
    names = one_array(identifiers).cast(pa.string())
    check_lengths(scores=scores, identifiers=names)
    form = r"^(\w+-\d+)-\d+-(\d+)$"
    if not pc.all(pc.match_substring_regex(names, form), min_count=0).as_py():
        bad = names.filter(pc.invert(pc.match_substring_regex(names, form)))[0].as_py()
        raise DataError(f"{bad!r} is not an identifier of NLVR2", todo="give ids such as dev-850-0-0")
    sentence = pc.replace_substring_regex(names, form, r"\1-\2").dictionary_encode()
    result = np.ones(len(sentence.dictionary))
    np.minimum.at(result, sentence.indices.to_numpy(), scores)
    return result
