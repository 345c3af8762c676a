"""SNLI-VE."""

import pytest
from handmade import VE_PAIR, Lines, read, rows, write

from vlmt_cli.datasets.snli_ve import LABELS


@pytest.mark.parametrize("field", [{"Flikr30kID": "34.jpg"}, {"Flickr30K_ID": "34"}])
def test_both_spellings_of_the_image(tmp_path, field):
    pair = {key: value for key, value in VE_PAIR.items() if key != "Flikr30kID"} | field
    examples = read("snli_ve", write(tmp_path, {"snli_ve_test.jsonl": Lines([pair])}))
    assert rows(examples, "test") == [
        {
            "example_id": "3416050480.jpg#4r1c",
            "images": ["flickr30k:34"],
            "text": "A diner.",
            "label": LABELS.index("contradiction"),
            "premise": "A rider.",
        }
    ]


def test_no_majority_and_no_premise(tmp_path):
    pair = VE_PAIR | {"gold_label": "-", "sentence1": ""}
    examples = read("snli_ve", write(tmp_path, {"snli_ve_dev.jsonl": Lines([pair])}))
    assert [(row["label"], row["premise"]) for row in rows(examples, "val")] == [(-1, None)]
    assert examples.notes == {"gold label '-' in val": 1}


def test_the_real_snli_ve(real_data):
    splits = read("snli_ve", real_data / "raw" / "snli_ve").splits
    assert {name: len(table) for name, table in splits.items()} == {"val": 14_339, "test": 14_740}
