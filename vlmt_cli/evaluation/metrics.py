"""The tasks' official metrics, in columns: each gives every example its own score, from 0 to 1 (table 8).

The mean of the scores is the metric. Kept apart, they can be resampled (``bootstrap``), split (``contamination``) and
compared. GQA's accuracy is VQA accuracy on its one answer, not normalised; Visual Genome QA's is so normalised.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.answers import normalise_answers

Scores = NDArray[np.float64]
Column: TypeAlias = Any
"""An Arrow array, a numpy array or a list; pyarrow has no types to say it with."""

SOFT_SCORES = np.array([0.0, 0.3, 0.6, 0.9, 1.0])
"""By how many of the annotators said so: 0, 1, 2, 3, or more."""
IOU = 0.5
_AT_ONCE = 1 << 22


def known(examples: pa.Table) -> NDArray[np.bool_]:
    """Say which of N examples have a right answer; those of secret test sets and without a majority have none."""
    there = pa.array(np.ones(len(examples), bool))
    if "answers" in examples.column_names:
        there = pc.greater(pc.list_value_length(examples["answers"]), 0)
    elif "label" in examples.column_names:
        there = pc.greater_equal(examples["label"], 0)
    elif "box" in examples.column_names:
        there = pc.is_valid(examples["box"])
    result: NDArray[np.bool_] = one_array(there.fill_null(False)).to_numpy(zero_copy_only=False)
    return result


def vqa_accuracy(predicted: Column, answers: Column, counts: Column, normalise: bool = True) -> Scores:
    """Return the official VQA accuracy of N answers: the mean over the ten sets of nine annotators of min(hits / 3, 1).

    The evaluation leaves ground truths unnormalised where all ten agree; here they are always normalised, and so is
    the prediction.

    Args:
        predicted: N answers.
        answers, counts: columns of an example table: the distinct answers to each question, and how many gave each.
        normalise: whether to normalise the predictions, as VQA's evaluation does and GQA's does not.

    Raises:
        DataError: a question has no answers, or the columns differ in length.
    """
    hits, asked = _hits(predicted, answers, counts, normalise)
    # Of the sets that leave one annotator out, those who said it leave one hit fewer in theirs.
    without = np.minimum(np.maximum(hits - 1, 0) / 3, 1)
    return (hits * without + (asked - hits) * np.minimum(hits / 3, 1)) / asked


def soft_score(predicted: Column, answers: Column, counts: Column, normalise: bool = True) -> Scores:
    """Return the score that training and the paper's tables use: 0, 0.3, 0.6, 0.9 or 1 by the number of hits.

    With ten annotators it is the official accuracy; where fewer answered, it is not. Arguments and errors are
    ``vqa_accuracy``'s.
    """
    hits, _ = _hits(predicted, answers, counts, normalise)
    return SOFT_SCORES[np.minimum(hits, len(SOFT_SCORES) - 1)]


def accuracy(predicted: Column, right: Column) -> Scores:
    """Return whether each of N predictions is right: classes by number or name, or chosen candidates by their place.

    Raises:
        DataError: an example has no right answer (null or negative), or the columns differ in length.
    """
    ours, truth = one_array(predicted), one_array(right)
    _check_lengths(predictions=ours, labels=truth)
    unknown = truth.null_count
    if pa.types.is_integer(truth.type):
        unknown += pc.sum(pc.less(truth, 0)).as_py() or 0
    if unknown:
        raise DataError(f"{unknown:,} of {len(truth):,} examples have no label", todo="score the others only")
    return _floats(pc.equal(ours, truth))


def consistency(scores: Scores, identifiers: Column) -> Scores:
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
    _check_lengths(scores=scores, identifiers=names)
    form = r"^(\w+-\d+)-\d+-(\d+)$"
    if not pc.all(pc.match_substring_regex(names, form), min_count=0).as_py():
        bad = names.filter(pc.invert(pc.match_substring_regex(names, form)))[0].as_py()
        raise DataError(f"{bad!r} is no identifier of NLVR2", todo="give ids such as dev-850-0-0")
    sentence = pc.replace_substring_regex(names, form, r"\1-\2").dictionary_encode()
    result = np.ones(len(sentence.dictionary))
    np.minimum.at(result, sentence.indices.to_numpy(), scores)
    return result


@dataclass(frozen=True)
class Ranks:
    """Where the right ones stand among all, 1 the best.

    Attributes:
        image_C: for each caption, the rank of its image (image retrieval).
        caption_I: for each image, the rank of the best of its captions (caption retrieval).
    """

    image_C: NDArray[np.int64]
    caption_I: NDArray[np.int64]


def retrieval_ranks(
    scores_CI: NDArray[np.floating],
    image_of_C: NDArray[np.integer],
    folds_I: NDArray[np.integer] | None = None,
    ties: Literal["pessimistic", "optimistic"] = "pessimistic",
) -> Ranks:
    """Rank all images for each caption, and all captions for each image.

    Args:
        scores_CI: how well each of C captions describes each of I images.
        image_of_C: which image each caption belongs to.
        folds_I: the fold of each image, within which alone it is ranked (``folds_of``); all together by default.
        ties: whether others with the score of the right one stand before it, so that a model that gives one score to
            all is last, or behind it.

    Raises:
        DataError: a score is no number, an image has no caption, or sizes do not fit.
    """
    captions, images = scores_CI.shape
    image_of, folds = np.asarray(image_of_C), np.zeros(images, int) if folds_I is None else np.asarray(folds_I)
    _check_lengths(rows=scores_CI, captions=image_of)
    _check_lengths(columns=range(images), folds=folds)
    if captions and not 0 <= image_of.min() <= image_of.max() < images:
        raise DataError(f"captions are of images {image_of.min()} to {image_of.max()}, of {images:,} there are")
    if lonely := int((np.bincount(image_of, minlength=images) == 0).sum()):
        raise DataError(f"{lonely:,} of {images:,} images have no caption")

    right_C = scores_CI[np.arange(captions), image_of]
    best_I = np.full(images, -np.inf, scores_CI.dtype)
    np.maximum.at(best_I, image_of, right_C)
    before = np.greater_equal if ties == "pessimistic" else np.greater
    image_C, caption_I = np.ones(captions, np.int64), np.ones(images, np.int64)
    step = max(_AT_ONCE // max(images, 1), 1)
    for start in range(0, captions, step):
        rows = slice(start, start + step)
        scores, own = scores_CI[rows], image_of[rows]
        if np.isnan(scores).any():
            caption = start + int(np.isnan(scores).any(1).argmax())
            raise DataError(f"caption {caption} has a score that is no number")
        others = folds[own, None] == folds[None]
        others[np.arange(len(own)), own] = False
        image_C[rows] += (before(scores, right_C[rows, None]) & others).sum(1)
        caption_I += (before(scores, best_I) & others).sum(0)
    return Ranks(image_C, caption_I)


def recall(ranks_N: NDArray[np.integer], k: int) -> Scores:
    """Return Recall@k of N queries: whether the right one is among the first k."""
    return (ranks_N <= k).astype(np.float64)


def folds_of(images: int, size: int = 1000) -> NDArray[np.int64]:
    """Cut a test set into folds in file order, as the 1k protocol of COCO's 5,000 images does; the paper has the first.

    Raises:
        DataError: it is no whole number of folds; in a smaller one recall is higher.
    """
    if images % size:
        raise DataError(f"{images:,} images are no whole number of folds of {size:,}", todo="rank them all together")
    return np.arange(images) // size


def fold_weights(folds_N: NDArray[np.integer]) -> Scores:
    """Weigh N queries so that their mean is the mean of the folds' means, whatever their sizes; they add to N."""
    _, fold, sizes = np.unique(folds_N, return_inverse=True, return_counts=True)
    weights: Scores = len(fold) / (len(sizes) * sizes[fold])
    return weights


