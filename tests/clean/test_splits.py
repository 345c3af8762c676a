"""What the cleaner takes for a split."""

import pyarrow as pa
import pytest

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.files import write_parquet
from vlmt_cli.clean.splits import image_list, read_split, role_of


@pytest.mark.parametrize(
    ("name", "role"),
    [("train", "train"), ("val", "val"), ("test", "test"), ("testA", "test"), ("testB", "test"), ("testdev", "test")],
)
def test_every_test_set_has_the_role_test(name, role):
    assert role_of(name) == role


def test_an_example_without_an_image_is_named(tmp_path):
    table = pa.table({"example_id": ["a", "b"], "images": pa.array([["coco:1"], []], pa.list_(pa.string()))})
    write_parquet(tmp_path / "train.parquet", table)
    with pytest.raises(DataError, match=r"train\.parquet: b: the example shows no image"):
        read_split("vqa", "train", tmp_path / "train.parquet")


def test_a_list_of_images_is_a_split_with_an_example_an_image(tmp_path):
    path = tmp_path / "seen.txt"
    path.write_text("vg:1\nvg:2\n")
    split = image_list("detector", "detector", path)
    assert (split.ids.to_pylist(), split.images.to_pylist()) == (["vg:1", "vg:2"], [["vg:1"], ["vg:2"]])
    with pytest.raises(UsageError, match="no role 'trained'"):
        image_list("detector", "trained", path)
