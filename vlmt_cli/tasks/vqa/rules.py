"""What is right in vocabulary-based VQA: soft scores, the official VQA accuracy, the most frequent answer.

GQA's accuracy is VQA accuracy on its one answer, not normalised; Visual Genome QA's is normalised as VQA's.

Shapes: B batch, A answers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.answers import normalise_answers, trimmed_answers
from vlmt_cli.datasets.table import TASKS
from vlmt_cli.tasks import scoring
from vlmt_cli.tasks.examples import Columns, Examples, Lists, Part, lists_of
from vlmt_cli.tasks.probabilities import sigmoid
from vlmt_cli.tasks.scoring import Column, Judged, Measure, ScoreColumn, as_floats, check_lengths, one_array

COLUMNS = ("answers", "counts", "unanimous")
NORMALISED = "always normalised"
"""VQA accuracy if answers on which all annotators agree were normalised as the others are."""
CHANCE = "most frequent answer"
PREDICTS = "answers"

SOFT_SCORE = 0.3
"""What the agreement of one annotator is worth in training; four make an answer right."""
SOFT_SCORES = np.array([0.0, 0.3, 0.6, 0.9, 1.0])
"""The soft score by how many of the annotators said so: 0, 1, 2, 3, or more."""


def known(task: str, table: pa.Table) -> NDArray[np.bool_]:
    """Say which of N questions have an answer."""
    return scoring.mask(pc.greater(pc.list_value_length(table["answers"]), 0))


def columns(part: Part) -> tuple[Columns, NDArray[np.bool_]]:
    """Look up the answers of N questions in the vocabulary.

    Returns:
        Each question's known answers and their soft scores, min(0.3 n, 1) for n of ten annotators; and which questions
        have any, so that there is something to train on.
    """
    given, counts = part.table["answers"].combine_chunks(), lists_of(part.table["counts"])
    label = pc.index_in(given.flatten(), pa.array(part.answers, pa.string()))
    is_known = label.is_valid().to_numpy(zero_copy_only=False)
    owner = np.repeat(np.arange(len(part.table)), np.diff(counts.offsets))[is_known]
    offsets = np.searchsorted(owner, np.arange(len(part.table) + 1))
    scores = np.minimum(SOFT_SCORE * counts.values[is_known].astype(np.float32), 1)
    labels = label.drop_null().to_numpy().astype(np.int64)
    made = {"labels": Lists(labels, offsets), "scores": Lists(scores, offsets), "answers": len(part.answers)}
    return made, np.diff(offsets) > 0


def decode(
    options: NDArray[np.float32], given: Mapping[str, NDArray[Any]], labels: Sequence[str]
) -> dict[str, list[Any]]:
    """Return each question's best answer and its probability, from logits (B, A)."""
    best = options.argmax(1)
    probability = sigmoid(options[np.arange(len(best)), best])
    return {"answer": [labels[label] for label in best.tolist()], "confidence": probability.tolist()}


def judge(task: str, split: str, table: pa.Table, predicted: Mapping[str, Any], protocol: str = "") -> Judged:
    """Score answers by the dataset's official accuracy; beside VQA accuracy the soft score that training uses, and the
    accuracy with every answer normalised, where annotators were unanimous."""
    part = scoring.asked(table, predicted, known(task, table))
    normalise = TASKS[task].metric == "VQA accuracy"
    given = (part.predicted["answer"], part.truth["answers"], part.truth["counts"], normalise)
    unanimous = one_array(part.truth["unanimous"])
    extra: dict[str, Measure | float] = {}
    if normalise:
        image = pc.list_element(one_array(part.truth["images"]), 0)
        extra["soft score"] = Measure(soft_score(*given), image)
        if unanimous.null_count < len(unanimous):
            extra[NORMALISED] = Measure(vqa_accuracy(*given), image)
    return scoring.judged(split, table, part, vqa_accuracy(*given, unanimous), extra)


def chance(train: Examples, test: Examples, boxes_of: object) -> float:
    """Return the soft score of always giving the most frequent training answer."""
    labels: Lists = train.columns["labels"]
    weights: Lists = train.columns["scores"]
    most = np.bincount(labels.values, weights.values).argmax()
    return float(test.columns["scores"].values[test.columns["labels"].values == most].sum() / len(test))


def vqa_accuracy(
    predicted: Column, answers: Column, counts: Column, normalise: bool = True, unanimous: Column | None = None
) -> ScoreColumn:
    """Return the official VQA accuracy of N answers: the mean over the ten sets of nine annotators of min(hits / 3, 1).

    It normalises nothing where all annotators typed the same: "1 way" is wrong if all typed "one way".

    Args:
        predicted: N answers.
        answers, counts: columns of an example table: the distinct answers to each question, and how many gave each.
        normalise: whether to normalise the predictions, as VQA's evaluation does and GQA's does not.
        unanimous: the column of an example table: what all annotators typed, null where they differ. Without it answers
            are always normalised.

    Raises:
        DataError: a question has no answers, or the columns differ in length.
    """
    hits, asked = _hits(predicted, answers, counts, normalise)
    if unanimous is not None:
        typed = one_array(unanimous)
        check_lengths(predictions=hits, unanimous=typed)
        as_typed = pc.equal(trimmed_answers(one_array(predicted).cast(pa.string())).cast(pa.string()), typed)
        hits = np.where(scoring.mask(typed.is_valid()), asked * as_floats(as_typed).astype(np.int64), hits)
    # Of the sets that leave one annotator out, those who said it leave one hit fewer in theirs.
    without = np.minimum(np.maximum(hits - 1, 0) / 3, 1)
    return (hits * without + (asked - hits) * np.minimum(hits / 3, 1)) / asked


def soft_score(predicted: Column, answers: Column, counts: Column, normalise: bool = True) -> ScoreColumn:
    """Return the score that training and the paper's tables use: 0, 0.3, 0.6, 0.9 or 1 by the number of hits.

    With ten annotators it is the official accuracy; where fewer answered, it is not. Arguments and errors are
    ``vqa_accuracy``'s.
    """
    hits, _ = _hits(predicted, answers, counts, normalise)
    return SOFT_SCORES[np.minimum(hits, len(SOFT_SCORES) - 1)]


def _hits(
    predicted: Column, answers: Column, counts: Column, normalise: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count for each of N questions the annotators who said the predicted answer, and all annotators."""
    ours, truth, numbers = one_array(predicted).cast(pa.string()), one_array(answers), one_array(counts)
    check_lengths(predictions=ours, answers=truth, counts=numbers)
    if normalise:
        ours = normalise_answers(ours).cast(pa.string())
    question = pc.list_parent_indices(truth).to_numpy()
    given = pc.list_flatten(numbers).to_numpy(zero_copy_only=False)
    check_lengths(answers=question, counts=given)
    asked = np.bincount(question, weights=given, minlength=len(truth)).astype(np.int64)
    if silent := int((asked == 0).sum()):
        raise DataError(f"{silent:,} of {len(truth):,} questions have no answers", todo="score the others only")
    said = as_floats(pc.equal(pc.list_flatten(truth), ours.take(pa.array(question))))
    return np.bincount(question, weights=given * said, minlength=len(truth)).astype(np.int64), asked
