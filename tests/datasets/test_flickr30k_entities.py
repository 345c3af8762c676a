"""Flickr30k Entities."""

import pytest
from handmade import annotation, entity, official, read, rows, write

NAME = "flickr30k_entities"


def test_phrases_with_a_box_are_examples(tmp_path):
    examples = read(NAME, write(tmp_path, official(NAME)))
    girl, hair, her, other = rows(examples, "train")
    assert girl == {
        "example_id": "10#0#0",
        "images": ["flickr30k:10"],
        "text": "A girl",
        "box": [0, 0, 19, 8],  # the union of two, and counted from 0
        "candidates": [[0, 0, 19, 8], [0, 0, 8, 8]],  # chains 5 and 9
        "target": 0,
        "category": "people",
    }
    assert hair == girl | {
        "example_id": "10#0#1", "text": "long hair", "box": [0, 0, 8, 8], "target": 1, "category": "clothing/bodyparts"
    }  # fmt: skip
    assert her == girl | {"example_id": "10#1#1", "text": "her"}
    assert (other["images"], other["candidates"], other["target"]) == (["flickr30k:11"], [[1, 1, 2, 2]], 0)
    assert examples.notes == {"phrases without a box in train, left out": 2}


@pytest.mark.parametrize(("box", "found"), [("union", [0, 0, 19, 8]), ("first", [0, 0, 8, 8])])
def test_the_box_of_a_chain_with_several_is_a_choice(tmp_path, box, found):
    row = rows(read(NAME, write(tmp_path, official(NAME)), box=box), "train")[0]
    assert row["box"] == row["candidates"][row["target"]] == found


def test_images_without_any_box(tmp_path):
    files = {
        "val.txt": "10\n",
        "Sentences/10.txt": "[/EN#5/people A girl]\n",
        "Annotations/10.xml": annotation(entity(5)),
    }
    examples = read(NAME, write(tmp_path, files))
    assert rows(examples, "val") == []


BAD = {
    "a phrase that does not end": ({"Sentences/11.txt": "fine\n[/EN#5/other A box\n"}, r"Sentences/11.txt: line 2"),
    "a cut file": ({"Annotations/11.xml": annotation()[:-5]}, r"Annotations/11.xml: is not an intact annotation"),
    "a corner is missing": (
        {"Annotations/11.xml": annotation(entity(5, box=(1, 2, 3)))}, r"Annotations/11.xml: is not an intact .*ymax"),
    "a corner is text": (
        {"Annotations/11.xml": annotation(entity(5, box=(1, 2, 3, "x")))}, r"11.xml: is not an intact .*'x'"),
    "an entity": (
        {"Annotations/11.xml": '<!DOCTYPE a [<!ENTITY e "1">]>' + annotation(entity(5, box=("&e;", 2, 3, 4)))},
        r"Annotations/11.xml: .*DOCTYPE"),
    "not text": ({"Sentences/11.txt": b"\xff\xfe"}, r"Sentences/11.txt: cannot be read \(not UTF-8 text\)"),
    "a list that leads elsewhere": ({"train.txt": "10\n../11\n"}, r"train.txt: record 1: '../11' is not an image id"),
    "an image twice": ({"train.txt": "10\n11\n10\n"}, r"train.txt: id '10' occurs twice \(records 0 and 2\)"),
    "an image without files": ({"train.txt": "10\n12\n"}, r"Sentences/12.txt: cannot be read \(No such file"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(tmp_path, damage, case):
    change, message = BAD[case]
    damage(NAME, official(NAME) | change, message)
