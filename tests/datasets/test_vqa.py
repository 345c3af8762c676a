"""VQA v2."""

import json
from collections import Counter

from handmade import official, read, rows, write

from vlmt_cli.datasets.answers import normalise_answer
from vlmt_cli.datasets.source import find, read_json


def test_the_last_val_questions_by_id_are_held_out(tmp_path):
    write(tmp_path, official("vqa"))
    examples = read("vqa", tmp_path, minval=1, min_answer_count=12)
    assert {row["example_id"] for row in rows(examples, "train")} == {"25000", "25001", *map(str, range(9000, 9009))}
    assert rows(examples, "val") == [
        {
            "example_id": "9009",
            "images": ["coco:9"],
            "text": "What is 9009?",
            "answers": ["2"],
            "counts": [10],
            "unanimous": "Two.",
        }
    ]
    assert examples.answers == ["2"]
    assert read("vqa", tmp_path, min_answer_count=13).answers == []


def test_answers_count_as_typed_where_that_is_chosen(tmp_path):
    examples = read("vqa", write(tmp_path, official("vqa")), count_answers="raw")
    assert rows(examples, "val")[0]["answers"] == ["Two."]


def test_the_most_frequent_answer_stands_for_a_right_one_that_is_missing(tmp_path, damage):
    files = official("vqa")
    annotations = files["v2_mscoco_train2014_annotations.json"]["annotations"]
    for each, said in zip(annotations, (["b", "A", "c", "A", "b"], ["c", "b", "b"]), strict=True):
        del each["multiple_choice_answer"]
        each["answers"] = [{"answer": answer} for answer in said]
    examples = read("vqa", write(tmp_path, files), min_answer_count=1)
    assert examples.answers == ["2", "b"]  # of two that are as frequent, the one that was given first
    assert [number for what, number in examples.notes.items() if "without multiple_choice_answer" in what] == [2]
    annotations[1]["answers"] = []
    damage(
        "vqa", files, r"train2014_annotations.json: \$.annotations\[1\]: .* neither multiple_choice_answer nor answers"
    )


def test_test_questions_have_no_answers(tmp_path):
    questions = official("vqa")["v2_OpenEnded_mscoco_val2014_questions.json"]
    examples = read("vqa", write(tmp_path, {"v2_OpenEnded_mscoco_test2015_questions.json": questions}))
    assert [(row["example_id"], row["answers"]) for row in rows(examples, "test")][:2] == [("9009", []), ("9000", [])]
    assert examples.answers is None


def test_test_dev_stands_for_test_where_that_is_missing_and_adds_nothing_to_it(tmp_path):
    questions = official("vqa")["v2_OpenEnded_mscoco_val2014_questions.json"]
    part = {"questions": questions["questions"][:3]}
    examples = read("vqa", write(tmp_path, {"v2_OpenEnded_mscoco_test-dev2015_questions.json": part}))
    assert {name: len(table) for name, table in examples.splits.items()} == {"testdev": 3}
    examples = read("vqa", write(tmp_path, {"v2_OpenEnded_mscoco_test2015_questions.json": questions}))
    assert list(examples.splits) == ["test"]


def test_the_real_vqa(real_data):
    raw = real_data / "raw" / "vqa"
    examples = read("vqa", raw)
    assert {name: len(table) for name, table in examples.splits.items()} == {"train": 20_000}
    known = json.loads((real_data / "vocab" / "lxmert_vqa_trainval_label2ans.json").read_text())
    assert examples.answers and set(examples.answers) <= set(known)

    annotations = read_json(find(raw, "v2_mscoco_train2014_annotations.json"), dict)["annotations"]
    truth = {
        str(each["question_id"]): Counter(normalise_answer(answer["answer"]) for answer in each["answers"])
        for each in annotations
    }
    found = {
        row["example_id"]: dict(zip(row["answers"], row["counts"], strict=True)) for row in rows(examples, "train")
    }
    assert found == truth
