"""``vlmt evaluate``: what a person sees, and what a program reads."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from evaluation.tiny_run import image_list, make_checkpoint, make_data, make_run, table
from rich.console import Console

from vlmt_cli.base.recipes import load_recipe
from vlmt_cli.commands import show
from vlmt_cli.datasets.table import TWELVE
from vlmt_cli.evaluation.answers.score import Asked, score_files
from vlmt_cli.runs.checkpoint_writer import save_pretrained, save_single_file
from vlmt_cli.runs.lineage import Lineage
from vlmt_cli.runs.recipe import Recipe, write_recipe


@pytest.fixture(scope="module")
def data(trained_world, tmp_path_factory):
    return make_data(trained_world, tmp_path_factory.mktemp("data") / "data")


@pytest.fixture
def clean_run(data, tmp_path):
    run = make_run(tmp_path / "at", data, ["cc:1"])
    write_recipe(tmp_path / "at", load_recipe("all-tasks", Recipe))
    return run


@pytest.fixture
def leaky_run(data, tmp_path):
    """A run that saw one of SNLI-VE's test images."""
    return make_run(tmp_path / "leaky", data, table(data, "snli_ve", "test")[0]["images"])


def test_the_whole_table(vlmt, data, clean_run, tmp_path):
    code, out, err = vlmt("evaluate", "--model", clean_run, "--data", data, "--paper")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines[2][:5] == ["VQA", "GQA", "VG", "QA", "mean"] and lines[2][-1] == "All"
    ours, paper = lines[3], lines[4]
    scores = json.loads((tmp_path / "at" / "scores.json").read_text())
    assert ours[0] == "at" and ours[-1] == f"{100 * scores['average']:.2f}"
    assert ours[1] == f"{100 * scores['tasks']['vqa']['score']['value']:.2f}†"
    assert paper[:6] == ["paper:", "AT", "clean", "-", "60.12", "36.36"]  # no test answers of VQA, so no mean of all
    assert paper[-1] == "-" and "The paper's figure is left out where ours is of another split" in out
    assert "VQA is scored on val: the answers of test are secret; --submission writes the file for the server." in out
    assert f"Written to {clean_run}: scores.json, predictions/" in out and "*" not in out and "?" not in out
    card = (tmp_path / "at" / "README.md").read_text()
    assert f"| NLVR2 | test | accuracy | {100 * scores['tasks']['nlvr2']['score']['value']:.2f} |" in card
    said = [line.split()[0] for line in err.splitlines() if " in 0 s" in line or " in 1 s" in line]
    assert set(said) <= set(TWELVE) and len(list((tmp_path / "at" / "predictions").iterdir())) == 14
    check_as_a_strangers(tmp_path / "at" / "predictions", data, scores["tasks"])


def check_as_a_strangers(predictions, data, tasks):
    """Score the kept predictions as if another model had made them: the same figures to the last digit."""
    checked = set()
    for task, score in tasks.items():
        for split in score["split"].split("+"):
            path = predictions / f"{task}-{split}.parquet"
            if task not in ("coco", "flickr30k"):
                [scored] = score_files([path], Asked(f"{task}:{split}", data=data))
                ours = score["score"] if "+" not in score["split"] else score["extra"][split]
                assert asdict(scored.report.task.score) == ours, task
                checked.add(task)
    assert len(checked) == 10


def test_a_row_a_metric_and_json(vlmt, data, clean_run, tmp_path):
    arguments = ("evaluate", "--model", clean_run, "--data", data, "--tasks", "coco,nlvr2", "--to", tmp_path / "to")
    code, out, _ = vlmt(*arguments, "--intervals", "--shortlist", 10)
    assert code == 0 and "95% interval" in out and "caption Recall@10" in out and "consistency" in out
    assert "all pairs were scored" in " ".join(out.split())
    code, out, _ = vlmt(*arguments, "--json", "--submission")
    assert code == 0 and out == (tmp_path / "to" / "scores.json").read_text()
    assert (tmp_path / "to" / "submissions" / "nlvr2-test.csv").exists()
    assert not (tmp_path / "at" / "scores.json").exists()


def test_scores_of_a_part_say_so_and_are_not_the_runs(vlmt, data, clean_run, tmp_path):
    code, out, _ = vlmt("evaluate", "--model", clean_run, "--data", data, "--tasks", "nlvr2,snli_ve", "--limit", 3)
    assert code == 0 and "at most the first 3 examples of each split" in out and "shortlist" not in out
    part = json.loads((tmp_path / "at" / "first-3" / "scores.json").read_text())["tasks"]
    assert {task: (score["split"], score["score"]["n"]) for task, score in part.items()} == {
        "nlvr2": ("test first 3", 3),
        "snli_ve": ("test first 3", 3),
    }
    assert not (tmp_path / "at" / "scores.json").exists()
    assert vlmt("evaluate", "--model", clean_run, "--data", data, "--limit", 3, "--submission")[0] == 2


