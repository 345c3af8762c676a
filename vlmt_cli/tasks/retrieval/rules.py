"""What is right in retrieval: Recall@k of every caption against every image, in both directions (table 2, G2).

COCO's 5,000 test images have two protocols: all of them (5k), and five folds of a thousand (1k), of which the paper
and the authors' code take the first.

Shapes: C captions, I images, B batch, O options.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.tasks.examples import Columns, Examples, Lists, Part
from vlmt_cli.tasks.probabilities import softmax
from vlmt_cli.tasks.scoring import Judged, Measure, ScoreColumn, check_lengths, named, one_array

COLUMNS: tuple[str, ...] = ()
CHANCE = "random image"
PREDICTS = "ranking"

KS = (1, 5, 10)
FOLDED, FOLD = 5000, 1000
"""A test set of so many images is also scored in folds of so many."""
PROTOCOL, WHOLE = "1k", "5k"
RANKED = 10
"""Images that a file of predictions names for each caption."""
_AT_ONCE = 1 << 22


def known(task: str, table: pa.Table) -> NDArray[np.bool_]:
    """Say which of N captions have an image: all."""
    return np.ones(len(table), bool)


def columns(part: Part) -> tuple[Columns, NDArray[np.bool_]]:
    """Group N captions by their images, for drawing wrong ones.

    Raises:
        DataError: there are no two images.
    """
    if len(part.names) < 2:
        where = f"{part.task} {part.split}"
        raise DataError("has captions of fewer than two images, so that none is wrong", where=where)
    order = np.argsort(part.codes, kind="stable").astype(np.int64)
    captions = Lists(order, np.searchsorted(part.codes[order], np.arange(len(part.names) + 1)))
    alike = Lists(np.empty(0, np.int64), np.zeros(len(part.names) + 1, np.int64))
    if part.neighbours is not None:
        known = pa.array(part.names, pa.string())
        lists = part.neighbours["neighbours"].combine_chunks()
        owner = pc.index_in(part.neighbours["image"], known).take(pc.list_parent_indices(lists))
        other = pc.index_in(lists.flatten(), known)
        both = pc.and_(owner.is_valid(), other.is_valid())
        owners = owner.filter(both).to_numpy().astype(np.int64)
        rank = np.argsort(owners, kind="stable")
        others = other.filter(both).to_numpy().astype(np.int64)[rank]
        alike = Lists(others, np.searchsorted(owners[rank], np.arange(len(part.names) + 1)))
    return {"captions": captions, "alike": alike}, np.ones(len(part.table), bool)


def decode(
    options: NDArray[np.float32], given: Mapping[str, NDArray[Any]], labels: Sequence[str]
) -> dict[str, list[Any]]:
    """Return the probability of the right one of four options, the first."""
    return {"confidence": softmax(options)[:, 0].tolist()}


def judge(task: str, split: str, table: pa.Table, predicted: Mapping[str, Any], protocol: str = "") -> Judged:
    """Rank and score.

    Args:
        task, split: which.
        table: C captions of I images.
        predicted: ``scores_CI``, how well each caption describes each image, in the order of the images' first
            captions; where that is of a shortlist, how it was made, ``shortlist``, and of 5,000 images ``fold_CI``, the
            first fold, all scored.
        protocol: of examples that are one fold already.

    Returns:
        Recall@1 of image retrieval, of each caption; Recall@5 and 10, the median rank, and caption retrieval beside
        it. Of 5,000 images: that of the first fold, with all folds and all images beside it; of a shortlist without
        the other folds.
    """
    scores_CI: NDArray[np.float32] = predicted["scores_CI"]
    images = one_array(pc.list_element(one_array(table["images"]), 0)).dictionary_encode()
    names = np.array(images.dictionary.to_pylist(), object)
    image_of_C = images.indices.to_numpy().astype(np.int64)
    captions, pictures = scores_CI.shape
    whole = retrieval_ranks(scores_CI, image_of_C)
    best_CK = _best(scores_CI, min(RANKED, pictures))
    columns = {
        **named(table),
        "score": pa.array(recall(whole.image_C, 1)),
        "rank": pa.array(whole.image_C),
        "caption_rank": pa.array(whole.caption_I[image_of_C]),
        "best": pa.array(names[best_CK].tolist(), pa.list_(pa.string())),
    }
    made: Mapping[str, Any] | None = predicted.get("shortlist")
    if pictures != FOLDED:
        scores, extra = recall(whole.image_C, 1), _recalls(whole, image_of_C)
        protocol = f"shortlist {made['k']}" if made else protocol
        return Judged(split, columns["images"], np.arange(captions), scores, extra, columns, protocol, made)
    folds_I = folds_of(pictures, FOLD)
    fold_C = folds_I[image_of_C]
    if made:
        counted = np.flatnonzero(fold_C == 0)
        first = retrieval_ranks(predicted["fold_CI"], image_of_C[counted])
        folded = Ranks(np.zeros(captions, np.int64), np.zeros(pictures, np.int64))
        folded.image_C[counted], folded.caption_I[folds_I == 0] = first.image_C, first.caption_I
    else:
        folded = retrieval_ranks(scores_CI, image_of_C, folds_I)
    rows = pa.array(np.arange(captions), mask=folded.image_C == 0)
    columns |= {
        "score": pa.array(recall(folded.image_C, 1)).take(rows),
        "fold": pa.array(fold_C),
        "fold_rank": pa.array(folded.image_C).take(rows),
        "fold_caption_rank": pa.array(folded.caption_I[image_of_C]).take(rows),
    }
    prefix = f"{WHOLE} shortlist {made['k']}" if made else WHOLE
    counted, scores, extra = _of_folds(whole, folded, fold_C, image_of_C, prefix)
    return Judged(split, columns["images"], counted, scores, extra, columns, PROTOCOL, made)


def judge_ranks(split: str, table: pa.Table) -> Judged:
    """Score the ranks that ``judge`` put into a file of predictions.

    Args:
        split: which.
        table: C captions with ``images``, ``rank`` and ``caption_rank``; of 5,000 images also ``fold``, ``fold_rank``
            and ``fold_caption_rank``, null outside the first fold where the scores were of a shortlist.
    """
    images = one_array(pc.list_element(one_array(table["images"]), 0)).dictionary_encode()
    image_of_C = images.indices.to_numpy().astype(np.int64)

    def ranks(of_caption: str, of_image: str) -> Ranks:
        each = [one_array(table[name]).cast(pa.int64()).fill_null(0).to_numpy() for name in (of_caption, of_image)]
        caption_I = np.zeros(len(images.dictionary), np.int64)
        caption_I[image_of_C] = each[1]
        return Ranks(each[0], caption_I)

    whole = ranks("rank", "caption_rank")
    columns = {name: one_array(table[name]) for name in table.column_names}
    if "fold" not in table.column_names:
        scores = recall(whole.image_C, 1)
        return Judged(split, columns["images"], np.arange(len(table)), scores, _recalls(whole, image_of_C), columns)
    folded, fold_C = ranks("fold_rank", "fold_caption_rank"), one_array(table["fold"]).to_numpy()
    prefix = WHOLE if folded.image_C.all() else f"{WHOLE} shortlist"
    counted, scores, extra = _of_folds(whole, folded, fold_C, image_of_C, prefix)
    return Judged(split, columns["images"], counted, scores, extra, columns, PROTOCOL)


def _of_folds(
    whole: "Ranks", folded: "Ranks", fold_C: NDArray[np.integer], image_of_C: NDArray[np.int64], prefix: str
) -> tuple[NDArray[np.int64], ScoreColumn, dict[str, Measure | float]]:
    """Score the first fold, with all folds and all images beside it.

    Args:
        whole: ranks among all images.
        folded: ranks within each fold; 0 where others than the first were not ranked.
        fold_C, image_of_C: of each caption.
        prefix: what stands before the names of metrics over all images.

    Returns:
        Which captions the metric is of, their scores, and further metrics.
    """
    counted = np.flatnonzero(fold_C == 0)
    folds_I = np.zeros(len(folded.caption_I), np.int64)
    folds_I[image_of_C] = fold_C
    first = Ranks(folded.image_C[counted], folded.caption_I[folds_I == 0])
    extra = _recalls(first, image_of_C[counted])
    if folded.image_C.all():
        weights_C, weights_I = fold_weights(fold_C), fold_weights(folds_I)
        extra["Recall@1 of all folds"] = Measure(recall(folded.image_C, 1), image_of_C, weights_C)
        extra["caption Recall@1 of all folds"] = Measure(recall(folded.caption_I, 1), None, weights_I)
    everything = {"Recall@1": Measure(recall(whole.image_C, 1), image_of_C), **_recalls(whole, image_of_C)}
    extra |= {f"{prefix} {name}": measure for name, measure in everything.items()}
    return counted, recall(first.image_C, 1), extra


def chance(train: Examples, test: Examples, boxes_of: object) -> float:
    """Return Recall@1 of any order of the images."""
    return 1 / len(test.names)


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
        DataError: a score is NaN or infinite, an image has no caption, or sizes do not fit.
    """
    captions, images = scores_CI.shape
    image_of, folds = np.asarray(image_of_C), np.zeros(images, int) if folds_I is None else np.asarray(folds_I)
    check_lengths(rows=scores_CI, captions=image_of)
    check_lengths(columns=range(images), folds=folds)
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
            raise DataError(f"caption {caption} has a score that is NaN or infinite")
        others = folds[own, None] == folds[None]
        others[np.arange(len(own)), own] = False
        image_C[rows] += (before(scores, right_C[rows, None]) & others).sum(1)
        caption_I += (before(scores, best_I) & others).sum(0)
    return Ranks(image_C, caption_I)


