"""Means with 95% intervals, by resampling groups of examples (Efron's bootstrap).

The questions about one image are not independent trials; resampled together they give an honest interval. The plain
percentile interval is too narrow for few groups: it covers 84 to 92% for 5 to 20 of them. So its quantiles are those of
Student's t with a variance of G - 1 ("expanded percentile interval", Hesterberg 2015, "What Teachers Should Know About
the Bootstrap", section 4.3); for many groups they are 2.5% and 97.5%. ``COVERAGE`` says what it covers for few.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from vlmt_cli.base.errors import DataError
from vlmt_cli.tasks.scoring import Column, ScoreColumn, one_array

RESAMPLES = 1000
LEVEL = 0.95
FEW = 20
"""Groups, below which an interval covers less than it says."""
COVERAGE = (
    f"Intervals over fewer than {FEW} images are not exact: over 5 to 19 they cover 80 to 97% where the score is from"
    " 30 to 70%, and far less where it is near 0 or 100%, or images are fewer still."
)
"""What simulations show (``tests/evaluation/test_coverage.py``), of images with one example each, or up to nine."""
_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Estimate:
    """A mean, or a difference of two.

    Attributes:
        value: of the examples themselves.
        low, high: the interval.
        n: examples.
        groups: what was resampled: images, or examples.
    """

    value: float
    low: float
    high: float
    n: int
    groups: int


def estimate(
    scores: ScoreColumn,
    groups: Column | None = None,
    weights: ScoreColumn | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Estimate the mean of N scores.

    Args:
        scores: (N,).
        groups: N numbers or names; examples of one group are drawn together. Each example by itself by default.
        weights: (N,), not negative; all equal by default.
        resamples: how many.
        seed: the same seed gives the same interval.

    Raises:
        DataError: there are no examples, a score is NaN or infinite, or the columns differ in length.
    """
    value, draws, count = _resample(scores, groups, weights, resamples, np.random.default_rng(seed))
    return Estimate(value, *interval_of(draws, count), len(scores), count)


def unpaired_difference(
    ours: ScoreColumn,
    other_scores: ScoreColumn,
    our_groups: Column | None = None,
    their_groups: Column | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    their_weights: ScoreColumn | None = None,
) -> Estimate:
    """Estimate by how much the mean of N scores is above that of M scores of other examples.

    The arguments and errors are ``estimate``'s; a group that is in both counts in each as a group of its own. The
    degrees of freedom are Welch's. ``their_weights`` count as known.
    """
    first, second = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
    mean, draws, count = _resample(ours, our_groups, None, resamples, first)
    their_mean, their_draws, their_count = _resample(other_scores, their_groups, their_weights, resamples, second)
    wide, their_wide = (_widened(part, groups) for part, groups in ((draws, count), (their_draws, their_count)))
    variances = np.array([wide.var(), their_wide.var()])
    degrees = np.maximum([count - 1, their_count - 1], 1)
    total = variances.sum()
    freedom = total**2 / (variances**2 / degrees).sum() if total else 1.0
    tail = float(ndtr(-stdtrit(freedom, (1 + LEVEL) / 2)))
    low, high = np.quantile(wide - their_wide, [tail, 1 - tail])
    value = mean - their_mean
    return Estimate(
        value, min(float(low), value), max(float(high), value), len(ours) + len(other_scores), count + their_count
    )


def coverage_explained(groups: Iterable[int]) -> str:
    """Say what intervals over so many groups each cover, where any has few; nothing where all have enough."""
    return COVERAGE if any(count < FEW for count in groups) else ""


def by_image(images: Column) -> NDArray[np.int64]:
    """Group N examples by their image; by the first where they have two, as NLVR2's pairs go together.

    Args:
        images: N lists of image keys, the column of an example table.
    """
    return _codes(pc.list_element(one_array(images), 0))


def _resample(
    scores: ScoreColumn, groups: Column | None, weights: ScoreColumn | None, resamples: int, rng: np.random.Generator
) -> tuple[float, NDArray[np.float64], int]:
    """Return the mean, the means of all resamples, and how many groups there are."""
    scores = np.asarray(scores, np.float64)
    weights = np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64)
    group = np.arange(len(scores)) if groups is None else _codes(groups)
    if not len(scores) == len(weights) == len(group):
        raise DataError(f"{len(scores):,} scores have {len(group):,} groups and {len(weights):,} weights")
    if not np.isfinite(scores).all() or not np.isfinite(weights).all() or (weights < 0).any():
        raise DataError("a score or weight is NaN or infinite, or a weight is negative")
    if not weights.any():
        raise DataError("there are no examples to score")
    if not weights.all():  # a resample of these alone would have no mean
        scores, weights, group = scores[weights > 0], weights[weights > 0], _codes(group[weights > 0])

    sums_G = np.bincount(group, weights * scores) + 1j * np.bincount(group, weights)  # a group's two sums as one number
    drawn = _draw(sums_G, resamples, rng)
    mean = sums_G.sum()
    return float(mean.real / mean.imag), drawn.real / drawn.imag, len(sums_G)


def _draw(sums_G: NDArray[np.complex128], resamples: int, rng: np.random.Generator) -> NDArray[np.complex128]:
    """Draw G groups with replacement, again and again; returns the total of each resample.

    Block by block, so that a block stays in the processor's cache: how many draws fall into each is multinomial.
    """
    assert resamples > 0
    size = min(max(_AT_ONCE // resamples, 64), 1 << 16)  # so large that no block is ever left out, and 16 bits name all
    blocks = np.array_split(sums_G, -(-len(sums_G) // size))
    shares = np.array([len(block) for block in blocks]) / len(sums_G)
    totals = np.zeros(resamples, np.complex128)
    for block, times in zip(blocks, rng.multinomial(len(sums_G), shares, size=resamples).T, strict=True):
        places = rng.integers(len(block), size=times.sum(), dtype=np.uint16)
        totals += np.add.reduceat(block[places], np.cumsum(times) - times)
    return totals


def interval_of(draws: NDArray[np.float64], groups: int) -> tuple[float, float]:
    """Return the 95% interval of R means of resamples of G groups: expanded percentiles."""
    tail = (1 - LEVEL) / 2
    if groups > 1:
        tail = float(ndtr(-np.sqrt(groups / (groups - 1)) * stdtrit(groups - 1, (1 + LEVEL) / 2)))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def _widened(draws: NDArray[np.float64], groups: int) -> NDArray[np.float64]:
    """Stretch the means of resamples, whose variance is (G - 1) / G of what it should be."""
    mean = draws.mean()
    return np.asarray(mean + (draws - mean) * np.sqrt(groups / max(1, groups - 1)), np.float64)


def _codes(groups: Column) -> NDArray[np.int64]:
    codes = one_array(groups).dictionary_encode().indices
    if codes.null_count:
        raise DataError(f"{codes.null_count:,} of {len(codes):,} examples are in no group")
    numbers: NDArray[np.int64] = codes.to_numpy().astype(np.int64)
    return numbers
