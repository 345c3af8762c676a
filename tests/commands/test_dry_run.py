"""``vlmt train --dry-run``: what is said, and that nothing is written."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
from commands.running import run

from vlmt_cli.base.errors import DataError
from vlmt_cli.commands import devices
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
    assert {work["source"] for work in cost["tasks"].values()} == {"paper"}
    assert any("Examples of vqa and coco are as many as in the paper" in said for said in cost["assumptions"])
    assert not data.exists()


def test_a_run_is_measured_here_and_nothing_is_written(trained_world, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = files_of(trained_world)
    arguments = ("--task", "vqa,visual7w", "--scale", "mini", "--data", str(trained_world), "--device", "cpu")
    in_parts = ("--set", "training.accumulate=8")  # more than the examples of the first batches that are measured
    assert run("train", *arguments, *in_parts, "--dry-run", "--json") == 0
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
        (("--dry-run", "--gpus", "8"), 2, "another machine with --device-kind h100"),
        (("--dry-run", "--device-kind", "h100", "--task", "flickr30k_entities"), DataError.exit_code, "table 8"),
    ],
)
def test_what_cannot_be_said(arguments, code, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(devices, "gpus_surely_missing", lambda: True)
    assert run("train", *arguments, "--data", str(tmp_path), *MODEL) == code
    assert said in capsys.readouterr().err


def test_partial_data_are_told_apart_and_the_plan_of_a_sweep_agrees(trained_world, tmp_path, capsys):
    (tmp_path / "examples" / "coco").mkdir(parents=True)
    shutil.copy(trained_world / "examples" / "coco" / "train.parquet", tmp_path / "examples" / "coco")
    (tmp_path / "examples" / "vqa").symlink_to(trained_world / "examples" / "vqa")
    data = ("--data", str(tmp_path), "--set", "split=full")
    assert run("train", "--task", "vqa,coco", "--dry-run", "--device-kind", "h100", *data, *MODEL, "--json") == 0
    cost = json.loads(capsys.readouterr().out)
    assert {task: work["source"] for task, work in cost["tasks"].items()} == {"vqa": "data", "coco": "paper"}
    notes = [said for said in cost["assumptions"] if said.startswith("Examples of")]
    assert [said.split()[2] for said in notes] == ["vqa", "coco"]
    assert run("analyze", "trunks", "--trunks", "vilbert", "--tasks", "coco", "--plan", "--json", *data, *MODEL) == 0
    plan = json.loads(capsys.readouterr().out)
    planned = {one["name"].split("-")[1]: one["iterations"] for one in plan["runs"]}
    one_task = ("--preset", "single-task", "--task", "coco")
    assert run("train", *one_task, "--dry-run", "--device-kind", "h100", *data, *MODEL, "--json") == 0
    assert planned["coco"] == json.loads(capsys.readouterr().out)["iterations"]
    assert any("vqa" in note and "counted in" in note for note in plan["notes"])
    assert run("analyze", "trunks", "--plan", "--data", str(tmp_path / "none")) == DataError.exit_code


def test_what_does_not_fit_is_said(tmp_path, capsys):
    arguments = ("--dry-run", "--device-kind", "v100", "--task", "vqa", "--data", str(tmp_path), *MODEL)
    large = ("--set", "training.batch_size=300000")
    for more, ways in (((), " or --set training.checkpointing=true"), (("--set", "training.checkpointing=true"), "")):
        assert run("train", *arguments, *large, *more) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert f"GB, and V100 32 GB has 32 GB: --set training.accumulate=4{ways} takes less" in said
        assert ("training.checkpointing is not counted" in said) == (not ways)
    assert run("train", *arguments) == 0
    said = capsys.readouterr().out
    assert "has 32 GB" not in said and ", of them " in said and " MB; activations " in said


def test_an_empty_table_is_named(trained_world, tmp_path, capsys):
    source = trained_world / "examples" / "vqa"
    for split in ("train", "val"):
        target = tmp_path / "examples" / "vqa" / f"{split}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pq.read_table(source / f"{split}.parquet").slice(0, 0), target)
    arguments = ("--dry-run", "--device-kind", "h100", "--task", "vqa", "--data", str(tmp_path), *MODEL)
    assert run("train", *arguments, "--set", "split=full") == DataError.exit_code
    assert "the full split has no vqa" in capsys.readouterr().err
