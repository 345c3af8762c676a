"""``vlmt train --dry-run``: what is said, and that nothing is written."""

import json

import pytest
from commands.running import run

from vlmt_cli.base.errors import DataError
from vlmt_cli.paper import numbers

TASKS = ("vqa", "coco")
MODEL = ("--set", "model.preset=tiny", "--set", "model.bert=null")


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_the_papers_run_is_estimated_without_any_data(tmp_path, capsys):
    data = tmp_path / "none"
    arguments = ("--dry-run", "--device-kind", "h100", "--gpus", "8", "--data", str(data), *MODEL)
    assert run("train", *arguments, "--set", "tasks=vqa,coco", "--json") == 0
    cost = json.loads(capsys.readouterr().out)
    assert (cost["how"], cost["iterations"], cost["devices"]) == ("counted", 40_000, 8)
    train = numbers("table8_samples", "dataset", "cleaned_train")
    assert {task: work["examples"] for task, work in cost["tasks"].items()} == {task: train[task] for task in TASKS}
    assert 0 < cost["total"][0] < cost["total"][1]
    assert any("no prepared examples" in said for said in cost["assumptions"])
    assert not data.exists()


def test_a_run_is_measured_here_and_nothing_is_written(trained_world, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = files_of(trained_world)
    arguments = ("--task", "vqa,visual7w", "--scale", "mini", "--data", str(trained_world), "--device", "cpu")
    assert run("train", *arguments, "--dry-run", "--json") == 0
    cost = json.loads(capsys.readouterr().out)
    assert cost["how"] == "measured" and list(cost["tasks"]) == ["vqa", "visual7w"]
    assert all(seconds["update"][0] > 0 and seconds["example"][0] > 0 for seconds in cost["seconds"].values())
    assert 0 < cost["total"][0] <= cost["total"][1]
    assert files_of(trained_world) == before and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--device-kind", "h100"), 2, "--device-kind is for --dry-run"),
        (("--dry-run", "--device-kind", "h10"), 2, "there is no published peak of 'h10'"),
        (("--dry-run", "--resume"), 2, "leave --resume and --launcher out"),
        (("--dry-run", "--device-kind", "h100", "--task", "flickr30k_entities"), DataError.exit_code, "table 8"),
    ],
)
def test_what_cannot_be_said(arguments, code, said, tmp_path, capsys):
    assert run("train", *arguments, "--data", str(tmp_path), *MODEL) == code
    assert said in capsys.readouterr().err
