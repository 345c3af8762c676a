"""vlmt data: files, examples and images."""

import json

import pytest

from vlmt_cli.datasets.table import CROSSWALKS, DATASETS, TWELVE


def test_status_lists_what_is_there_and_what_is_missing(vlmt, world, tmp_path):
    code, out, _ = vlmt("data", "status", "--data", world, "--json")
    status = json.loads(out)
    assert code == 0
    assert all(status[name]["missing"] == [] for name in (*TWELVE, "flickr30k_entities", "conceptual_captions"))
    assert status["vg_images"]["optional"] == {"vg_qa/image_data.json": True}
    assert status["vqa"]["splits"]["test"] > 0
    code, out, _ = vlmt("data", "status", "--data", tmp_path)
    assert code == 0 and "0 of 5" in out


def test_status_names_each_missing_file_whole_below_its_address(vlmt, tmp_path):
    lines = vlmt("data", "status", "--data", tmp_path)[1].splitlines()
    assert all(line == line.rstrip() for line in lines)  # no padding in a pipe
    for name, dataset in {**DATASETS, **CROSSWALKS}.items():
        folder = dataset.folder or name
        for file, address in {**dataset.files, **dataset.also}.items():
            row = lines.index(f"  {folder}/{file.partition('|')[0]}")
            above = next(line for line in reversed(lines[:row]) if not line.startswith("  "))
            assert above == (address or "(each image by its own address)")


def test_show_prints_the_first_examples_in_words(vlmt, world):
    code, out, _ = vlmt("data", "show", "snli_ve", "val", "-n", "2", "--data", world, "--json")
    first = json.loads(out)
    assert code == 0 and len(first) == 2 and first[0]["images"][0].startswith("flickr30k:")
    code, out, _ = vlmt("data", "show", "snli_ve", "val", "-n", "1", "--data", world)
    assert code == 0 and first[0]["text"] in out and first[1]["text"] not in out.replace(first[0]["text"], "")
    name = DATASETS["snli_ve"].labels[first[0]["label"]]
    assert f"{first[0]['label']} ({name})" in out


def test_show_counts_the_examples_without_an_answer_in_the_list(vlmt, own_world):
    assert vlmt("clean", "--data", own_world, "--datasets", "vqa,vg_qa")[0] == 0
    path = own_world / "examples" / "vqa" / "answers.json"
    listed = json.loads(path.read_text())
    rows = json.loads(vlmt("data", "show", "vg_qa", "-n", "100000", "--json", "--data", own_world)[1])
    path.write_text(json.dumps(listed[:1]))
    others = sum(row["answers"][0] != listed[0] for row in rows)
    _, out, _ = vlmt("data", "show", "vg_qa", "--data", own_world)
    assert others and f"in the list of vqa, and which are not trained on: {others:,}\n" in out


def test_explain_finds_an_image_under_its_other_names(vlmt, world):
    image = json.loads(vlmt("data", "show", "refcoco", "testA", "-n", "1", "--data", world, "--json")[1])[0]["images"][
        0
    ]
    code, out, _ = vlmt("data", "explain", image, "--data", world, "--json")
    found = json.loads(out)
    assert code == 0
    assert {("refcoco", "testA"), ("refcoco+", "testA"), ("vqa", "train")} <= {
        (one["dataset"], one["split"]) for one in found
    }
    assert next(one for one in found if one["dataset"] == "refcoco")["how"] == "id"


def test_folders_and_files_that_were_meant_are_named(vlmt, tmp_path):
    (tmp_path / "raw" / "guesswhat").mkdir(parents=True)
    code, _, err = vlmt("data", "status", "--data", tmp_path / "raw")
    assert code == 3 and f"did you mean --data {tmp_path}?" in err
    code, _, err = vlmt("data", "show", "guesswhat", "val", "--data", tmp_path)
    assert code == 3 and "guesswhat/guesswhat.valid.jsonl (https://" in err


@pytest.mark.parametrize(
    ("arguments", "exit_code", "hint"),
    [
        (["show", "vqa3"], 2, "did you mean vqa"),
        (["show", "vqa", "testA"], 2, "choose val, train, test"),
        (["explain", "../../etc/passwd"], 3, "is not an image key"),
        (["explain", "262148"], 3, "such as coco:262148"),
    ],
)
def test_a_wrong_question_is_one_line(vlmt, world, arguments, exit_code, hint):
    code, _, err = vlmt("data", *arguments, "--data", world)
    assert code == exit_code
    assert hint in err and err.count("\n") == 1


def test_explain_before_anything_was_read_says_what_to_do(vlmt, tmp_path):
    code, _, err = vlmt("data", "explain", "coco:1", "--data", tmp_path)
    assert code == 3 and "vlmt clean" in err