def test_a_narrow_terminal_has_a_row_a_metric(vlmt, data, clean_run, monkeypatch):
    monkeypatch.setattr(show, "stdout", lambda: Console(width=90, highlight=False))
    code, out, _ = vlmt("evaluate", "--model", clean_run, "--data", data, "--tasks", "all", "--paper")
    assert code == 0 and "95% interval" in out and "…" not in out
    assert next(line.split()[-1] for line in out.splitlines() if "NLVR2" in line) == "78.44"


def test_a_run_of_no_row_stands_alone(vlmt, data, clean_run, tmp_path):
    gap = ["training.gap=8"]
    write_recipe(tmp_path / "at", load_recipe("all-tasks", Recipe, gap).overridden(gap))
    code, out, _ = vlmt("evaluate", "--model", clean_run, "--data", data, "--tasks", "nlvr2", "--paper")
    assert code == 0 and "reproduces no row of the paper's table 2" in out and "78.44" not in out


def test_some_tasks_join_the_scores_of_others_of_the_same_checkpoint(vlmt, data, clean_run, tmp_path):
    evaluate = ("evaluate", "--model", clean_run, "--data", data, "--tasks")
    file = tmp_path / "at" / "scores.json"
    assert vlmt(*evaluate, "nlvr2")[0] == 0 and vlmt(*evaluate, "snli_ve")[0] == 0
    together = json.loads(file.read_text())
    assert list(together["tasks"]) == ["nlvr2", "snli_ve"] and together["groups"].keys() == {"G4"}
    assert vlmt(*evaluate, "snli_ve")[0] == 0 and json.loads(file.read_text()) == together
    before = file.read_text()
    code, _, err = vlmt(*evaluate, "snli_ve", "--split", "val")
    assert code == 2 and "has snli_ve scored on test, which val would replace" in err and file.read_text() == before
    other = make_checkpoint(data, ["cc:1"])
    next(other.model.parameters()).data.add_(1)
    save_pretrained(tmp_path / "at", other)
    code, _, err = vlmt(*evaluate, "nlvr2")
    assert (
        code == 2
        and "holds other tasks' scores, with another hash of its weights" in err
        and file.read_text() == before
    )
    assert vlmt(*evaluate, "nlvr2,snli_ve")[0] == 0  # nothing would be lost


def test_a_leak_ends_with_4(vlmt, data, leaky_run, tmp_path):
    arguments = ("evaluate", "--model", leaky_run, "--data", data, "--tasks", "snli_ve,gqa")
    code, out, err = vlmt(*arguments)
    images = {row["images"][0] for row in table(data, "snli_ve", "test")}
    line = f"vlmt: training saw 1 of {len(images)} images of snli_ve test (stage all-tasks); "
    assert (code, out) == (4, "") and err.startswith(line) and err.count("\n") == 1
    assert not (tmp_path / "leaky" / "scores.json").exists()
    code, out, err = vlmt(*arguments, "--allow-leak")
    assert code == 0 and err.startswith("Warning: training saw 1 of") and "* Training saw some of these images." in out


def test_contaminated_against_clean(vlmt, data, leaky_run, tmp_path):
    code, out, _ = vlmt("evaluate", "--model", leaky_run, "--data", data, "--tasks", "snli_ve,gqa", "--contaminated")
    assert code == 0 and "Training saw none of the images scored for GQA." in out
    rows = pq.read_table(tmp_path / "leaky" / "predictions" / "snli_ve-test.parquet").to_pylist()
    seen = [row["score"] for row in rows if row["images"] == rows[0]["images"]]
    others = [row["score"] for row in rows if row["images"] != rows[0]["images"]]
    for name, part in (("images seen in training", seen), ("images not seen", others)):
        (line,) = (line for line in out.splitlines() if name in line)
        assert f"{100 * sum(part) / len(part):.2f}" in line and line.split()[-1] == str(len(part))
    assert any("difference" in line for line in out.splitlines())


