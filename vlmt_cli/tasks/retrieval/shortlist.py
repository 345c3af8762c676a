"""A cascade for large test sets: a cheap score of every pair of caption and image, the model's own of a shortlist.

COCO's 5,000 test images by 25,010 captions are 125 million pairs. What a caption and an image are before they first
meet in the model does not depend on the pair: the mean of its states is computed once each. The cheap score is bilinear
in the two means. It is fitted on validation pairs that the model has scored, by least squares with a ridge::

    M = (C_t + a I)^-1 . mean over pairs of (s - mean s) t v' . (C_v + b I)^-1

where C_t and C_v are the covariances of captions and images; that of their products is taken to be the product of the
two, as if captions and images met by chance. No test label is looked at.

Shapes: C captions, I images, P pairs, D and E widths, N queries of a sample.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmt_cli.tasks.retrieval.rules import KS, recall

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]
RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
"""By the mean variance of a dimension. The fit takes the one that ranks a fifth of the validation images best."""
SAMPLE = 100
"""Images of which, and of whose captions, every pair is scored, to measure what the shortlist loses."""
_HELD_OUT = 5
_AT_ONCE = 1 << 24


class Validation(NamedTuple):
    """What the cheap score is fitted on.

    Attributes:
        texts_CD, images_IE: means of states.
        image_of_C: which image each caption belongs to.
        captions_P, images_P, scores_P: pairs, and what the model says of each.
    """

    texts_CD: Floats
    images_IE: Floats
    image_of_C: NDArray[np.integer]
    captions_P: NDArray[np.integer]
    images_P: NDArray[np.integer]
    scores_P: Floats


@dataclass(frozen=True)
class CheapScore:
    """A bilinear score: means of states, and the matrix between them."""

    text_D: Floats
    image_E: Floats
    matrix_DE: Floats

    def of(self, texts_CD: Floats, images_IE: Floats) -> NDArray[np.float32]:
        """Score all pairs, (C, I)."""
        left = ((texts_CD - self.text_D) @ self.matrix_DE).astype(np.float32)
        scores: NDArray[np.float32] = left @ (images_IE - self.image_E).T.astype(np.float32)
        return scores


def fit(known: Validation) -> CheapScore:
    """Fit the cheap score on validation pairs."""
    is_held_I = np.arange(len(known.images_IE)) % _HELD_OUT == 0
    held_C = np.flatnonzero(is_held_I[known.image_of_C])
    used_P = ~(is_held_I[known.images_P] | is_held_I[known.image_of_C[known.captions_P]])
    ridge = RIDGES[-1]
    if used_P.any() and len(held_C):
        number_I = np.cumsum(is_held_I) - 1
        fits = _fits(known, used_P)

        def mean_log_rank(ridge: float) -> float:
            scores = fits[ridge].of(known.texts_CD[held_C], known.images_IE[is_held_I])
            return float(np.log(_row_ranks(scores, number_I[known.image_of_C[held_C]])).mean())

        ridge = min(RIDGES, key=mean_log_rank)
    return _fits(known, np.ones(len(known.scores_P), bool), (ridge,))[ridge]


def _fits(known: Validation, used_P: Bools, ridges: tuple[float, ...] = RIDGES) -> dict[float, CheapScore]:
    from scipy.sparse import coo_array  # here, as every command that loads a model imports this file

    captions, images = known.captions_P[used_P], known.images_P[used_P]
    text, image = known.texts_CD[captions].mean(0), known.images_IE[images].mean(0)
    t, v = (known.texts_CD - text).astype(np.float64), (known.images_IE - image).astype(np.float64)
    scores = known.scores_P[used_P].astype(np.float64)
    scores = scores - scores.mean()
    pairs = coo_array((scores, (captions, images)), shape=(len(t), len(v))).tocsr()
    cross = t.T @ (pairs @ v) / len(scores)
    text_values, text_axes = np.linalg.eigh(_covariance(t[np.unique(captions)]))
    image_values, image_axes = np.linalg.eigh(_covariance(v[np.unique(images)]))
    inner = text_axes.T @ cross @ image_axes
    tiny = np.finfo(np.float64).tiny
    fits = {}
    for ridge in ridges:
        left = text_values + ridge * max(text_values.mean(), tiny)
        right = image_values + ridge * max(image_values.mean(), tiny)
        fits[ridge] = CheapScore(text, image, text_axes @ (inner / np.outer(left, right)) @ image_axes.T)
    return fits


def _covariance(x_NX: Floats) -> Floats:
    covariance: Floats = x_NX.T @ x_NX / len(x_NX)
    return covariance


def choose_pairs(cheap_CI: Floats, k: int) -> Bools:
    """Choose pairs, (C, I): for each caption its k best images, and for each image its k best captions."""
    captions, images = cheap_CI.shape
    chosen = np.zeros((captions, images), bool)
    step = max(_AT_ONCE // images, 1)
    for start in range(0, captions, step):
        rows = slice(start, start + step)
        np.put_along_axis(chosen[rows], _best(cheap_CI[rows], k), True, axis=1)
    step = max(_AT_ONCE // captions, 1)
    for start in range(0, images, step):
        columns = slice(start, start + step)
        best = _best(np.ascontiguousarray(cheap_CI[:, columns].T), k)
        np.put_along_axis(chosen[:, columns], best.T, True, axis=0)
    return chosen


def _best(scores: Floats, k: int) -> NDArray[np.int64]:
    if k >= scores.shape[1]:
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    return np.argpartition(-scores, k - 1, axis=1)[:, :k]


def fill(scores_CI: Floats, cheap_CI: Floats, chosen_CI: Bools) -> NDArray[np.float32]:
    """Put the pairs that were not chosen behind all that were, in the order of the cheap score.

    Args:
        scores_CI: the model's scores, where it has scored.
        cheap_CI: of all pairs.
        chosen_CI: the pairs of which the model's score counts.
    """
    behind = cheap_CI.max() - scores_CI[chosen_CI].min() + 1
    filled: NDArray[np.float32] = np.where(chosen_CI, scores_CI, cheap_CI - behind).astype(np.float32)
    return filled


def losses(
    scores_CI: Floats, filled_CI: Floats, image_of_C: NDArray[np.integer], sample_N: NDArray[np.integer]
) -> dict[str, float]:
    """Return Recall@k of a sample by all scores less that by the shortlist's, in both directions.

    Negative where the shortlist leaves out what the model would have put before the right one.

    Args:
        scores_CI: the model's scores: of the sample, and of its captions, with everything.
        filled_CI: the shortlist's, of all pairs.
        image_of_C: which image each caption belongs to.
        sample_N: images.
    """
    captions = np.flatnonzero(np.isin(image_of_C, sample_N))
    own_CN = image_of_C[:, None] == sample_N
    exact, short = (
        (_row_ranks(matrix[captions], image_of_C[captions]), _column_ranks(matrix[:, sample_N], own_CN))
        for matrix in (scores_CI, filled_CI)
    )
    return {
        f"{name}Recall@{k}": float(recall(exact[way], k).mean() - recall(short[way], k).mean())
        for way, name in enumerate(("", "caption "))
        for k in KS
    }


def _row_ranks(rows: Floats, own: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the rank of each row's own column, behind all with its score."""
    ranks: NDArray[np.int64] = (rows >= rows[np.arange(len(rows)), own][:, None]).sum(1)
    return ranks


def _column_ranks(columns: Floats, is_own: Bools) -> NDArray[np.int64]:
    """Return the rank of the best of each column's own rows, behind all others with its score."""
    best = np.where(is_own, columns, -np.inf).max(0)
    ranks: NDArray[np.int64] = 1 + ((columns >= best) & ~is_own).sum(0)
    return ranks
