"""The sizes stand to each other as in the paper's table 8, and nonsense is refused."""

from dataclasses import asdict

import pytest

from vlmt_cli.miniworld.plan import make_plan
from vlmt_cli.miniworld.sizes import Sizes

TABLE_8 = {
    "vqa": 655_111, "vg_qa": 1_437_931, "gqa": 1_072_062, "coco": 566_747, "flickr30k": 145_000, "refcoco": 120_624,
    "refcoco_plus": 120_191, "refcocog": 80_512, "visual7w": 93_813, "guesswhat": 113_221, "nlvr2": 86_373,
    "snli_ve": 529_527,
}  # fmt: skip


def test_defaults_are_table_8_at_one_two_hundredth_and_two_at_one_fiftieth():
    for name, paper in TABLE_8.items():
        part = 50 if name in ("guesswhat", "nlvr2") else 200
        assert getattr(Sizes(), name) == pytest.approx(paper / part, abs=2), name
    assert 27_000 < sum(getattr(Sizes(), name) for name in TABLE_8) < 29_000


@pytest.mark.parametrize("factor", [0.02, 0.05, 0.3])
@pytest.mark.parametrize("seed", [1, 2])
def test_scaled_worlds_fit_together(factor, seed):
    plan = make_plan(Sizes().scaled(factor), seed)
    for dataset, splits in plan.splits.items():
        assert all(splits.values()), dataset
        everyone = [photo for photos in splits.values() for photo in photos]
        # No photo is in two splits of one dataset, but NLVR2's that only their address gives away.
        assert len(everyone) == len(set(everyone)) or dataset == "nlvr2"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"vqa": 0}, "Sizes.vqa must be a whole number of at least 15, not 0"),
        ({"coco": 100}, "at least 150, not 100"),
        ({"nlvr2": 40.0}, "whole number"),
        ({"heldout": 3}, "Sizes.heldout"),
        ({"refcoco": 9_000}, "make coco larger"),
    ],
)
def test_nonsense_is_refused(change, says):
    with pytest.raises(ValueError, match=says):
        Sizes(**{**asdict(Sizes()), **change})


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf")])
def test_no_world_of_no_size(factor):
    with pytest.raises(ValueError, match="cannot be scaled"):
        Sizes().scaled(factor)
