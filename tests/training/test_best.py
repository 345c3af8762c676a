"""A run keeps the weights of its best validation beside its last ones, and commands take them."""

import contextlib
import json
import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from commands.running import run as vlmt
from lightning_fabric import Fabric
from training.small_runs import make_recipe, of_kind
from training.toy_loop import toy_loop

from vlmt_cli.base.errors import DataError
from vlmt_cli.evaluation.setup import load_model
from vlmt_cli.runs.best import Best, find_weights
from vlmt_cli.runs.checkpoint import load_checkpoint
from vlmt_cli.runs.recipe import read_recipe
from vlmt_cli.training import in_process
from vlmt_cli.training.job import Job
from vlmt_cli.training.train import train

SCORES = [0.2, 0.6, 0.4, 0.3]
"""Of VQA, after every second iteration: the run is best after the fourth."""


@pytest.fixture(scope="module")
def peaked(trained_world, tmp_path_factory):
    """A run that was best after iteration 4 of 8, and its weights after each iteration, as bytes."""
    run, weights = tmp_path_factory.mktemp("runs") / "peaked", {}
    left, make_loop_task = iter(SCORES), in_process.make_loop_task

    @contextlib.contextmanager
    def report():
        def take(line):
            if line["kind"] == "save":
                weights[line["iteration"]] = (run / "model.safetensors").read_bytes()

        yield take

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            in_process, "make_loop_task", lambda *given: replace(make_loop_task(*given), validate=lambda _: next(left))
        )
        recipe = make_recipe("all-tasks", "vqa", iterations=8, evaluate_every=2, save_every=1)
        assert train(Job(recipe, trained_world, run, report=report))
    return run, weights


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        # VQA alone has a score until iteration 2; after that the mean of both counts, whichever is new.
        ({"vqa": [0.9, 0.2, 0.3, 0.6, 0.5, 0.6], "snli_ve": [0.4, 0.5, 0.4]}, [(2, 0.3), (3, 0.35), (4, 0.55)]),
        ({"vqa": [0.5, 0.5, 0.5, 0.5, 0.5, 0.5], "snli_ve": [0.5, 0.5, 0.5]}, [(2, 0.5)]),
        # Losses with their sign turned, as in pre-training; and what is NaN or infinite is never the best.
        ({"vqa": [-9, -8, -7, -7, -7, -7], "snli_ve": [-8, -5, -6]}, [(2, -8), (3, -7.5), (4, -6)]),
        ({"vqa": [math.nan, math.nan, 0.1, 0.2, math.nan, 0.1], "snli_ve": [0.1, 0.2, 0.1]}, [(3, 0.1), (4, 0.2)]),
    ],
)
def test_the_mean_of_all_tasks_latest_scores_says_when_a_run_is_best(scores, kept):
    loop, metrics = toy_loop(Fabric(accelerator="cpu", devices=1), [("vqa", "snli_ve")] * 6, scores)
    loop.plan.tasks["snli_ve"] = SimpleNamespace(evaluate_every=2, scale=1.0)
    found = []
    loop.keep = found.append
    assert loop.run()
    assert [(one.iteration, one.score) for one in found] == [(at, pytest.approx(score)) for at, score in kept]
    assert [(line["iteration"], line["score"]) for line in metrics if line["kind"] == "best"] == [
        (one.iteration, one.score) for one in found
    ]
    assert found[-1] == loop.state.best and found[-1].tasks.keys() == scores.keys()


def test_the_best_weights_lie_beside_the_last(peaked):
    run, weights = peaked
    assert json.loads((run / "best" / "validation.json").read_text()) == {
        "version": 1,
        "iteration": 4,
        "score": 0.6,
        "tasks": {"vqa": 0.6},
    }
    assert (run / "best" / "model.safetensors").read_bytes() == weights[4] != weights[8]
    assert (run / "model.safetensors").read_bytes() == weights[8]
    assert load_checkpoint(run / "best").lineage.stages[-1].steps == 4
    assert read_recipe(run / "best") == read_recipe(run)


