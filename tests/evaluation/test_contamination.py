"""Seen and unseen, against comparing sets of hand-made images."""

import numpy as np
import pyarrow as pa
import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.identity import LINKS
from vlmt_cli.evaluation.contamination import contrast, seen_in_training

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
