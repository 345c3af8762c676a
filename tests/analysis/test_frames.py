"""What runs left, as pandas frames."""

import json

import pytest

import vlmt_cli
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.recipes import load_recipe
from vlmt_cli.evaluation.bootstrap import Estimate
from vlmt_cli.evaluation.scores import TaskScore, make_scores, write_scores
from vlmt_cli.runs.recipe import Recipe, write_recipe

LINES = [
    {"kind": "start", "iteration": 0, "seed": 3},
    {"kind": "train", "iteration": 1, "task": "vqa", "loss": 2.5},
    {"kind": "validation", "iteration": 2, "task": "vqa", "score": 0.25},
    {"kind": "best", "iteration": 2, "score": 0.25},
    {"kind": "end", "iteration": 2, "seconds": 1.0},
]


@pytest.fixture
def runs(tmp_path):
    for name, gap, lines in (("one", 4, LINES), ("sweep/two", 8, LINES[:2])):
        run = tmp_path / name
        run.mkdir(parents=True)
        recipe = load_recipe("all-tasks", Recipe, [f"training.gap={gap}"])
        write_recipe(run, recipe)
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    score = TaskScore(
        metric="VQA accuracy", split="val", score=Estimate(0.5, 0.4, 0.6, 10, 5), extra={"median rank": 2.0}
    )
    how = {"leaks_allowed": False, "resamples": 10, "resampled": "image", "seed": 0}
    write_scores(
        tmp_path / "one" / "scores.json", make_scores("one", {"vqa": score}, split_hash=None, recipe_hash=None, **how)
    )
    return tmp_path


def test_runs(runs):
    frame = vlmt_cli.load_runs(runs)
    assert frame.index.tolist() == [str(runs / "one"), str(runs / "sweep" / "two")]
    assert frame["training.gap"].tolist() == [4, 8] and frame["finished"].tolist() == [True, False]
    assert frame["best"].isna().tolist() == [False, True] and frame["iteration"].tolist() == [2, 1]
    (runs / "nothing").mkdir()
    assert len(vlmt_cli.load_runs(runs / "nothing")) == 0
    with pytest.raises(DataError, match="there is no such folder"):
        vlmt_cli.load_runs(runs / "absent")


def test_metrics(runs):
    assert len(vlmt_cli.load_metrics(runs / "one")) == len(LINES)
    validation = vlmt_cli.load_metrics(runs / "one", "validation")
    assert validation[["iteration", "task", "score"]].values.tolist() == [[2, "vqa", 0.25]]


def test_scores(runs):
    frame = vlmt_cli.load_scores([runs / "one"])
    assert frame[["task", "metric", "is_main", "value", "n"]].values.tolist() == [
        ["vqa", "VQA accuracy", True, 0.5, 10],
        ["vqa", "median rank", False, 2.0, 10],
    ]
    assert frame["low"].isna().tolist() == [False, True]
    assert frame.equals(vlmt_cli.load_scores(str(runs / "one")))
