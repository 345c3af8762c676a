"""What is wrong with a command line is said before anything heavy is imported, and what is advised works."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands.running import run

from vlmt_cli.base import hub
from vlmt_cli.commands import devices
from vlmt_cli.runs.metrics import read_metrics

WRONG = [
    # (exit code, part of the line, command)
    (2, "there is no key 'training.gpa'; did you mean training.gap", "train --set training.gpa=1"),
    (2, "there is no key 'training.gpa'", "pretrain --set training.gpa=1"),
    (2, "there is no task 'vqqa'; did you mean vqa", "train --preset single-task --task vqqa"),
    (2, "there is no recipe 'all-task'", "train --preset all-task"),
    (2, "there is no device 'tpu'", "train --device tpu"),
    (2, "the run 'nope' to begin with is not there", "train --set start=nope"),
    (2, "exclude each other; give --processes 8 instead of --gpus 8", "train --gpus 8 --device cpu"),
    (3, "nowhere: there is no such folder", "train --data nowhere"),
    (3, "nowhere: holds no run", "train --resume --run nowhere"),
    (3, "words.json: there is no such file", "train --set model.tokenizer=words.json"),
    (2, "ckpt.pt: there is no such checkpoint", "evaluate --model ckpt.pt"),
    (2, "runs/nothing: there is no such checkpoint", "evaluate --model runs/nothing"),
    (3, "empty: holds no checkpoint", "evaluate --model empty"),
    (2, "there is no task 'vqqa'", "evaluate --model run --tasks vqqa"),
    (3, "there is no feature store", "evaluate --model run --features nothing"),
    (2, "there is no device 'tpu'", "evaluate --model run --device tpu"),
    (3, "nowhere: there is no such folder", "evaluate --model run --data nowhere"),
    (3, "nothing.jpg: there is no such photo", "predict nothing.jpg --model run --task vqa --text what"),
    (2, "there is no task 'vqqa'", "predict coco:9 --model run --task vqqa --text what"),
    (2, "ckpt.pt: there is no such checkpoint", "predict coco:9 --model ckpt.pt --task vqa --text what"),
    (2, "ckpt.pt: there is no such checkpoint", "vgc --model ckpt.pt"),
    (2, "there is no rule '0.7'", "vgc --model run --right 0.7"),
    (2, "there is no tagger 'brill'", "vgc --model run --tagger brill"),
    (2, "there is no task 'vqqa'", "analyze pairs --tasks vqqa,vqa"),
    (2, "there is no key 'training.gpa'", "analyze pairs --set training.gpa=1"),
    (2, "there is no key 'training.gpa'", "analyze triples --set training.gpa=1"),
    (2, "there is no table '7' of ablations", "analyze ablations --table 7"),
    (2, "there is no key 'training.gpa'", "analyze ablations --set training.gpa=1"),
    (2, "there is no device 'tpu'", "analyze pairs --device tpu"),
    (3, "runs/all-tasks: there are no metrics", "analyze schedule"),
    (3, "runs/all-tasks: there are no metrics", "analyze affinity"),
    (2, "runs/all-tasks: there is no such checkpoint", "analyze attention coco:9 --text dog"),
    (2, "--head goes with --words or --maps", "analyze attention coco:9 --text dog --head 9"),
    (2, "--layer goes with --words or --maps", "analyze attention coco:9 --text dog --layer 0"),
    (3, "nothing: no such folder", "extract nothing"),
    (2, "there is no extractor 'pixel'", "extract --extractor pixel"),
    (2, "--gpus and --device cpu exclude each other", "extract --gpus 2 --device cpu"),
    (2, "there is no device 'tpu'", "extract --device tpu"),
    (2, "--shard '3'; write it as NUMBER/OF", "extract --shard 3"),
    (2, "--detector vg-x152 needs its weights", "extract --detector vg-x152"),
    (2, "there is no mode 'exact'", "extract --detector vg-x152 --weights weights.bin --mode exact"),
    (2, "there is no box format 'xy'", "extract --boxes some.json --box-format xy"),
    (3, "nothing.tsv: there is no such file", "pack nothing.tsv store"),
    (3, "nothing: there is no such file", "pack --hard-negatives nothing"),
    (2, "a run folder, weights (.bin, .tar, .safetensors, .pt), or a hub id", "convert nothing/nothing.safetensors x"),
    (3, "cannot be read", "convert weights.bin run-2 --config nothing.json"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with an empty data folder, an empty folder, and what looks like a run."""
    folder = tmp_path_factory.mktemp("folder")
    for name in ("data", "empty", "run"):
        (folder / name).mkdir()
    (folder / "run" / "config.json").write_text("{}")
    (folder / "weights.bin").write_bytes(b"weights")
    return folder


