"""Scores of other weights than a run has now, and those of unfinished runs, are known for what they are."""

import json
import os
import shutil

import pytest
import torch
from analysis.handmade_runs import make_recipe, write_run
from analysis.relations.test_table2 import task_score
from commands.running import run

import vlmt_cli
from vlmt_cli.analysis.relations.seeds import scores_of
from vlmt_cli.analysis.relations.sweep_scores import is_scored
from vlmt_cli.analysis.relations.table2_runs import scored_runs
from vlmt_cli.evaluation.run_scores import run_scores
from vlmt_cli.evaluation.scores import make_scores, write_scores
from vlmt_cli.runs.best import Best, find_weights
from vlmt_cli.runs.tensors import tensors_hash, write_tensors
from vlmt_cli.runs.trained import file_weights_hash, trained_of


def weights(value):
    return {"b": torch.full((2, 3), value), "a": torch.tensor(value)}


def train_to(folder, iteration, value, end=True, recipe=None):
    """A run of 300 iterations that was best and saved at one of them."""
    recipe = recipe or make_recipe("single-task", tasks=["vqa"]).overridden([])
    write_run(folder, recipe, {"vqa": [(iteration, 0.5, "go")]}, end=end)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"kind": "save", "iteration": iteration}) + "\n")
    (folder / "best").mkdir(exist_ok=True)
    best = Best(iteration=iteration, score=0.5, tasks={"vqa": 0.5})
    (folder / "best" / "validation.json").write_text(best.model_dump_json())
    write_tensors(folder / "best" / "model.safetensors", weights(value))
    return folder


def score(folder, value, old=False, percent=50.0, task="vqa"):
    """Its scores, as ``vlmt evaluate`` writes them, or as an older one did."""
    says = {} if old else {"trained": trained_of(folder, find_weights(folder))}
    made = make_scores(str(folder), {task: task_score(task, percent)}, weights="best", split_hash=None,
                       recipe_hash=None, weights_hash=tensors_hash(weights(value)), leaks_allowed=False, resamples=10,
                       resampled="image", seed=0, **says)  # fmt: skip
    write_scores(folder / "scores.json", made)


def test_the_hash_of_a_file_is_that_of_its_tensors(tmp_path):
    write_tensors(tmp_path / "w", weights(0.5))
    assert file_weights_hash(tmp_path / "w") == tensors_hash(weights(0.5))
    (tmp_path / "w").write_bytes((tmp_path / "w").read_bytes()[:-1])
    assert file_weights_hash(tmp_path / "w") is None and file_weights_hash(tmp_path / "none") is None
    write_tensors(tmp_path / "w", {"a": torch.zeros(2, dtype=torch.bfloat16)})
    assert file_weights_hash(tmp_path / "w") is None


@pytest.mark.parametrize("old", [False, True])
def test_scores_of_a_run_that_was_trained_on_are_none_of_its(tmp_path, old, capsys):
    folder = train_to(tmp_path / "runs" / "st", 50, 0.5, end=False)
    score(folder, 0.5, old)
    assert run_scores(folder).scores and run_scores(folder).unfinished == "iteration 50 of 300"
    train_to(folder, 300, 0.7)
    now = run_scores(folder)
    assert now.is_stale and not now.unfinished
    assert ("scores of iteration 50" in now.lack and "of iteration 300" in now.lack) is not old
    assert scores_of({"st": folder})[1] == "validation" and not is_scored(folder)
    assert vlmt_cli.load_scores(folder)["current"].tolist() == [False]
    assert vlmt_cli.load_runs(tmp_path / "runs")["average"].isna().all()
    page = tmp_path / "page.html"
    assert run("report", str(folder), "--data", str(tmp_path), "--to", str(page), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert not any("st: 1 task" in title for title in told["sections"])
    lack = next(each for each in told["missing"] if "Scores of st" in each["what"])
    assert now.lack in lack["what"] and lack["command"] == f"vlmt evaluate --model {folder} --data {tmp_path}"
    score(folder, 0.7, old)
    assert run_scores(folder).scores and is_scored(folder) and scores_of({"st": folder})[1] == "test"


def test_scores_of_weights_that_stayed_the_best_are_still_the_runs(tmp_path):
    folder = train_to(tmp_path / "st", 50, 0.5, end=False)
    score(folder, 0.5)
    write_run(folder, make_recipe("single-task", tasks=["vqa"]), {"vqa": 0.4})
    assert run_scores(folder).scores and not run_scores(folder).unfinished
    shutil.copytree(folder, tmp_path / "copy")
    os.utime(tmp_path / "copy" / "best" / "model.safetensors")  # newer than the scores, and the same
    assert run_scores(tmp_path / "copy").scores
    write_tensors(tmp_path / "copy" / "best" / "model.safetensors", weights(0.6))
    assert "other weights than its best weights" in run_scores(tmp_path / "copy").lack


def test_table_2_leaves_out_what_is_none_of_its_rows(tmp_path, capsys):
    def make(name, task, *keys, changed=True, **more):
        recipe = make_recipe("single-task", *keys, tasks=[task])
        folder = train_to(tmp_path / name, 300, 0.5, recipe=recipe.overridden(keys) if changed else recipe, **more)
        score(folder, 0.5, task=task, percent=44.61)
        return folder

    make("good", "vqa")
    make("begun", "gqa", end=False)
    make("short", "nlvr2", "training.iterations=3")
    make("shorter", "nlvr2", "training.iterations=2")
    make("few", "snli_ve", "training.limit=10")
    make("older", "vg_qa", "training.iterations=60", changed=False)
    score(make("stale", "coco"), 0.6, task="coco", old=True)
    make("other", "vqa", "training.gap=8")
    runs, _ = scored_runs(sorted(tmp_path.iterdir()))
    assert [each.folder.name for each in runs] == ["good"]
    assert run("analyze", "table2", "--runs", tmp_path) == 0
    out, err = capsys.readouterr()
    assert "44.61" in out and "beats" not in out.splitlines()[-1]
    assert f"begun is unfinished (iteration 300 of 300); run vlmt train --resume --run {tmp_path / 'begun'}" in err
    assert f"stale has scores of other weights than its best weights now; run vlmt evaluate --model {tmp_path}" in err
    assert f"2 runs of another experiment: --set or --limit changed training.iterations ({tmp_path / 'short'}," in err
    assert "changed training.limit" in err and "trained with iterations 60" in err and "7 runs in all" in err
    assert run("analyze", "table2", str(tmp_path / "stale")) == 3
    assert f"run vlmt evaluate --model {tmp_path / 'stale'}" in capsys.readouterr().err
