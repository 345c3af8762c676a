"""Intervals against statistics that has a formula, and against drawing groups one by one."""

import numpy as np
import pyarrow as pa
import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.evaluation import bootstrap
from vlmt_cli.evaluation.bootstrap import by_image, estimate, unpaired_difference

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


def test_what_has_no_weight_does_not_count_and_equal_scores_have_no_spread():
    scores, weights = np.array([1.0, 0, 0.5, 0.5]), np.array([0, 0, 1.0, 2])
    result = estimate(scores, weights=weights)
    assert (result.value, result.low, result.high, result.groups) == (0.5, 0.5, 0.5, 2)
    assert estimate(np.ones(1)).low == 1


def test_pairs_of_images_go_by_their_first():
    images = pa.chunked_array([[["nlvr2:dev-1-0-img0", "nlvr2:dev-1-0-img1"]], [["coco:1"], ["nlvr2:dev-1-0-img0"]]])
    assert by_image(images).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "no examples"),
        (([1.0, np.nan],), "NaN or infinite"),
        (([1.0, 0.0], [1]), "2 scores have 1 groups"),
        (([1.0, 0.0], ["a", None]), "1 of 2 examples are in no group"),
        (([1.0], None, [-1.0]), "negative"),
        (([1.0], None, [0.0]), "no examples"),
    ],
)
def test_bad_columns_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        estimate(*arguments)
