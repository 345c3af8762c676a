"""How often the printed 95% intervals hold the truth, in worlds that are drawn again and again.

``benchmarks/coverage.py`` draws most of the worlds; ``benchmarks/RESULTS.md`` has more of them, and more sizes.
"""

from functools import cache

import numpy as np
import pytest

from benchmarks.coverage import VGC, affinity, change, consistency, coverage, rank
from vlmt_cli.evaluation.bootstrap import Estimate, coverage_explained, difference, share_interval

LEAST, MOST = 0.93, 0.97


@cache
def scores(images, most, mean, worlds=4000):
    """Estimates of questions right or wrong, up to ``most`` of an image; images are easier or harder.

    The variance is that of the formula, which a bootstrap comes near to.
    """
    rng = np.random.default_rng([images, most])
    asked = rng.integers(1, most + 1, (worlds, images))
    right = rng.binomial(asked, rng.beta(4 * mean, 4 * (1 - mean), asked.shape))
    shares = right.sum(1) / asked.sum(1)
    off = right - shares[:, None] * asked
    variances = (off**2).sum(1) * images / (images - 1) / asked.sum(1) ** 2
    variances = np.maximum(variances, shares * (1 - shares) / asked.sum(1))
    return [
        Estimate(share, *share_interval(share, variance, images), most, images)
        for share, variance in zip(shares.tolist(), variances.tolist(), strict=True)
    ]


def held(estimates, truth):
    return np.mean([each.low <= truth <= each.high for each in estimates])


@pytest.mark.parametrize("mean", [0.1, 0.5, 0.7])
@pytest.mark.parametrize("images", [20, 40, 150])
def test_of_a_score(images, mean):
    assert LEAST <= held(scores(images, 9, mean), mean) <= MOST


@pytest.mark.parametrize("mean", [0.02, 0.05, 0.95, 0.98])
@pytest.mark.parametrize(("images", "most"), [(20, 1), (20, 9), (40, 1), (40, 9), (150, 9)])
def test_of_a_score_near_0_or_100_percent(images, most, mean):
    """Few numbers of wrong answers are likely there, and few images have any: no interval covers just 95%."""
    assert LEAST - 0.01 <= held(scores(images, most, mean), mean) <= 0.99


@pytest.mark.parametrize("mean", [0.05, 0.5])
@pytest.mark.parametrize(("images", "most"), [(5, 1), (5, 9), (12, 9), (19, 9)])
def test_few_images_cover_what_is_said_of_them(images, most, mean):
    assert "95 to 100%" in coverage_explained([images])
    assert held(scores(images, most, mean), mean) >= 0.945


def test_what_few_images_cover_is_said_of_few_alone():
    assert coverage_explained([20, 400]) == coverage_explained([]) == ""
    assert "fewer than 20 images" in coverage_explained([400, 19])


@pytest.mark.parametrize("means", [(0.7, 0.5), (0.95, 0.9)])
@pytest.mark.parametrize("images", [(20, 40), (40, 150)])
def test_of_a_difference(images, means):
    parts = [scores(count, 9, mean) for count, mean in zip(images, means, strict=True)]
    assert LEAST <= held(map(difference, *parts), means[0] - means[1]) <= MOST


@pytest.mark.parametrize("skill", ["25%", "80%"])
def test_of_consistency_its_parts_and_models_differences(skill):
    """What is above chance within images errs on the wide side, and near 100% also what is above chance over all."""
    shares = dict(zip(VGC, coverage(consistency(40, skill, of=30_000), 300), strict=True))
    wide = [shares.pop("above chance within images"), shares.pop("above chance")]
    assert all(share >= LEAST for share in wide) and all(LEAST <= share <= MOST + 0.01 for share in shares.values())


@pytest.mark.parametrize("like", [0.0, 0.4])
@pytest.mark.parametrize("measurements", [5, 12])
def test_of_an_affinity(measurements, like):
    assert LEAST <= coverage(affinity(8, measurements, like), 40).mean() <= MOST


@pytest.mark.parametrize(("tasks", "shared"), [(5, 0.9), (8, 0.5)])
def test_of_a_rank_correlation(tasks, shared):
    assert LEAST <= coverage(rank(tasks, shared), 300)[0] <= 0.985


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_over_seeds(seeds):
    shares = coverage(change(seeds), 600)
    assert (shares >= LEAST).all() and (shares <= MOST).all()