def test_a_control_that_saw_nothing_is_taken_out_of_the_difference(vlmt, data, leaky_run, clean_run, tmp_path):
    asked = ("--data", data, "--tasks", "snli_ve")
    arguments = ("evaluate", "--model", leaky_run, *asked, "--control", clean_run)
    code, _, err = vlmt(*arguments)
    assert code == 3 and f"no control: run vlmt evaluate --model {clean_run} --tasks snli_ve --data {data}" in err
    code, _, err = vlmt("evaluate", "--model", clean_run, *asked, "--control", leaky_run)
    assert code == 0 and "Training saw none of these images: there is nothing to compare with a control" in err
    code, out, _ = vlmt(*arguments)
    assert code == 0 and "difference in differences" in out and "control: images not seen" in out
    assert "Too few seen images (1) to conclude anything." in out
    ours, theirs = (
        pq.read_table(Path(run) / "predictions" / "snli_ve-test.parquet").to_pylist() for run in (leaky_run, clean_run)
    )
    gaps = {True: [], False: []}
    for one, two in zip(ours, theirs, strict=True):
        gaps[one["images"] == ours[0]["images"]].append(one["score"] - two["score"])
    beyond = sum(gaps[True]) / len(gaps[True]) - sum(gaps[False]) / len(gaps[False])
    kept = json.loads((Path(leaky_run) / "scores.json").read_text())["tasks"]["snli_ve"]["control"]
    assert kept["in_differences"]["value"] == pytest.approx(beyond) and kept["model"] == str(clean_run)
    code, _, err = vlmt("evaluate", "--model", leaky_run, *asked, "--control", leaky_run)
    assert code == 3 and "has no control" in err and "saw 1 of its" in err


def test_weights_without_lineage_are_warned_of(vlmt, data, tmp_path):
    released = replace(make_checkpoint(data), lineage=Lineage(source="multi_task_model.bin"), images={})
    save_single_file(tmp_path / "released.pt", released)
    arguments = ("evaluate", "--model", tmp_path / "released.pt", "--data", data, "--tasks", "gqa,nlvr2")
    code, out, err = vlmt(*arguments)
    assert code == 0 and "Warning: the training images of multi_task_model.bin are unknown" in err
    assert "? Training may have seen some of these images" in out
    assert (tmp_path / "released-evaluation" / "scores.json").exists()
    code, _, err = vlmt(*arguments, "--contaminated")
    assert code == 2 and "none can be told from others" in err


def test_tasks_that_cannot_be_scored_are_named(vlmt, data, tmp_path):
    checkpoint = make_checkpoint(data, heads=("vqa", "gqa"))
    lineage = checkpoint.lineage
    labels = {"gqa": checkpoint.labels["gqa"]}
    save_pretrained(tmp_path / "run", replace(checkpoint, labels=labels, lineage=lineage))
    code, _, err = vlmt("evaluate", "--model", tmp_path / "run", "--data", data)
    assert code == 0
    assert "Left out: vqa, vg_qa (the checkpoint does not say which answers its vqa head has)" in err
    assert "Left out: coco, flickr30k (the model has no retrieval head)" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--tasks", "coko"), 2, "there is no task 'coko'; did you mean coco"),
        (("--split", "test7"), 3, "no task can be scored"),
        (("--device", "tpu"), 2, "there is no device 'tpu'; choose auto, cpu, cuda or cuda:1"),
        (("--device", "meta"), 2, "there is no device 'meta'"),
        (("--features", "none"), 3, "none: there is no feature store"),
        (("--batch-size", "0"), 2, "batch-size"),
        (("--coco-1k", "--shortlist", "10"), 2, "--coco-1k scores; leave one of them out"),
        (("--coco-1k", "--tasks", "nlvr2"), 2, "--coco-1k is about COCO, which is not scored here; leave it out"),
    ],
)
def test_bad_options_are_one_line(vlmt, data, clean_run, arguments, code, message):
    result, out, err = vlmt("evaluate", "--model", clean_run, "--data", data, *arguments)
    assert (result, out) == (code, "") and message in err


def test_a_gpu_that_is_not_there(vlmt, data, clean_run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, _, err = vlmt("evaluate", "--model", clean_run, "--data", data, "--device", "cuda")
    assert code == 2 and "--device cuda: this machine has no such GPU" in err


def test_no_checkpoint_no_data(vlmt, data, clean_run, tmp_path):
    code, _, err = vlmt("evaluate", "--model", tmp_path / "nothing", "--data", data)
    assert code == 2 and err.count("\n") == 1 and "there is no such checkpoint" in err
    code, _, err = vlmt("evaluate", "--model", clean_run, "--data", tmp_path)
    assert code == 2 and "holds no feature store; make one with vlmt extract" in err
    (tmp_path / "at" / "images-1.parquet").write_bytes(image_list(["coco:1"])[:-9])
    code, _, err = vlmt("evaluate", "--model", clean_run, "--data", data)
    assert code == 3 and "images-1.parquet: is damaged" in err
