"""Every trunk trains and is scored; a new one costs one file and one line, and has all twelve tasks."""

import json
import sys

import pytest
from adding import linear
from commands.running import run

from vlmt_cli.datasets.table import TWELVE
from vlmt_cli.runs.checkpoint import load_checkpoint
from vlmt_cli.trunks.table import TRUNKS

SETTINGS = {"iterations": 2, "batch_size": 4, "validation_examples": 4, "limit": 60}
HEADS = ("vqa", "flickr30k", "visual7w", "nlvr2")
"""A task of each group, candidates and pairs of images among them."""


@pytest.mark.parametrize(
    ("kind", "tasks"), [("linear", TWELVE), ("lxmert", HEADS), ("visualbert", HEADS), ("uniter", HEADS)]
)
def test_a_trunk_trains_and_is_scored(kind, tasks, trained_world, tmp_path, monkeypatch, capsys):
    if kind == "linear":  # its file beside the others, and its line
        monkeypatch.setitem(sys.modules, "vlmt_cli.trunks.linear", linear)
        monkeypatch.setitem(TRUNKS, "linear", "linear")
    folder, at = tmp_path / kind, ("--data", str(trained_world), "--device", "cpu")
    settings = [f"training.{key}={value}" for key, value in SETTINGS.items()]
    options = [word for setting in (f"model.trunk={kind}", *settings) for word in ("--set", setting)]
    begun = str(tmp_path / f"pretrain-{kind}")  # where a run of tasks looks for it
    assert run("pretrain", "--scale", "mini", "--run", begun, *options, *at) == 0
    train = ("train", "--task", ",".join(tasks), "--scale", "mini", "--run", str(folder))
    assert run(*train, *options, *at) == 0
    assert "no row of the paper's tables: --set or --limit changed model.trunk, training." in capsys.readouterr().err
    stages = load_checkpoint(folder).lineage.stages
    assert [stage.name for stage in stages] == [f"pretrain-{kind}", kind]
    assert "trunk" in stages[-1].beginning.taken and all(name.startswith("heads") for name in stages[-1].beginning.new)
    trunk = json.loads((folder / "config.json").read_text())["trunk"]
    assert trunk["kind"] == kind == load_checkpoint(folder).config.trunk.kind
    assert run("evaluate", "--model", str(folder), "--limit", "8", *at) == 0
    assert set(json.loads((folder / "first-8" / "scores.json").read_text())["tasks"]) == set(tasks)
    if kind != "uniter":
        return
    capsys.readouterr()
    started = f"start={folder}"
    for setting, said in (
        ("model.trunk=lxmert", "its trunk is uniter, but model.trunk=lxmert is asked for"),
        ("training.freeze=[text]", "uniter is a single stream: words and regions share its layers"),
        ("model.trunk=unitre", "did you mean uniter?"),
    ):
        other = (*train[:-1], str(tmp_path / "other"))
        assert run(*other, *options[2:], "--set", started, "--set", setting, *at) == 2
        assert said in " ".join(capsys.readouterr().err.split())
    told = ("--text", "a red circle", "--model", str(folder), "--to", str(tmp_path / "page.html"))
    photo = next((trained_world / "images" / "coco").iterdir()).stem.split("_")[-1]
    attention = ("analyze", "attention", f"coco:{int(photo)}", *told, "--data", str(trained_world))
    assert run(*attention, "--maps", str(tmp_path / "maps.png")) == 0
    assert '"single":true' in (tmp_path / "page.html").read_text()
    assert run(*attention, "--words", str(tmp_path / "words.png")) == 2
    assert "uniter has no co-attention maps" in " ".join(capsys.readouterr().err.split())
