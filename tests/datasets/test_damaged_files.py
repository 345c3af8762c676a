"""Damaged official files: one line that names the file and the record, and nothing that a pickle names is run."""

import gzip
import json
import os
import pickle
import re

import pytest
from handmade import (
    GAME,
    GAME_OF_THE_OTHER_RELEASE,
    INSTANCES,
    NLVR2_PAIR,
    OFFICIAL,
    REFS,
    VE_PAIR,
    Lines,
    Pickle,
    caption,
    gqa_question,
    official,
    qa,
    read,
    write,
)

from vlmt_cli.base.errors import DataError


def without(record, *fields):
    return {key: value for key, value in record.items() if key not in fields}


def image(**changes):
    record = {"cocoid": 9, "filename": "9.jpg", "split": "val", "sentences": [caption(1)]}
    return {"images": [record, record | {"sentences": [caption(2)]} | changes]}


def v7w(**changes):
    file = official("visual7w")["dataset_v7w_pointing.json"]
    file["images"][0]["qa_pairs"][0] |= changes
    return {"dataset_v7w_pointing.json": file}


def refs(*records, **instances):
    return {"refs(unc).p": Pickle(records), "instances.json": INSTANCES | instances}


def games(*records):
    return {"guesswhat.train.jsonl": Lines(records)}


QUESTIONS, ANNOTATIONS = "v2_OpenEnded_mscoco_train2014_questions.json", "v2_mscoco_train2014_annotations.json"
VQA = official("vqa")
GQA = json.dumps(gqa_question("2", "no"))
FLICKR30K = official("flickr30k")["dataset_flickr30k.json"]

