"""Boxes, texts and files that no official release has: each is counted, and treated by its rule."""

import copy

import pyarrow as pa
import pytest
from handmade import GAME_OF_THE_OTHER_RELEASE, INSTANCES, Lines, official, read, rows, write

from vlmt_cli.datasets.tables import CLIPPED, DROPPED, RETRIEVAL, TARGET_DROPPED, Examples
from vlmt_cli.datasets.texts import LONGEST, tidy

IMPOSSIBLE = {
    "infinite": [1e39, 1, 5, 5],
    "beyond any float": [1, 1, 1e300, 5],
    "empty": [5, 5, 0, 9],
    "inverted": [9, 9, -4, 5],
    "left of the image": [-20, 5, 10, 10],
    "right of the image": [10_000, 5, 10, 10],
}
"""As x, y, width, height."""


def refcoco(boxes):
    """The official files with other boxes, by annotation id."""
    instances = copy.deepcopy(INSTANCES)
    instances["images"] = [image | {"width": 640, "height": 480} for image in instances["images"]]
    for each in instances["annotations"]:
        each["bbox"] = boxes.get(each["id"], each["bbox"])
    return official("refcoco") | {"instances.json": instances}


def guesswhat(boxes):
    game = copy.deepcopy(GAME_OF_THE_OTHER_RELEASE)
    game["image"] |= {"width": 640, "height": 480}
    for each in game["objects"]:
        each["bbox"] = boxes.get(each["id"], each["bbox"])
    return {"guesswhat.train.jsonl": Lines([game])}


def all_rows(examples):
    return {row["example_id"]: row for split in examples.splits for row in rows(examples, split)}


@pytest.mark.parametrize("case", IMPOSSIBLE)
@pytest.mark.parametrize(("name", "files"), [("refcoco", refcoco), ("guesswhat", guesswhat)])
def test_an_impossible_box_is_lost_alone_and_no_image_with_it(tmp_path, name, files, case):
    sound = all_rows(read(name, write(tmp_path / "sound", files({}))))
    example = next(row for row in sound.values() if len(row["candidates"]) > 1)
    ids = [11, 12] if name == "refcoco" else [each["id"] for each in GAME_OF_THE_OTHER_RELEASE["objects"]]
    times_lost = 0
    for number in ids:
        found = read(name, write(tmp_path / str(number), files({number: IMPOSSIBLE[case]})))
        after = all_rows(found)
        assert found.notes[DROPPED] == 1
        assert after.keys() == sound.keys()
        assert found.notes.get(TARGET_DROPPED, 0) == sum(row["target"] is None for row in after.values())
        for row in after.values():
            before = sound[row["example_id"]]
            assert row["images"] == before["images"]
            assert all(box in before["candidates"] for box in row["candidates"])
            if row["target"] is None:
                assert row["box"] is None
            else:
                assert row["candidates"][row["target"]] == row["box"] == before["box"]
        assert len(after[example["example_id"]]["candidates"]) == len(example["candidates"]) - 1
        times_lost += after[example["example_id"]]["target"] is None
    assert times_lost == 1 < len(ids)


def test_a_box_that_crosses_the_border_is_clipped(tmp_path):
    found = read("refcoco", write(tmp_path, refcoco({11: [-5, 470, 50, 50]})))
    assert found.notes == {CLIPPED: 1}
    assert [0, 470, 45, 480] in [row["box"] for split in found.splits for row in rows(found, split)]


def test_texts_that_no_file_has_are_counted(tmp_path):
    texts = ["a dog", " ", "a\0b\x1b", "x" * (LONGEST + 5), "é" * (LONGEST - 1)]
    table = pa.table([[str(n) for n in range(5)], [["coco:1"]] * 5, texts], schema=RETRIEVAL)
    examples = Examples({"train": table})
    tidy(examples)
    assert examples.splits["train"]["text"].to_pylist() == [*texts[:2], "a b ", "x" * LONGEST, texts[4]]
    assert list(examples.notes.values()) == [1, 1, 1]


def test_a_header_row_shifts_no_key(tmp_path):
    for header in ("caption\turl", "Caption\tURL", '"text"\t"image url"'):
        tsv = f"{header}\na dog\thttp://a.org/1\na cat\thttp://a.org/2\n"
        files = {"Train_GCC-training.tsv": tsv, "Train_GCC-training.tsv.images.txt": "header\nx1\nx2\n"}
        found = read("conceptual_captions", write(tmp_path / header[:2], {"Train_GCC-training.tsv": tsv}))
        assert [(row["images"], row["text"]) for row in rows(found, "train")] == [
            (["cc:0"], "a dog"),
            (["cc:1"], "a cat"),
        ]
        assert any("header row in train, skipped" in note for note in found.notes)
        found = read("conceptual_captions", write(tmp_path / header[:2], files))
        assert [row["images"] for row in rows(found, "train")] == [["cc:x1"], ["cc:x2"]]


def test_sentences_without_phrases_are_counted(tmp_path):
    files = official("flickr30k_entities")
    name = next(name for name in files if name.startswith("Sentences/10"))
    found = read("flickr30k_entities", write(tmp_path / "emptied", files | {name: ""}))
    assert found.notes["images in train whose sentences have no phrase"] == 1
    garbled = files[name].replace("[/EN#", "[EN#", 1)
    found = read("flickr30k_entities", write(tmp_path / "garbled", files | {name: garbled}))
    assert found.notes["captions in train with a bracket that belongs to no phrase"] == 1


def test_older_forms_are_read(tmp_path):
    qas = [{"id": 5, "image": 1, "question": "What?", "answer": "Green."}]
    found = read("vg_qa", write(tmp_path, {"question_answers.json": [{"id": 1, "qas": qas}]}))
    assert rows(found, "train")[0]["images"] == ["vg:1"]
