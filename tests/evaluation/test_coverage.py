"""How often the printed 95% intervals hold the truth, in worlds that are drawn again and again."""

import numpy as np
import pytest

from vlmt_cli.analysis.consistency.pairs import pair_up
from vlmt_cli.analysis.consistency.vgc import Outcome, measure_vgc
from vlmt_cli.analysis.relations.affinity import mean_interval
from vlmt_cli.analysis.relations.seeds import OverSeeds
from vlmt_cli.evaluation.bootstrap import coverage_explained, estimate, unpaired_difference
from vlmt_cli.evaluation.contamination import controlled

WORLDS = 600
LEAST, MOST = 0.93, 0.97


def share(holds):
    """Return how often the interval holds the truth, in ``WORLDS`` worlds, each with its generator."""
    return np.mean([holds(np.random.default_rng([7, world])) for world in range(WORLDS)])


def drawn(rng, groups, mean):
    """Scores of images with 3 to 12 questions each; an image's questions are easy or hard together."""
    image = np.repeat(np.arange(groups), rng.integers(3, 13, groups))
    return mean + 0.1 * rng.standard_normal(groups)[image] + 0.15 * rng.standard_normal(len(image)), image


@pytest.mark.parametrize("groups", [20, 60, 150])
def test_of_a_score(groups):
    def holds(rng):
        result = estimate(*drawn(rng, groups, 0.5), resamples=400)
        return result.low <= 0.5 <= result.high

    assert LEAST <= share(holds) <= MOST


def binary(rng, groups, mean, most):
    """Questions that are right or wrong, up to ``most`` of an image; images are easier or harder."""
    image = np.repeat(np.arange(groups), rng.integers(1, most + 1, groups))
    return (rng.random(len(image)) < rng.beta(4 * mean, 4 * (1 - mean), groups)[image]).astype(float), image


@pytest.mark.parametrize("mean", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("most", [1, 9])
@pytest.mark.parametrize("groups", [5, 12, 19])
def test_few_images_cover_what_is_said_of_them(groups, most, mean):
    def holds(rng):
        result = estimate(*binary(rng, groups, mean, most), resamples=400)
        return result.low <= mean <= result.high

    assert "80 to 97%" in coverage_explained([groups])
    assert 0.79 <= share(holds) <= 0.98


def test_what_few_images_cover_is_said_of_few_alone():
    assert coverage_explained([20, 400]) == coverage_explained([]) == ""
    assert "fewer than 20 images" in coverage_explained([400, 19])


@pytest.mark.parametrize(("first", "second"), [(20, 30), (120, 150)])
def test_of_a_difference(first, second):
    def holds(rng):
        (ours, group), (other, other_group) = drawn(rng, first, 0.6), drawn(rng, second, 0.5)
        result = unpaired_difference(ours, other, group, other_group, resamples=400)
        return result.low <= 0.1 <= result.high

    assert LEAST <= share(holds) <= MOST


def test_of_a_difference_in_differences():
    def holds(rng):
        clean, image = drawn(rng, 60, 0.5)
        seen = image < 35
        leaky = clean + 0.1 * seen + 0.1 * rng.standard_normal(60)[image] + 0.1 * rng.standard_normal(len(image))
        excess = controlled("clean", leaky, clean, seen, image, resamples=400).in_differences
        return excess.low <= 0.1 <= excess.high

    assert LEAST <= share(holds) <= MOST


def consistency(rng, images, resamples=2):
    """Measure a model on images with two questions and two expressions each; half of the pairs share a word."""
    image, easy = np.repeat(np.arange(images), 2), rng.random(images).repeat(2)
    words = [[{"dog": "noun"}, {"cat": "noun"}][text % 2] for text in range(2 * images)]
    pairs = pair_up([f"coco:{i}" for i in image], words, [f"coco:{i}" for i in image], words)
    right, located = rng.random((2, 2 * images)) < 0.3 + 0.5 * easy
    return measure_vgc(pairs, Outcome(right.astype(float), located), words=0, resamples=resamples)


def parts_of(result):
    weighted = result.weighted
    return [weighted.both, weighted.excess, weighted.excess_within, result.by_overlap[0].both]


def test_of_consistency_its_excess_over_chance_and_its_control():
    truth = [part.value for part in parts_of(consistency(np.random.default_rng(1), 60_000))]
    hits = np.zeros(4)
    worlds = 300
    for world in range(worlds):
        parts = parts_of(consistency(np.random.default_rng([8, world]), 30, 300))
        hits += [part.low <= value <= part.high for part, value in zip(parts, truth, strict=True)]
    assert (hits / worlds >= LEAST - 0.01).all() and (hits / worlds <= MOST + 0.01).all()


def test_no_share_is_below_zero():
    parts = [consistency(np.random.default_rng([9, world]), 3, 50).weighted.both for world in range(30)]
    assert all(0 <= part.low <= part.high <= 1 for part in parts)


@pytest.mark.parametrize("like", [0.0, 0.4])
@pytest.mark.parametrize("measurements", [5, 12, 40])
def test_of_an_affinity(measurements, like):
    """A measurement is ``like`` times the one before, and something new."""
    rng = np.random.default_rng(9)
    tasks, hits = 10, []
    for _ in range(40):
        values = [rng.standard_normal((tasks, tasks))]
        for _ in range(measurements - 1):
            values.append(like * values[-1] + np.sqrt(1 - like**2) * rng.standard_normal((tasks, tasks)))
        mean, half = mean_interval(np.array(values))
        hits.append(abs(mean) <= half)
    assert LEAST <= np.mean(hits) <= MOST


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_of_a_mean_over_seeds(seeds):
    def holds(rng):
        low, high = OverSeeds(dict(enumerate(rng.standard_normal(seeds)))).interval
        return low <= 0 <= high

    assert LEAST <= share(holds) <= MOST
