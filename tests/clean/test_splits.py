"""What the cleaner takes for a split."""

import numpy as np
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


LISTS = {
    "keys.txt": "# my images\ncoco:1\n\nvg:2  # mine\ncoco:1\n",
    "train.txt": "VG_100K_2/2.jpg xml/2.xml\r\nval2014/COCO_val2014_000000000001.jpg 1\r\nocr_vqa/images/x.jpg\r\n",
    "list.json": '[{"image": "coco/000000000001.jpg"}, {"file_name": "vg/VG_100K/2.jpg"}, {"image": "x.jpg"}]',
    "list.jsonl": '{"image": "000000000001.jpg"}\n{"image": "vg/VG_100K/2.jpg"}\n',
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_images_are_read_in_any_form_and_spelling(tmp_path, name):
    (tmp_path / name).write_text(LISTS[name])
    split = image_list("seen", "train", tmp_path / name)
    assert sorted(split.ids.to_pylist()) == ["coco:1", "vg:2"]
    assert split.unnamed == LISTS[name].count("x.jpg")


def test_bare_numbers_need_a_source_and_something_must_be_named(tmp_path):
    np.save(tmp_path / "ids.npy", np.array([7, 9]))
    assert image_list("seen", "train", tmp_path / "ids.npy", "flickr30k").ids.to_pylist() == [
        "flickr30k:7",
        "flickr30k:9",
    ]
    with pytest.raises(DataError, match="names no image that is known, such as '7'"):
        image_list("seen", "train", tmp_path / "ids.npy")
    np.save(tmp_path / "evil.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match="is not a list of ids"):
        image_list("seen", "train", tmp_path / "evil.npy")
    (tmp_path / "empty").write_text("\n# nothing yet\n")
    with pytest.raises(DataError, match="names no image"):
        image_list("seen", "train", tmp_path / "empty")