def recall(ranks_N: NDArray[np.integer], k: int) -> ScoreColumn:
    """Return Recall@k of N queries: whether the right one is among the first k."""
    return (ranks_N <= k).astype(np.float64)


def folds_of(images: int, size: int = 1000) -> NDArray[np.int64]:
    """Cut a test set into folds in file order, as the 1k protocol of COCO's 5,000 images does; the paper has the first.

    Raises:
        DataError: it is not a whole number of folds; in a smaller one recall is higher.
    """
    if images % size:
        raise DataError(f"{images:,} images are not a whole number of folds of {size:,}", todo="rank them all together")
    return np.arange(images) // size


def fold_weights(folds_N: NDArray[np.integer]) -> ScoreColumn:
    """Weigh N queries so that their mean is the mean of the folds' means, whatever their sizes; they add to N."""
    _, fold, sizes = np.unique(folds_N, return_inverse=True, return_counts=True)
    weights: ScoreColumn = len(fold) / (len(sizes) * sizes[fold])
    return weights


def first_fold(images: pa.ChunkedArray) -> NDArray[np.int64] | None:
    """Return the captions of the first thousand images, in the order of the file; None where there are no folds."""
    images = one_array(pc.list_element(one_array(images), 0)).dictionary_encode()
    if len(images.dictionary) != FOLDED:
        return None
    return np.flatnonzero(images.indices.to_numpy() < FOLD)


def _recalls(ranks: Ranks, image_of_C: NDArray[np.int64]) -> dict[str, Measure | float]:
    """Return all that is said of ranks beside Recall@1 of image retrieval."""
    extra: dict[str, Measure | float] = {f"Recall@{k}": Measure(recall(ranks.image_C, k), image_of_C) for k in KS[1:]}
    extra["median rank"] = float(np.median(ranks.image_C))
    extra |= {f"caption Recall@{k}": Measure(recall(ranks.caption_I, k)) for k in KS}
    return extra


def _best(scores_CI: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the indices of each caption's k best images, the best first, (C, K)."""
    unordered = np.argpartition(-scores_CI, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores_CI, unordered, 1), axis=1, kind="stable")
    return np.take_along_axis(unordered, order, 1)