CASES = {
    "vqa: JSON cut short": ("vqa", VQA | {QUESTIONS: '{"questions": [{"image_id": 4'}, f"{QUESTIONS}: .*truncated"),
    "vqa: JSON of the wrong kind": ("vqa", VQA | {QUESTIONS: VQA[ANNOTATIONS]}, f"{QUESTIONS}: .*`questions`"),
    "vqa: an unanswered question": (
        "vqa", VQA | {ANNOTATIONS: {"annotations": VQA[ANNOTATIONS]["annotations"][:1]}},
        f"{QUESTIONS}: question 25000 has no annotation"),
    "vqa: a question twice": (
        "vqa", VQA | {QUESTIONS: {"questions": VQA[QUESTIONS]["questions"] * 2}},
        f"{QUESTIONS}: id '25000' occurs twice"),
    "vg_qa: an id of the wrong type": (
        "vg_qa", {"question_answers.json": [{"id": 1, "qas": [qa(1, 1), qa(2, "one")]}]},
        r"question_answers.json: \$\[0\].qas\[1\].image_id: expected `int"),
    "vg_qa: a question twice": (
        "vg_qa", {"question_answers.json": [{"id": 1, "qas": [qa(5, 1), qa(6, 1), qa(5, 2)]}]},
        r"question_answers.json: id '5' occurs twice \(records 0 and 2\)"),
    "gqa: an image elsewhere": (
        "gqa", {"testdev_balanced_questions.json": {"01": gqa_question("2", "no"), "02": gqa_question("../2", "no")}},
        r"testdev_balanced_questions.json: record 1: '../2' is not an image id"),
    "gqa: a field is missing": (
        "gqa", {"testdev_balanced_questions.json": {"01": {"imageId": "2"}}},
        r"testdev_balanced_questions.json: record '01': .*`question`"),
    "gqa: a question twice": (
        "gqa", {"val_balanced_questions.json": f'{{"01": {GQA}, "01": {GQA}}}'},
        r"val_balanced_questions.json: the key '01' stands twice in \$"),
    "coco: no COCO id": (
        "coco", {"dataset_coco.json": {"images": [without(image()["images"][0], "cocoid")]}},
        r"dataset_coco.json: \$.images\[0\]: .*`cocoid`"),
    "coco: an unknown split": (
        "coco", {"dataset_coco.json": image(split="trian")}, r"dataset_coco.json: \$.images\[1\].split: .*'trian'"),
    "coco: a caption twice": (
        "coco", {"dataset_coco.json": image(sentences=[caption(1)])}, r"dataset_coco.json: id '1' occurs twice"),
    "flickr30k: an image elsewhere": (
        "flickr30k", {"dataset_flickr30k.json": image(filename="../7.jpg")},
        r"dataset_flickr30k.json: record 1: '../7' is not an image id"),
    "flickr30k: a .gz cut short": (
        "flickr30k", {"dataset_flickr30k.json.gz": gzip.compress(json.dumps(FLICKR30K).encode())[:40]},
        r"dataset_flickr30k.json.gz: is not an intact .gz file"),
    "refcoco: an unknown object": (
        "refcoco", refs(REFS[0], REFS[1] | {"ann_id": 999}), r"refs\(unc\).p: \$\[1\]: object 999 is not among"),
    "refcoco: an object of another image": (
        "refcoco", refs(without(REFS[0] | {"image_id": 9}, "file_name")),
        r"refs\(unc\).p: \$\[0\]: object 11 is not among those of image 9"),
    "refcoco: a field is missing": (
        "refcoco", refs(REFS[0], without(REFS[1], "ann_id")), r"refs\(unc\).p: \$\[1\]: .*`ann_id`"),
    "refcoco: an id of the wrong type": (
        "refcoco", refs(REFS[0] | {"image_id": "581,857"}), r"refs\(unc\).p: \$\[0\].image_id: expected `int`"),
    "refcoco: a sentence twice": ("refcoco", refs(REFS[0], REFS[0]), r"refs\(unc\).p: id '0' occurs twice"),
    "refcoco: no words": (
        "refcoco", refs(REFS[0] | {"sentences": [{"sent_id": 4}]}),
        r"refs\(unc\).p: \$\[0\]: sentence 4 has neither sent nor raw"),
    "refcoco: a pickle of another kind": ("refcoco", refs() | {"refs(unc).p": pickle.dumps(7)}, "expected `array`"),
    "refcoco: a pickle cut short": ("refcoco", refs() | {"refs(unc).p": pickle.dumps(REFS)[:-9]}, r"intact pickle"),
    "refcoco: a pickle that is not packed": (
        "refcoco", {"refs(unc).p.gz": pickle.dumps(REFS), "instances.json": INSTANCES}, r"unc\).p.gz: cannot be read"),
    "refcoco: a box of three": (
        "refcoco", refs(REFS[0], annotations=[INSTANCES["annotations"][0] | {"bbox": [1, 2, 3]}]),
        r"instances.json: \$.annotations\[0\].bbox: .*length 4"),
    "refcoco: an unknown category": (
        "refcoco", refs(REFS[0], categories=INSTANCES["categories"][:1]),
        r"instances.json: \$.annotations\[0\]: category 3 is not among the"),
    "refcoco: an object twice": (
        "refcoco", refs(REFS[0], annotations=INSTANCES["annotations"] * 2), r"instances.json: id 12 occurs twice"),
    "visual7w: an unknown box": (
        "visual7w", v7w(multiple_choices=[8, 5, 99]), r"pointing.json: qa_id 1: box 99 is not"),
    "visual7w: two choices": (
        "visual7w", v7w(multiple_choices=[8, 5]),
        r"pointing.json: \$.images\[0\].qa_pairs\[0\].multiple_choices: .*length 3"),
    "guesswhat: no goal": (
        "guesswhat", games(GAME, GAME | {"dialogue_id": 1, "object_id": 3}), r"line 2: object 3 is 0 times"),
    "guesswhat: two goals": (
        "guesswhat", games(GAME_OF_THE_OTHER_RELEASE | {"objects": GAME_OF_THE_OTHER_RELEASE["objects"] * 2}),
        r"train.jsonl: line 1: object 17 is 2 times"),
    "guesswhat: no id": (
        "guesswhat", games(GAME, without(GAME, "dialogue_id")), r"line 2: .* neither dialogue_id nor id"),
    "guesswhat: no image": (
        "guesswhat", games(without(GAME, "picture_id")), r"line 1: .* neither picture_id nor image.id"),
    "guesswhat: no answer": (
        "guesswhat", games(GAME | {"status": "failure"}, GAME | {"dialogue_id": 1, "qas": [{"q": "Is it?"}]}),
        r"train.jsonl: line 2: a record has neither a nor answer"),
    "guesswhat: a game twice": ("guesswhat", games(GAME, GAME), r"train.jsonl: id 2400 occurs twice"),
    "guesswhat: a box of words": (
        "guesswhat", games(GAME, GAME | {"objects": {"1": {"object_id": 1, "category": "", "bbox": ["a"] * 4}}}),
        r"train.jsonl: line 2: .*bbox.*expected `float`"),
    "snli_ve: an unknown label": (
        "snli_ve", {"snli_ve_dev.jsonl": Lines([VE_PAIR, VE_PAIR | {"gold_label": "maybe"}])},
        r"snli_ve_dev.jsonl: line 2: \$.gold_label: .*'maybe'"),
    "snli_ve: no image": (
        "snli_ve", {"snli_ve_dev.jsonl": Lines([without(VE_PAIR, "Flikr30kID")])},
        r"line 1: .*neither Flikr30kID nor"),
    "snli_ve: an image elsewhere": (
        "snli_ve", {"snli_ve_dev.jsonl": Lines([VE_PAIR | {"Flikr30kID": "../1.jpg"}])},
        r"record 0: '../1' is not an image id"),
    "nlvr2: a line cut short": (
        "nlvr2", {"dev.json": '{"identifier": "dev-1-0-0", "sen'}, r"dev.json: line 1: .*truncated"),
    "nlvr2: no number": (
        "nlvr2", {"dev.json": Lines([NLVR2_PAIR, NLVR2_PAIR | {"identifier": "dev"}])},
        r"dev.json: line 2: 'dev' does not end"),
    "nlvr2: a pair twice": ("nlvr2", {"dev.json": Lines([NLVR2_PAIR] * 2)}, r"dev.json: id 'dev-850-0-0' occurs twice"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_damaged_file_is_named(damage, case):
    damage(*CASES[case])


def emptied(content):
    if isinstance(content, str):
        return "caption\turl\n" if "\t" in content else "\n"
    if isinstance(content, dict):
        lists = [key for key, value in content.items() if isinstance(value, list)]
        return content | {key: [] for key in lists} if lists else {}
    return Pickle() if isinstance(content, Pickle) else []


@pytest.mark.parametrize("name", OFFICIAL)
def test_a_file_without_a_record_is_damaged_whichever_it_is(tmp_path, name):
    for file in official(name).keys() - {"refs(google).p"}:  # umd's is read
        if "/" not in file:
            folder = write(tmp_path / file, official(name) | {file: emptied(official(name)[file])})
            with pytest.raises(DataError, match=f"{re.escape(file)}: has no record") as caught:
                read(name, folder)
            assert caught.value.todo == "download the official file again"


OTHER_NAMES = {
    "coco": (r"json: \$.images\[1\]: .*'COCO_val2014_000000000025.jpg' is not that of coco:42",
             lambda files: files["dataset_coco.json"]["images"][1].update(filename="COCO_val2014_000000000025.jpg")),
    "visual7w": (r"json: \$.images\[0\]: the file name 'v7w_7.jpg' is not that of vg:2372205",
                 lambda files: files["dataset_v7w_pointing.json"]["images"][0].update(filename="v7w_7.jpg")),
    "refcoco": (r"unc\).p: \$\[1\]: .*25_0.jpg' is not that of coco:9",
                lambda files: files["refs(unc).p"][1].update(file_name="COCO_train2014_000000000025_0.jpg")),
    "refcocog": (r"instances.json: \$.images\[0\]: .* is not that of coco:581857",
                 lambda files: files["instances.json"]["images"][0].update(file_name="000000000025.jpg")),
    "guesswhat": (r"train.jsonl.gz: line 1: .* is not that of coco:489209",
                  lambda files: files["guesswhat.train.jsonl.gz"][1]["picture"].update(
                      file_name="COCO_train2014_000000000025.jpg")),
    "flickr30k_entities": (r"Annotations/10.xml: is not an intact annotation \(it is of 25.jpg\)",
                           lambda files: files.update({"Annotations/10.xml": files["Annotations/10.xml"].replace(
                               "<filename>a", "<filename>25")})),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_a_file_name_of_another_image_than_the_id_is_an_error(damage, name):
    message, change = OTHER_NAMES[name]
    files = official(name)
    change(files)
    damage(name, files, message)


@pytest.mark.parametrize("name", ["a/COCO_train2014_000000000042_7.png", "000000000042.jpg", "7.jpg", "v7w_7.jpg"])
def test_other_file_names_say_nothing_against_an_id(tmp_path, name):
    files = official("coco")
    files["dataset_coco.json"]["images"][1]["filename"] = name
    assert read("coco", write(tmp_path, files)).splits["train"]["images"][0].as_py() == ["coco:42"]


class Evil:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


def test_a_pickle_that_imports_runs_nothing(tmp_path, damage):
    ran = tmp_path / "ran"
    damage("refcoco", refs() | {"refs(unc).p": pickle.dumps([Evil(ran)])}, r"refs\(unc\).p: .*nothing was run")
    assert not ran.exists()