def test_inputs_are_checked_before_heavy_imports(folder):
    tests = Path(__file__).parents[1]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)]), "VLMT_DATA": "data"}
    commands = json.dumps([shlex.split(command) for *_, command in WRONG])
    said = subprocess.run(
        [sys.executable, tests / "commands" / "light.py", commands], cwd=folder, env=env, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    results = zip(WRONG, json.loads(said.stdout), strict=True)
    wrong = [
        (command, code, err)
        for (wanted, message, command), (code, err, _) in results
        if code != wanted or message not in err or err.count("\n") != 1
    ]
    assert not wrong


@pytest.fixture
def elsewhere(monkeypatch, trained_world, tmp_path):
    """A machine without GPUs and network, in whose working folder ``demo`` is a synthetic world."""

    def offline(repository, name):
        raise OSError("no network")

    (tmp_path / "demo").mkdir()
    for path in trained_world.iterdir():
        (tmp_path / "demo" / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VLMT_DATA", "demo")
    monkeypatch.setattr(devices, "gpus_surely_missing", lambda: True)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(hub, "reach", offline)
    return tmp_path


def advised(capsys, *arguments):
    """Run a command that cannot work here; returns the command line that it advises instead."""
    assert run(*arguments) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    command = shlex.split(re.search("run instead: vlmt (.*)", line)[1])
    return line, command


def test_what_train_advises_without_gpus_and_network_works(elsewhere, capsys):
    short = ["--limit", "20", "--set", "training.iterations=1"]
    line, command = advised(capsys, "train", "--task", "vqa", "--gpus", "8", *short)
    assert "2 obstacles on this machine: (1) 8 GPUs were requested, and this machine has none; (2) bert" in line
    assert "bert-base-uncased is neither a folder here nor available from the hub (no network)" in line
    assert run(*command) == 0
    folder = elsewhere / "demo" / "runs" / "all-tasks-vqa"
    assert (folder / "model.safetensors").exists() and read_metrics(folder)[0]["tasks"]["vqa"]["examples"] == 20
    capsys.readouterr()
    line, again = advised(capsys, *command[:3], "--gpus=8", "--scale", "mini", "--set", "training.iterations=1")
    assert "8 GPUs" in line and "demo/runs/all-tasks-vqa: holds a run already" in line
    assert again[-1] == "demo/runs/all-tasks-vqa-2" and run(*again) == 0


def test_on_other_data_the_advice_is_to_begin_with_random_weights(elsewhere, capsys):
    (elsewhere / "demo" / "miniworld.json").unlink()
    asked = ["train", "--gpus", "8", "--device", "cuda"]
    _, command = advised(capsys, *asked)
    nulls = ["--set", "model.bert=null", "--set", "model.tokenizer=null"]
    assert command == ["train", "--device", "cpu", "--processes", "1", *nulls]
    vocabulary = elsewhere / "demo" / "runs" / "pre" / "tokenizer.json"
    vocabulary.parent.mkdir(parents=True)
    vocabulary.write_text("{}")
    assert advised(capsys, *asked)[1][-1] == "model.tokenizer=demo/runs/pre/tokenizer.json"
    asked += ["--set", f"model.tokenizer={vocabulary}"]
    assert advised(capsys, *asked)[1][-2:] == ["--set", "model.bert=null"]


def test_runs_are_looked_for_in_the_data_folder(elsewhere, capsys):
    (elsewhere / "demo" / "runs" / "all-tasks").mkdir(parents=True)
    (elsewhere / "demo" / "runs" / "all-tasks" / "config.json").write_text("{}")
    for command, code in (
        ("analyze pairs", "demo/runs/pairs: none of 10 runs is there"),
        ("analyze schedule", "demo/runs/all-tasks: there are no metrics"),
        ("analyze affinity runs/all-tasks", "demo/runs/all-tasks: there are no metrics"),
        ("analyze pairs --from runs/pairs.parquet", "runs/pairs.parquet"),
        ("evaluate --model runs/all-tasks", "demo/runs/all-tasks"),
        ("vgc --model runs/all-tasks", "demo/runs/all-tasks"),
        ("vgc --model all-tasks", "demo/runs/all-tasks"),
        ("predict coco:9 --model runs/all-tasks --task vqa --text what", "demo/runs/all-tasks"),
        ("analyze attention coco:9 --text dog", "demo/runs/all-tasks"),
        ("convert runs/all-tasks all.pt", "demo/runs/all-tasks"),
        ("train --resume", "demo/runs/all-tasks: holds no run"),
        ("train --resume --run runs/all-tasks", "demo/runs/all-tasks: holds no run"),
        ("pretrain --resume", "demo/runs/pretrain: holds no run"),
    ):
        assert run(*command.split()) == 3, command
        assert code in capsys.readouterr().err, command
    assert run("vgc", "--model", "ckpt.pt") == 2
    assert "no such checkpoint; give a run folder such as demo/runs/all-tasks" in capsys.readouterr().err
