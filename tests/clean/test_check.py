"""The check finds what a split that was made without knowing better lets through."""

import pyarrow as pa
import pytest
from clean.worlds import World

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.identity import LINKS
from vlmt_cli.clean.check import find_leaks, kept_examples, read_keep
from vlmt_cli.clean.overlap import compare_splits
from vlmt_cli.clean.removal import keep_table, remove_test_images

WORLD = World(
    {
        ("vqa", "train", "train"): [["coco:1"], ["coco:2"]],
        ("visual7w", "test", "test"): [["vg:7"]],
    },
    [("vg:7", "coco:2", "crosswalk")],
)


def test_a_crosswalk_entry_that_was_missing_when_cleaning_shows_when_checking():
    splits = WORLD.splits()
    blind = remove_test_images(compare_splits(splits, LINKS.empty_table()), "strict")
    assert all(kept.all() for kept in blind.kept)
    count, leaks = find_leaks(compare_splits(splits, WORLD.links_table()), blind.kept, "strict")
    assert count == 1
    assert vars(leaks[0]) == {
        "dataset": "vqa",
        "split": "train",
        "example_id": "1",
        "image": "coco:2",
        "test_set": "visual7w",
        "test_image": "vg:7",
    }


def test_kept_rows_come_back_from_the_table():
    splits = WORLD.splits()
    removal = remove_test_images(compare_splits(splits, WORLD.links_table()), "strict")
    keep = keep_table(removal)
    for split, kept in zip(splits, removal.kept, strict=True):
        assert kept_examples(keep, split, "keep.parquet").tolist() == kept.tolist()


def test_a_split_of_other_examples_is_refused():
    keep = keep_table(remove_test_images(compare_splits(WORLD.splits(), LINKS.empty_table()), "strict"))
    other = WORLD.splits()[0]
    renamed = type(other)(other.dataset, other.name, other.role, pa.array(["1", "0"]), other.images)
    with pytest.raises(DataError, match="made of other examples of vqa train"):
        kept_examples(keep, renamed, "keep.parquet")


def test_no_split_and_a_damaged_one_are_one_line(tmp_path):
    with pytest.raises(DataError, match="there is no clean split"):
        read_keep(tmp_path / "keep.parquet")
    (tmp_path / "keep.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(DataError, match="cannot be read") as caught:
        read_keep(tmp_path / "keep.parquet")
    assert "\n" not in str(caught.value)
