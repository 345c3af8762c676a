"""Real models' answers, with the traps that their files hold; figures are counted here apart from the program."""

import gzip
import json

import numpy as np
import pytest

from vlmt_cli.evaluation.answers.report import notes_of
from vlmt_cli.evaluation.answers.score import Asked, score_files
from vlmt_cli.evaluation.answers.unit import CIRCULAR


@pytest.fixture(scope="module")
def folder(real_data):
    return real_data / "predictions"


def records(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_pope_by_category_and_by_coco_year(folder):
    llava = folder / "llava"
    labels = [llava / f"pope_labels_{category}.json.gz" for category in ("adversarial", "popular", "random")]
    questions = llava / "pope__llava_pope_test.jsonl.gz"
    answers = llava / "pope__answers__llava-v1.5-13b.jsonl.gz"
    asked = Asked("pope", tuple(labels), questions, trained_on="coco-train2017", data=folder / "nowhere", resamples=200)
    [scored] = score_files([answers], asked)

    label_of = {
        (path.name.split("_")[2].split(".")[0], each["image"], each["text"].split("\n")[0]): each["label"]
        for path in labels
        for each in records(path)
    }
    right = {}
    for question, answer in zip(records(questions), records(answers), strict=True):
        key = question["category"], question["image"], question["text"].split("\n")[0]
        if key in label_of:
            words = answer["text"].split(".")[0].replace(",", "").split(" ")
            says = "no" if {"No", "not", "no"} & set(words) else "yes"
            right.setdefault(key[0], []).append(says == label_of[key])
    report = scored.report
    assert (report.join.joined, report.join.unjoined, report.join.by) == (8664, 246, "category, image and question")
    assert {name: (each["accuracy"].n, each["accuracy"].value) for name, each in report.categories.items()} == {
        name: (len(each), pytest.approx(np.mean(each))) for name, each in right.items()
    }
    parts = report.task.contamination
    assert (report.training.seen, report.training.unseen, report.training.unknown) == (426, 74, 0)
    assert parts.seen.n + parts.unseen.n == 8664
    assert parts.difference.low < parts.seen.value - parts.unseen.value < parts.difference.high
    alone = score_files([answers], Asked("pope", (labels[1],), questions, data=folder / "nowhere", resamples=10))[
        0
    ].report
    assert alone.task.score.value == report.categories["popular"]["accuracy"].value
    assert (alone.join.joined, alone.join.elsewhere) == (2956, 5910)
    said = " ".join(notes_of(report))
    assert "This is a proxy: it supposes that training saw COCO's train2017" in said
    assert "without a control (--control FILE" in said


def test_ids_that_are_doubled_join_with_their_question(folder):
    rows = folder / "llava" / "MME__llava_mme.jsonl.gz"
    [scored] = score_files([folder / "llava" / "MME__answers__llava-v1.5-13b.jsonl.gz"], Asked("mme", (rows,)))
    join = scored.report.join
    assert (join.joined, join.unjoined, join.doubled, join.by) == (2374, 0, 0, "question id and text")
    assert scored.report.task is None and "nothing to score" in " ".join(notes_of(scored.report))
    assert "To score them, give --rows lmms-lab/MME's Parquet" in " ".join(notes_of(scored.report))


def test_gqa_joins_with_all_questions_of_testdev(folder):
    rows = folder / "llava" / "gqa__llava_gqa_testdev_balanced.jsonl.gz"
    answers = folder / "llava" / "gqa__answers__llava_gqa_testdev_balanced__llava-v1.5-13b.jsonl.gz"
    [scored] = score_files([answers], Asked("gqa:testdev", (rows,)))
    join = scored.report.join
    assert (join.joined, join.missing, join.by, join.checked) == (12_578, 0, "question id", "question")


def test_a_log_whose_rows_share_one_hash(folder):
    [path] = (folder / "lmms_eval").glob("*_samples_*.jsonl.gz")
    [scored] = score_files([path], Asked("scienceqa", resamples=100))
    logged = records(path)
    assert {each["doc_hash"] for each in logged} == {logged[0]["doc_hash"]}
    assert scored.report.join.joined == len(logged) == 2017
    assert scored.report.task.score.value == pytest.approx(np.mean([each["exact_match"] for each in logged]))


def test_boxes_overlap_as_the_file_says(folder):
    [path] = (folder / "refcoco").glob("*.jsonl")
    [scored] = score_files([path], Asked("refcoco:ref-adv", resamples=100))
    expected = [json.loads(line)["first_iou"] for line in path.read_text().splitlines()]
    assert scored.table["iou"].to_pylist() == pytest.approx(expected, abs=1e-6)
    assert scored.report.reading == ("Boxes are read as pixels, xyxy; 0 boxes contradict it.",)


def test_boxes_of_a_name_without_a_rule_are_not_scored_and_the_output_says_how(folder):
    [path] = (folder / "refcoco").glob("*.jsonl")
    [scored] = score_files([path], Asked("refadv", resamples=100))
    assert scored.report.task is None
    assert "Boxes are scored as RefCOCO's are: give --benchmark refcoco:refadv." in notes_of(scored.report)


def test_captions_join_by_image_and_are_not_scored(folder, tmp_path):
    with gzip.open(folder / "coco" / "ofa_karpathy_test_predict.json.gz") as file:
        images = [each["image_id"] for each in json.load(file)]
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"image_id": {each}, "caption": "a"}}\n' for each in images))
    path = folder / "coco" / "ofa_karpathy_test_predict.json.gz"
    [scored] = score_files([path], Asked("coco:test", (tmp_path / "rows.jsonl",)))
    assert scored.report.join.joined == len(images) == len(set(images))
    assert "captions rank nothing" in " ".join(scored.report.reading)


def test_mmbench_in_excel(folder):
    pytest.importorskip("python_calamine")
    [path] = (folder / "llava").glob("mmbench*.xlsx")
    [scored] = score_files([path], Asked("mmbench", resamples=100))
    assert (scored.report.form, scored.report.join.joined) == ("vlmevalkit", 4377)
    # 796 of 1,176 questions are right in all their permutations, as counted with pandas.
    assert scored.report.task.score.groups == 1176 and scored.report.unit == "questions"
    assert scored.report.task.extra[CIRCULAR].value == pytest.approx(796 / 1176)
