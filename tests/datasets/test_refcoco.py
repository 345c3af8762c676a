"""RefCOCO, RefCOCO+ and RefCOCOg."""

import numpy as np
import pyarrow as pa
import pytest
from handmade import Pickle, links, official, read, rows, write

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.refcoco import image_sizes, objects_alike


def test_each_sentence_is_an_example_among_all_objects_of_its_image(tmp_path):
    examples = read("refcoco", write(tmp_path, official("refcoco")))
    assert list(examples.splits) == ["train", "val", "testA"]
    lady, woman = rows(examples, "train")
    assert lady == {
        "example_id": "0",
        "images": ["coco:581857"],
        "text": "the lady",
        "box": [5, 5, 10, 10],
        "candidates": [[1, 2, 4, 6], [5, 5, 10, 10]],  # in the order of the annotations
        "target": 1,
        "category": "person",
    }
    assert woman == lady | {"example_id": "1", "text": "woman"}  # raw, where sent is missing
    (man,) = rows(examples, "testA")
    assert (man["images"], man["candidates"], man["target"]) == (["coco:9"], [[0.5, 0.5, 10.5, 10.5]], 0)


def test_sizes_of_images_and_objects_of_one_category_are_looked_up(tmp_path):
    files = official("refcoco")
    files["instances.json"]["images"][0] |= {"width": 640, "height": 480}
    write(tmp_path, files)
    known = files["instances.json"]["images"][0]["id"]
    keys = pa.array([f"coco:{known}", "coco:581857", "coco:9", "coco:77"])
    sizes = image_sizes(tmp_path, keys)
    assert sizes[0].tolist() == [640, 480] and np.isnan(sizes[3]).all()
    classes = {each["id"]: each["name"] for each in files["instances.json"]["categories"]}
    of = [(each["image_id"], classes[each["category_id"]]) for each in files["instances.json"]["annotations"]]
    counted = objects_alike(tmp_path, keys.slice(1), pa.array(["person", "person", "person"]))
    assert counted.tolist() == [of.count((581857, "person")), of.count((9, "person")), 0]
    assert image_sizes(tmp_path / "none", keys) is None and objects_alike(tmp_path / "none", keys, keys) is None


def test_flickr_addresses_of_the_images_become_links(tmp_path):
    examples = read("refcoco", write(tmp_path, official("refcoco")))
    assert links(examples) == [("coco:581857", "flickr:8119368305")]


def test_the_split_of_refcocog_is_a_choice(tmp_path):
    write(tmp_path, official("refcocog"))
    assert list(read("refcocog", tmp_path).splits) == ["val"]
    assert list(read("refcocog", tmp_path, split_by="google").splits) == ["train"]
    umd = Pickle(ref | {"split": "test"} for ref in official("refcocog")["refs(umd).p"])
    write(tmp_path, {"refs(umd).p": umd})  # on images of google's train
    assert {name: len(part) for name, part in read("refcocog", tmp_path, split_by="google").splits.items()} == {
        "train": 2,
        "test-umd": 1,
    }
    (tmp_path / "refs(google).p").unlink()
    with pytest.raises(DataError, match=r"there is no refs\(google\)\.p.*refcocog\.split_by"):
        read("refcocog", tmp_path, split_by="google")
