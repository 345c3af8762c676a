"""Intervals against statistics that has a formula, and against drawing groups one by one."""

import numpy as np
import pyarrow as pa
import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.evaluation import bootstrap
from vlmt_cli.evaluation.bootstrap import by_image, estimate, paired_difference, share_interval, unpaired_difference

Z = 1.96


def half_width(result):
    return (result.high - result.low) / 2


def test_the_interval_is_that_of_the_formula():
    scores = (np.random.default_rng(0).random(4000) < 0.7).astype(float)
    result = estimate(scores, resamples=4000)
    assert result.value == scores.mean()
    assert half_width(result) == pytest.approx(Z * scores.std() / np.sqrt(4000), rel=0.06)
    assert (result.n, result.groups) == (4000, 4000)
    assert result == estimate(scores, resamples=4000)
    assert result != estimate(scores, resamples=4000, seed=1)


def test_examples_of_one_image_are_no_independent_trials():
    rng = np.random.default_rng(1)
    images = rng.permutation(np.repeat(np.arange(400), 10))
    scores = (rng.random(400) < 0.6)[images].astype(float)  # an image's questions are all right or all wrong
    apart, together = estimate(scores), estimate(scores, [f"coco:{image}" for image in images])
    assert half_width(together) / half_width(apart) == pytest.approx(np.sqrt(10), rel=0.1)
    assert (together.n, together.groups) == (4000, 400)


@pytest.mark.parametrize("at_once", [1 << 20, 1])  # all groups in one block, and in blocks of 64
def test_means_of_resamples_are_spread_as_those_drawn_one_by_one(at_once, monkeypatch):
    monkeypatch.setattr(bootstrap, "_AT_ONCE", at_once)
    rng = np.random.default_rng(2)
    group, scores, weights = rng.integers(0, 300, 2000), rng.random(2000), rng.random(2000)
    members = [np.flatnonzero(group == g) for g in range(300)]
    means = []
    for _ in range(2000):
        drawn = np.concatenate([members[g] for g in rng.integers(0, 300, 300)])
        means.append(np.average(scores[drawn], weights=weights[drawn]))
    result = estimate(scores, group, weights, resamples=8000)
    assert result.value == pytest.approx(np.average(scores, weights=weights))
    assert [result.low, result.high] == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.1 * half_width(result))


def test_a_difference_of_other_examples_adds_both_spreads():
    rng = np.random.default_rng(3)
    theirs, ours = ((rng.random(2000) < share).astype(float) for share in (0.5, 0.52))
    apart = unpaired_difference(ours, theirs)
    assert apart.value == pytest.approx(ours.mean() - theirs.mean())
    assert half_width(apart) == pytest.approx(Z * np.sqrt((ours.var() + theirs.var()) / 2000), rel=0.1)


def test_a_difference_on_the_same_images_is_narrower_by_what_both_share():
    rng = np.random.default_rng(4)
    image = np.repeat(np.arange(500), 4)
    easy = rng.random(500)[image]
    ours, theirs = ((rng.random(2000) < easy).astype(float) for _ in range(2))
    apart, together = unpaired_difference(ours, theirs, image, image), paired_difference(ours, theirs, image)
    means = (ours - theirs).reshape(500, 4).mean(1)
    assert half_width(together) == pytest.approx(Z * means.std() / np.sqrt(500), rel=0.1)
    assert half_width(together) < 0.8 * half_width(apart)
    assert (together.value, together.n, together.groups) == (pytest.approx(means.mean()), 2000, 500)


@pytest.mark.parametrize(
    ("right", "low", "high"),  # statsmodels.stats.proportion.proportion_confint(right, 1000, method="wilson")
    [(500, 0.469055, 0.530945), (990, 0.981697, 0.994560), (1000, 0.996173, 1)],
)
def test_many_independent_trials_have_wilsons_interval(right, low, high):
    share = right / 1000
    assert share_interval(share, share * (1 - share) / 1000, 1000) == pytest.approx((low, high), abs=1e-4)


def test_all_right_is_worth_as_many_trials_as_there_are_images():
    images = np.repeat(np.arange(20), 6)
    result = estimate(np.ones(120), images)
    assert (result.value, result.high) == (1, 1) and result.low == pytest.approx(20 / (20 + 2.093**2), abs=1e-3)
    assert (estimate(np.zeros(120), images).low, estimate(np.zeros(120), images).high) == (
        0,
        pytest.approx(1 - result.low),
    )


def test_what_has_no_weight_does_not_count_and_one_image_says_nothing():
    scores, weights = np.array([1.0, 0, 0.5, 0.5]), np.array([0, 0, 1.0, 2])
    result = estimate(scores, weights=weights)
    assert (result.value, result.groups) == (0.5, 2) and result.low < 0.5 < result.high
    alone = estimate(np.ones(4), ["coco:1"] * 4)
    assert (alone.value, alone.low, alone.high, alone.groups) == (1, 0, 1, 1)


def test_pairs_of_images_go_by_their_first():
    images = pa.chunked_array([[["nlvr2:dev-1-0-img0", "nlvr2:dev-1-0-img1"]], [["coco:1"], ["nlvr2:dev-1-0-img0"]]])
    assert by_image(images).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "no examples"),
        (([1.0, np.nan],), "NaN or infinite"),
        (([0.5, -0.5],), "a score is -0.5, which is not from 0 to 1"),
        (([1.0, 0.0], [1]), "2 scores have 1 groups"),
        (([1.0, 0.0], ["a", None]), "1 of 2 examples are in no group"),
        (([1.0], None, [-1.0]), "negative"),
        (([1.0], None, [0.0]), "no examples"),
    ],
)
def test_bad_columns_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        estimate(*arguments)
