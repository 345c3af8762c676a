"""Conceptual Captions."""

import pytest
from handmade import official, read, rows, write

NAME = "conceptual_captions"
TRAIN = "Train_GCC-training.tsv"


def test_quotation_marks_are_literal_and_keys_of_the_parts_differ(tmp_path):
    examples = read(NAME, write(tmp_path, official(NAME)))
    assert [row["text"] for row in rows(examples, "train")] == ['a "quoted" bus', 'an odd " mark', "world's café"]
    assert [row["images"] for row in rows(examples, "train")] == [["cc:0"], ["cc:1"], ["cc:2"]]
    assert rows(examples, "val") == [{"example_id": "val-0", "images": ["cc:val-0"], "text": "a dog"}]


def test_a_file_beside_it_may_name_the_images(tmp_path):
    examples = read(NAME, write(tmp_path, official(NAME) | {f"{TRAIN}.images.txt": "a1\nb_2\n00000007\n"}))
    assert [row["images"] for row in rows(examples, "train")] == [["cc:a1"], ["cc:b_2"], ["cc:00000007"]]
    assert [row["example_id"] for row in rows(examples, "train")] == ["0", "1", "2"]


BAD = {
    "no tab": ({TRAIN: "a\tb\nc\nd\te\n"}, r"training.tsv: line 2: 0 tabs"),
    "an empty line": ({TRAIN: "a\tb\n\nd\te\n"}, r"training.tsv: line 2: 0 tabs"),
    "two tabs": ({TRAIN: "a\tb\nc\td\te\n"}, r"training.tsv: line 2: 2 tabs"),
    "not text": ({TRAIN: b"\xff\xfe\tb\n"}, r"training.tsv: .*UTF-?8"),
    "an empty file": ({TRAIN: ""}, r"training.tsv: .*mpty"),
    "too few images": ({f"{TRAIN}.images.txt": "1\n"}, r"images.txt: 1 image ids for 3 captions"),
    "an image elsewhere": ({f"{TRAIN}.images.txt": "1\n2\n../3\n"}, r"images.txt: record 2: '../3' is not an image id"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(damage, case):
    change, message = BAD[case]
    damage(NAME, official(NAME) | change, message)


def test_an_empty_line_leaves_a_row_out_and_is_counted(tmp_path):
    examples = read(NAME, write(tmp_path, official(NAME) | {f"{TRAIN}.images.txt": "a1\n\nc3\n"}))
    table = examples.splits["train"]
    assert table["example_id"].to_pylist() == ["0", "2"]
    assert table["images"].to_pylist() == [["cc:a1"], ["cc:c3"]]
    assert examples.notes == {"captions in train without an image, left out": 1}
