"""What the cleaner takes for a split."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.files import write_parquet
from vlmt_cli.clean.image_lists import image_list
from vlmt_cli.clean.splits import read_split, role_of


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
    split = image_list("detector", "detector", str(path))
    assert (split.ids.to_pylist(), split.images.to_pylist()) == (["vg:1", "vg:2"], [["vg:1"], ["vg:2"]])
    with pytest.raises(UsageError, match="no role 'trained'"):
        image_list("detector", "trained", str(path))


LISTS = {
    "keys.txt": "# my images\ncoco:1\n\nvg:2  # mine\ncoco:1\n",
    "train.txt": "VG_100K_2/2.jpg xml/2.xml\r\nval2014/COCO_val2014_000000000001.jpg 1\r\nocr_vqa/images/x.jpg\r\n",
    "list.json": '[{"image": "coco/000000000001.jpg"}, {"file_name": "vg/VG_100K/2.jpg"}, {"image": "x.jpg"}]',
    "list.jsonl": '{"image": "000000000001.jpg"}\n{"image": "vg/VG_100K/2.jpg"}\n',
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_images_are_read_in_any_form_and_spelling(tmp_path, name):
    (tmp_path / name).write_text(LISTS[name])
    split = image_list("seen", "train", str(tmp_path / name))
    assert sorted(split.ids.to_pylist()) == ["coco:1", "vg:2"]
    assert split.unnamed == LISTS[name].count("x.jpg")


RECORDS = [
    {"id": "a", "image": ["coco/train2017/000000000001.jpg", "vg/VG_100K/2.jpg"], "conversations": []},
    {"id": "b", "conversations": []},
    {"id": "c", "image": "private/1.jpg", "conversations": []},
    {"id": "d", "image": "http://farm1.staticflickr.com/2/555_ab.jpg", "conversations": []},
]


def test_the_examples_of_a_mixture_are_its_records(tmp_path):
    (tmp_path / "mix.json").write_text(json.dumps(RECORDS))
    split = image_list("mix", "train", str(tmp_path / "mix.json"))
    assert split.ids.to_pylist() == ["0", "3"]
    assert split.images.to_pylist() == [["coco:1", "vg:2"], ["flickr:555"]]
    assert (split.unnamed, split.unnamed_examples) == (1, ("private/1.jpg",))
    pq.write_table(pa.table({"image": ["COCO_val2014_000000000007.jpg"] * 2}), tmp_path / "mix.parquet")
    split = image_list("mix", "train", str(tmp_path / "mix*"))
    assert [name.rpartition("/")[2] for name in split.ids.to_pylist()] == [
        "mix.json:0", "mix.json:3", "mix.parquet:0", "mix.parquet:1",
    ]  # fmt: skip


def test_bare_numbers_need_a_source_and_something_must_be_named(tmp_path):
    np.save(tmp_path / "ids.npy", np.array([7, 9]))
    assert image_list("seen", "train", str(tmp_path / "ids.npy"), "flickr30k").ids.to_pylist() == [
        "flickr30k:7",
        "flickr30k:9",
    ]
    with pytest.raises(DataError, match="names no image that is known, such as '7'"):
        image_list("seen", "train", str(tmp_path / "ids.npy"))
    np.save(tmp_path / "evil.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match="is not an array that can be read"):
        image_list("seen", "train", str(tmp_path / "evil.npy"))
    (tmp_path / "empty").write_text("\n# nothing yet\n")
    with pytest.raises(DataError, match="says nothing of images"):
        image_list("seen", "train", str(tmp_path / "empty"))
