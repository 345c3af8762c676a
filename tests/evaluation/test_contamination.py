"""Seen and unseen, against comparing sets of hand-made images."""

import numpy as np
import pyarrow as pa
import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.identity import LINKS
from vlmt_cli.evaluation.contamination import contrast, controlled, in_words, seen_in_training

LINKED = pa.table(
    {
        "image": ["vg:7", "vg:8", "nlvr2:dev-1-0-img1", "nlvr2:train-5-0-img0"],
        "alias": ["coco:70", "flickr:555", "url:https://a", "url:https://a"],
        "relation": ["crosswalk", "flickr", "url", "url"],
    },
    schema=LINKS,
)
IMAGES = pa.array(
    [
        ["coco:1"],  # by its name
        ["coco:7"],  # vg:7 is another image
        ["coco:70"],  # Visual Genome's 7
        ["flickr30k:555"],  # the photo of vg:8
        ["nlvr2:dev-1-0-img0", "nlvr2:dev-1-0-img1"],  # the second one, by its address
        ["vg:70"],
    ]
)
TRAINING = {"coco:1", "vg:7", "vg:8", "nlvr2:train-5-0-img0", "cc:12"}


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("id", [1, 0, 0, 0, 0, 0]),
        ("crosswalk", [1, 0, 1, 0, 0, 0]),
        ("flickr", [1, 0, 1, 1, 0, 0]),
        ("perceptual", [1, 0, 1, 1, 1, 0]),
    ],
)
def test_an_image_is_seen_under_any_of_its_names(how, expected):
    assert seen_in_training(IMAGES, TRAINING, LINKED, how).tolist() == [bool(seen) for seen in expected]
    columns = pa.chunked_array([IMAGES.slice(0, 2), IMAGES.slice(2)]), pa.array(sorted(TRAINING) * 2)
    assert seen_in_training(*columns, LINKED, how).tolist() == [bool(seen) for seen in expected]


def test_nothing_was_seen_by_a_model_without_training():
    assert not seen_in_training(IMAGES, [], LINKED).any()
    assert len(seen_in_training(IMAGES.slice(0, 0), TRAINING, LINKS.empty_table())) == 0


def test_a_leak_shows_in_the_difference():
    rng = np.random.default_rng(0)
    images, seen = np.repeat(np.arange(500), 4), np.repeat(np.arange(500) < 100, 4)
    leaky = (rng.random(2000) < np.where(seen, 0.9, 0.6)).astype(float)
    result = contrast(leaky, seen, images)
    assert (result.seen.value, result.unseen.value) == (leaky[seen].mean(), leaky[~seen].mean())
    assert (result.seen.n, result.seen.groups, result.unseen.groups) == (400, 100, 400)
    assert result.difference.value == pytest.approx(leaky[seen].mean() - leaky[~seen].mean())
    assert 0.2 < result.difference.low < 0.26 < result.difference.high < 0.31
    honest = (rng.random(2000) < 0.6).astype(float)
    assert contrast(honest, seen, images).difference.low < 0 < contrast(honest, seen, images).difference.high


def test_a_part_without_examples_has_no_score():
    clean = contrast(np.ones(3), np.zeros(3, bool))
    assert (clean.seen, clean.difference, clean.unseen.value) == (None, None, 1)
    assert contrast(np.ones(3), np.ones(3, bool)).unseen is None
    with pytest.raises(DataError, match="3 scores have 3 groups, and 2 images"):
        contrast(np.ones(3), np.ones(2, bool))


def planted(seed, leak, easier=0.05, images=150, unseen=50, each=5):
    """Two models on the same examples: seen images are easier for both, and one gains ``leak`` where it saw them."""
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(images + unseen), each)
    seen = image < images
    hard = np.clip(rng.normal(0.55, 0.15, images + unseen), 0.05, 0.8)[image] + easier * seen
    ours, control = (rng.random((2, len(image))) < np.stack([hard + leak * seen, hard])).astype(float)
    return ours, control, seen, image


@pytest.mark.parametrize("leak", [0.0, 0.02, 0.1])
def test_difference_in_differences_covers_what_was_planted_and_the_plain_difference_does_not(leak):
    beyond, plain = [], []
    for seed in range(1000):
        ours, control, seen, image = planted(seed, leak)
        result = controlled("clean", ours, control, seen, image, resamples=2).in_differences  # it resamples nothing
        beyond.append(result.low <= leak <= result.high)
        if seed < 200:
            alone = contrast(ours, seen, image, resamples=100, seed=seed).difference
            plain.append(alone.low <= leak <= alone.high)
    assert 0.93 <= np.mean(beyond) <= 0.97  # where nothing was planted, so many do not exclude 0
    assert np.mean(plain) < 0.85


def test_a_control_is_compared_on_the_examples_that_it_has():
    ours, control, seen, image = planted(0, 0.1)
    control[:10] = np.nan
    result = controlled("clean", ours, control, seen, image)
    both = ~np.isnan(control)
    parts = [both & seen, both & ~seen]
    means = [[scores[part].mean() for part in parts] for scores in (ours, control)]
    assert (result.seen.value, result.unseen.value) == pytest.approx(means[1])
    assert result.in_differences.value == pytest.approx(means[0][0] - means[0][1] - means[1][0] + means[1][1])
    assert result.without == 10 and result.seen.n == parts[0].sum()
    assert controlled("clean", ours, np.where(seen, control, np.nan), seen, image) is None


def test_words_claim_no_more_than_the_figures_do():
    ours, control, seen, image = planted(0, 0.0)
    parts = contrast(ours, seen, image)
    assert "may be easier for any model" in in_words(parts, None)
    assert "may be chance" in in_words(parts, controlled("clean", ours, control, seen, image))
    leaky, control, seen, image = planted(1, 0.2)
    beyond = controlled("clean", leaky, control, seen, image)
    assert "why it does better" in in_words(contrast(leaky, seen, image), beyond)
    few = image < 155  # five unseen images
    parts = contrast(ours[few], seen[few], image[few])
    assert in_words(parts, None) == "Too few unseen images (5) to conclude anything."
    assert "nothing to compare" in in_words(contrast(ours, np.ones(len(ours), bool), image), None)
    partial = np.where(few, control, np.nan)  # the control has scores of five unseen images alone
    beside = controlled("clean", ours, partial, seen, image)
    assert in_words(contrast(ours, seen, image), beside) == "Too few unseen images (5) to conclude anything."
