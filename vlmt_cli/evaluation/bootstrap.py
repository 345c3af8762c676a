"""Shares with 95% intervals, by resampling groups of examples (Efron's bootstrap).

The questions about one image are not independent trials; resampled together they give an honest variance. From it comes
the number of independent trials that the examples are worth, and from that Wilson's interval, with Student's t for few
groups: "modified Wilson" in Franco et al. 2019, "Comparative Study of Confidence Intervals for Proportions in Complex
Sample Surveys", which recommends it. Quantiles of the resamples are too narrow near 0 and 100%, where they hardly vary.
Intervals of differences are made of these (Newcombe 1998). ``benchmarks/coverage.py`` measures what they cover.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.special import stdtrit

from vlmt_cli.base.errors import DataError
from vlmt_cli.tasks.scoring import Column, ScoreColumn, one_array

RESAMPLES = 1000
LEVEL = 0.95
FEW = 20
"""Groups, below which an interval is wider than need be."""
COVERAGE = f"95% intervals over fewer than {FEW} {{}} are wide: they hold the truth in 95 to 100% of cases."
_ROUNDING = 1e-9
_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Estimate:
    """A share, or a difference of two.

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
        scores: (N,), from 0 to 1.
        groups: N numbers or names; examples of one group are drawn together. Each example by itself by default.
        weights: (N,), not negative; all equal by default.
        resamples: how many.
        seed: the same seed gives the same interval.

    Raises:
        DataError: there are no examples, a score is NaN or not from 0 to 1, or the columns differ in length.
    """
    scores = np.asarray(scores, np.float64)
    if wrong := scores[(scores < -_ROUNDING) | (scores > 1 + _ROUNDING)].tolist():
        raise DataError(f"a score is {wrong[0]:g}, which is not from 0 to 1")
    mean, variance, count = _resample(scores, groups, weights, resamples, seed)
    return Estimate(mean, *share_interval(mean, variance, count), len(scores), count)


def share_interval(share: float, variance: float, groups: int) -> tuple[float, float]:
    """Return Wilson's 95% interval of a share.

    Args:
        share: from 0 to 1.
        variance: of the share, which says how many independent trials it is worth. Where it is 0, as all examples are
            right or all are wrong, the share is worth as many trials as there are groups.
        groups: that the variance is of.
    """
    if groups < 2:
        return 0.0, 1.0
    spread = max(0.0, share * (1 - share))
    trials = spread / variance if spread > _ROUNDING and variance else groups
    t = float(stdtrit(groups - 1, (1 + LEVEL) / 2))
    centre = (trials * share + t * t / 2) / (trials + t * t)
    half = t * float(np.sqrt(trials * spread + t * t / 4)) / (trials + t * t)
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def difference(first: Estimate, second: Estimate) -> Estimate:
    """Estimate by how much one estimate is above another of other groups, from the intervals of both."""
    value = first.value - second.value
    low = value - np.hypot(first.value - first.low, second.high - second.value)
    high = value + np.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, float(low), float(high), first.n + second.n, first.groups + second.groups)


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

    The arguments and errors are ``estimate``'s; a group that is in both counts in each as a group of its own.
    ``their_weights`` count as known.
    """
    first = estimate(ours, our_groups, None, resamples, seed)
    return difference(first, estimate(other_scores, their_groups, their_weights, resamples, seed))


def paired_difference(
    ours: ScoreColumn, theirs: ScoreColumn, groups: Column, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """Estimate by how much the mean of N scores is above that of N others of the same examples.

    The arguments and errors are ``estimate``'s; groups are drawn for both at once. The interval is Student's t.
    """
    beyond = np.asarray(ours, np.float64) - theirs
    mean, variance, count = _resample(beyond, groups, None, resamples, seed)
    half = float(stdtrit(count - 1, (1 + LEVEL) / 2) * np.sqrt(variance)) if count > 1 else 2.0
    return Estimate(mean, max(mean - half, -1.0), min(mean + half, 1.0), len(beyond), count)


def coverage_explained(groups: Iterable[int], unit: str = "images") -> str:
    """Say what intervals over so many groups each cover, where any has few; nothing where all have enough."""
    return COVERAGE.format(unit) if any(count < FEW for count in groups) else ""


def by_image(images: Column) -> NDArray[np.int64]:
    """Group N examples by their image; by the first where they have two, as NLVR2's pairs go together.

    Args:
        images: N lists of image keys, the column of an example table.
    """
    return _codes(pc.list_element(one_array(images), 0))


def _resample(
    scores: ScoreColumn, groups: Column | None, weights: ScoreColumn | None, resamples: int, seed: int
) -> tuple[float, float, int]:
    """Return the mean, its variance, and how many groups there are."""
    scores = np.asarray(scores, np.float64)
    n = len(scores)
    weights = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    group = np.arange(len(scores)) if groups is None else _codes(groups)
    if not n == len(weights) == len(group):
        raise DataError(f"{n:,} scores have {len(group):,} groups and {len(weights):,} weights")
    if not np.isfinite(scores).all() or not np.isfinite(weights).all() or (weights < 0).any():
        raise DataError("a score or weight is NaN or infinite, or a weight is negative")
    if not weights.any():
        raise DataError("there are no examples to score")
    if not weights.all():  # a resample of these alone would have no mean
        scores, weights, group = scores[weights > 0], weights[weights > 0], _codes(group[weights > 0])

    sums_G = np.bincount(group, weights * scores) + 1j * np.bincount(group, weights)  # a group's two sums as one number
    total = sums_G.sum()
    mean, count = float(total.real / total.imag), len(sums_G)
    drawn = _draw(sums_G, resamples, np.random.default_rng(seed))
    # Resamples vary by (G - 1) / G of what means do; which is by chance at times less than if groups did not matter.
    variance = float((drawn.real / drawn.imag).var()) * count / max(1, count - 1)
    return mean, max(variance, float((weights**2 * (scores - mean) ** 2).sum() / total.imag**2)), count


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


def _codes(groups: Column) -> NDArray[np.int64]:
    codes = one_array(groups).dictionary_encode().indices
    if codes.null_count:
        raise DataError(f"{codes.null_count:,} of {len(codes):,} examples are in no group")
    numbers: NDArray[np.int64] = codes.to_numpy().astype(np.int64)
    return numbers