def iou(a_N4: Column, b_N4: Column, plus_one: bool = False) -> Scores:
    """Return the intersection over union of N boxes and N others, ``[x1, y1, x2, y2]`` in pixels.

    Equal boxes overlap wholly even where they have no area.

    Args:
        a_N4, b_N4: arrays, or columns of an example table.
        plus_one: whether a box is x2 - x1 + 1 wide, as in the authors' code.

    Raises:
        DataError: a box is missing or no number, or the columns differ in length.
    """
    a, b = _boxes(a_N4), _boxes(b_N4)
    _check_lengths(boxes=a, others=b)
    extra = 1.0 if plus_one else 0.0

    def area(corners: NDArray[np.float64]) -> Scores:
        sides: Scores = (corners[:, 2:] - corners[:, :2] + extra).clip(0).prod(1)
        return sides

    shared = area(np.hstack([np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])]))
    union = area(a) + area(b) - shared
    return np.where((a == b).all(1), 1.0, np.minimum(shared / np.where(union > 0, union, 1.0), 1.0))


def localised(predicted_N4: Column, right_N4: Column, plus_one: bool = False) -> Scores:
    """Return whether each of N boxes overlaps the right one by IoU > 0.5; arguments and errors are ``iou``'s."""
    return (iou(predicted_N4, right_N4, plus_one) > IOU).astype(np.float64)


def one_array(column: Column) -> pa.Array:
    """Return a column as one Arrow array."""
    if isinstance(column, pa.ChunkedArray):
        return column.combine_chunks()
    return column if isinstance(column, pa.Array) else pa.array(column)


def _hits(
    predicted: Column, answers: Column, counts: Column, normalise: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count for each of N questions the annotators who said the predicted answer, and all annotators."""
    ours, truth, numbers = one_array(predicted).cast(pa.string()), one_array(answers), one_array(counts)
    _check_lengths(predictions=ours, answers=truth, counts=numbers)
    if normalise:
        ours = normalise_answers(ours).cast(pa.string())
    question = pc.list_parent_indices(truth).to_numpy()
    given = pc.list_flatten(numbers).to_numpy(zero_copy_only=False)
    _check_lengths(answers=question, counts=given)
    asked = np.bincount(question, weights=given, minlength=len(truth)).astype(np.int64)
    if silent := int((asked == 0).sum()):
        raise DataError(f"{silent:,} of {len(truth):,} questions have no answers", todo="score the others only")
    said = _floats(pc.equal(pc.list_flatten(truth), ours.take(pa.array(question))))
    return np.bincount(question, weights=given * said, minlength=len(truth)).astype(np.int64), asked


def _floats(truths: pa.Array) -> Scores:
    values: Scores = truths.fill_null(False).to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def _boxes(column: Column) -> NDArray[np.float64]:
    if isinstance(column, pa.Array | pa.ChunkedArray):
        array = one_array(column)
        if array.null_count:
            raise DataError(
                f"{array.null_count:,} of {len(array):,} examples have no box", todo="score the others only"
            )
        column = array.flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
    boxes: NDArray[np.float64] = np.asarray(column, np.float64).reshape(-1, 4)
    if not np.isfinite(boxes).all():
        row = int(np.flatnonzero(~np.isfinite(boxes).all(1))[0])
        raise DataError(f"box {row} is {boxes[row].tolist()}, which is no box")
    return boxes


def _check_lengths(**columns: Any) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError("the columns differ: " + ", ".join(f"{n:,} {name}" for name, n in lengths.items()))
