"""RefCOCO, RefCOCO+ and RefCOCOg."""

import pytest
from handmade import Pickle, links, official, read, rows, write

from vlmt_cli.base.errors import DataError


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