def test_evaluate_scores_the_best_unless_told_otherwise(peaked, trained_world, tmp_path, capsys):
    run, _ = peaked
    predictions, scores, said = {}, {}, {}
    for name, source, options in (
        ("best", run, ()),
        ("named", run / "best", ()),
        ("last", run, ("--weights", "last")),
    ):
        to = tmp_path / name
        command = ["evaluate", "--model", str(source), "--data", str(trained_world), "--to", str(to), "--json"]
        assert vlmt(*command, *options) == 0
        scores[name] = json.loads((to / "scores.json").read_text())
        predictions[name] = pq.read_table(to / "predictions" / "vqa-val.parquet")
        said[name] = capsys.readouterr().err
    assert predictions["best"] == predictions["named"] != predictions["last"]
    assert [one["weights"] for one in scores.values()] == ["best", "best", "last"]
    assert scores["best"]["tasks"] == scores["named"]["tasks"]
    assert "Scoring its best weights, iteration 4, validation score 0.6000" in said["best"]
    assert "Scoring its last weights" in said["last"]


def test_other_commands_take_the_best_too(peaked, trained_world, tmp_path, capsys):
    run, weights = peaked
    for options, iteration in ((), 4), (("--weights", "last"), 8):
        target = tmp_path / f"{iteration}"
        assert vlmt("convert", str(run), str(target), *options) == 0
        assert (target / "model.safetensors").read_bytes() == weights[iteration]
        image = pq.read_table(trained_world / "examples" / "vqa" / "val.parquet")["images"][0][0].as_py()
        ask = ["predict", "--model", str(run), "--task", "vqa", image, "--text", "what color is it?"]
        assert vlmt(*ask, "--data", str(trained_world), *options) == 0
        said = capsys.readouterr().err
        assert said.count(f"{run}: best weights, iteration 4" if iteration == 4 else f"{run}: last weights") == 2
    assert vlmt("evaluate", "--model", str(run), "--weights", "first") == 2


def test_a_run_begins_with_the_best_of_another(peaked, trained_world, tmp_path, capsys):
    run, _ = peaked
    command = ["train", "--preset", "single-task", "--scale", "mini", "--data", str(trained_world)]
    command += ["--set", "training.iterations=1", "--set", f"start={run}"]
    for which, steps in (("best", 4), ("last", 8)):
        setting = ["--set", "start_weights=last"] if which == "last" else []
        assert vlmt(*command, *setting, "--run", str(tmp_path / str(steps))) == 0
        assert f"Initialising from {run}, its {which} weights" in capsys.readouterr().err
        assert load_checkpoint(tmp_path / str(steps)).lineage.stages[0].steps == steps


def test_a_run_without_validation_has_only_its_last(peaked, tmp_path):
    run, _ = peaked
    copy = tmp_path / "run"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("best"))
    found = find_weights(copy)
    assert (found.source, found.kind) == (str(copy), "last")
    assert str(found) == "last weights, as no validation of all tasks is saved"
    assert load_model(str(copy)).lineage.stages[-1].steps == 8
    assert find_weights(tmp_path / "nothing.pt").kind is None
    (copy / "best").mkdir()
    (copy / "best" / "validation.json").write_text('{"iteration": 4')
    with pytest.raises(DataError, match=r"validation\.json: is not valid JSON .*; take --weights last"):
        find_weights(copy)
    assert find_weights(copy, "last").source == str(copy)


def test_pre_training_is_best_where_its_validation_loss_is_least(trained_world, tmp_path):
    recipe = make_recipe("pretrain", iterations=6, evaluate_every=2, save_every=100)
    assert train(Job(recipe, trained_world, tmp_path / "run"))
    scores = {line["score"]: line["iteration"] for line in of_kind(tmp_path / "run", "validation")}
    best = find_weights(tmp_path / "run").best
    assert len(scores) == 3 and isinstance(best, Best)
    assert (best.score, best.iteration) == (max(scores), scores[max(scores)])
