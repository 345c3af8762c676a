"""Where runs are looked for, and which names cannot be a checkpoint's."""

from pathlib import Path

import pytest

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.runs.folders import check_checkpoint, data_of, data_option, find_run, is_hub_id, runs_folder, start_of
from vlmt_cli.runs.recipe import Recipe


def recipe(start):
    return Recipe(tasks=("vqa",), start=start)


def test_runs_are_in_the_data_folder_that_is_named_and_else_in_the_working_folder():
    assert runs_folder(Path("data")) == Path("runs")
    assert runs_folder(Path("demo")) == Path("demo/runs")
    assert runs_folder(Path("/big/data")) == Path("/big/data/runs")


def test_a_path_that_exists_comes_before_a_run_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    demo = Path("demo")
    (demo / "runs" / "vqa").mkdir(parents=True)
    for name in ("runs/vqa", "vqa", Path("runs/vqa"), "demo/runs/vqa"):
        assert find_run(name, demo) == "demo/runs/vqa"
    assert find_run("runs/vqa", Path("data")) == "runs/vqa"
    assert find_run("runs/nothing", demo) == "runs/nothing"
    assert find_run(tmp_path / "ckpt.pt", demo) == str(tmp_path / "ckpt.pt")
    Path("runs/vqa").mkdir(parents=True)
    assert find_run("runs/vqa", demo) == "runs/vqa" and find_run("vqa", demo) == "demo/runs/vqa"


def test_a_start_is_looked_for_beside_the_run_and_then_among_all_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("demo/runs/pretrain", "elsewhere/pretrain"):
        Path(folder).mkdir(parents=True)
        Path(folder, "config.json").write_text("{}")
    demo, start = Path("demo"), "demo/runs/pretrain"
    auto, named, above = (recipe(start=start) for start in ("auto", "pretrain", "../pretrain"))
    assert start_of(auto, demo / "runs" / "vqa") == start_of(named, demo / "runs" / "vqa") == start
    assert start_of(auto, Path("mine/vqa"), demo) == start_of(named, Path("mine/vqa"), demo) == start
    assert start_of(auto, Path("elsewhere/vqa"), demo) == "elsewhere/pretrain"
    assert start_of(auto, Path("mine/vqa")) is None and start_of(recipe(start=None), demo / "runs" / "vqa") is None
    # A sweep whose folder is not made yet.
    assert start_of(above, demo / "runs" / "pairs" / "vqa") == start
    with pytest.raises(UsageError, match="the run 'nothing' to begin with is not there"):
        start_of(recipe(start="nothing"), demo / "runs" / "vqa", demo)


def test_the_pretraining_of_another_trunk_is_passed_over(tmp_path):
    def pretrained(name, config):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(config)

    named, other = (Recipe(tasks="vqa", model={"trunk": trunk}) for trunk in ("vilbert", "lxmert"))
    pretrained("pretrain", '{"trunk": {"width": 64}}')  # as earlier versions wrote ViLBERT's
    assert start_of(named, tmp_path / "vqa") == start_of(Recipe(tasks="vqa"), tmp_path / "vqa")
    assert start_of(other, tmp_path / "vqa") is None
    pretrained("pretrain-lxmert", '{"trunk": {"kind": "lxmert"}}')
    assert start_of(other, tmp_path / "vqa") == str(tmp_path / "pretrain-lxmert")


def test_a_path_is_no_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    assert is_hub_id("owner/name") and is_hub_id("facebook/dino-v2.1")
    for name in ("runs/vqa", "mine/vqa", "ckpt.pt", "some/ckpt.pt", "name", "a/b/c", "/a/b"):
        assert not is_hub_id(name), name
        with pytest.raises(UsageError, match="there is no such checkpoint"):
            check_checkpoint(name)
    with pytest.raises(DataError, match="holds no checkpoint"):
        check_checkpoint("mine")


def test_runs_that_lie_in_a_data_folder_are_of_its_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [Path("demo/runs/vqa"), Path("demo/runs/gqa")]
    assert data_of(runs, Path("data")) == Path("demo") and data_of(runs, Path("other")) == Path("other")
    assert data_of([*runs, Path("runs/at")], Path("data")) == data_of([Path("x/vqa")], Path("data")) == Path("data")
    Path("data").mkdir()
    assert data_of(runs, Path("data")) == Path("data")
    assert (data_option(Path("data")), data_option(Path("my demo"))) == ("", " --data 'my demo'")
