"""Where runs are looked for, and which names cannot be a checkpoint's."""

from pathlib import Path

import pytest

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.runs.folders import check_checkpoint, find_run, is_hub_id, runs_folder


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
