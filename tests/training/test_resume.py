"""A run that is killed or interrupted, whenever that is, ends as if it had not been."""

import signal
from dataclasses import replace

import pytest
from commands.running import run as vlmt
from training.small_runs import (
    kill_after,
    kill_at_rename,
    make_recipe,
    of_kind,
    same_end,
    set_options,
    signal_after,
)

from vlmt_cli.base.errors import DataError
from vlmt_cli.runs.metrics import read_metrics
from vlmt_cli.training.train import Job, train

TASKS = "vqa,coco,refcoco"
CHOICES = {"iterations": 12, "save_every": 3, "evaluate_every": 2, "dropout": 0.1, "gap": 2}
SEED = 3


@pytest.fixture(scope="module")
def whole(trained_world, tmp_path_factory):
    """A run that nothing happened to, and in which a task stopped."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    assert train(Job(make_recipe("all-tasks", TASKS, **CHOICES), trained_world, run, SEED))
    assert any(line["state"] == "stop" for line in of_kind(run, "validation"))
    assert sum(line["updates"] for line in of_kind(run, "train")) < 36
    return run


@pytest.fixture
def job(trained_world, tmp_path):
    return Job(make_recipe("all-tasks", TASKS, **CHOICES), trained_world, tmp_path / "run", SEED)


def go_on(job):
    # The seed is the run's, whatever the command line says.
    assert train(replace(job, resume=True, seed=0))
    assert not [path.name for path in job.run.parent.iterdir() if path.name.startswith(".run")]


def never_twice(run):
    lines = [(line["kind"], line.get("iteration"), line.get("task")) for line in read_metrics(run)]
    return len(lines) == len(set(lines))


@pytest.mark.parametrize("iterations", [(3,), (4,), (8,), (11,), (5, 7, 10)])
def test_a_run_that_is_killed_ends_as_if_it_had_not_been(iterations, job, whole):
    for times, iteration in enumerate(iterations):
        kill_after(replace(job, resume=times > 0), iteration)
    go_on(job)
    assert same_end(job.run, whole) and never_twice(job.run)


@pytest.mark.parametrize("number", [2, 3, 4, 5, 7, 8])
def test_it_may_be_killed_in_the_middle_of_a_save(number, job, whole):
    """The first rename is the recipe's; a save moves the old folder aside, the new one in, and the other files back."""
    kill_at_rename(job, number)
    if number == 2:
        with pytest.raises(DataError, match="no intact|cannot be read|holds no run"):
            train(replace(job, resume=True, run=job.run.with_name("another")))
        go_on(replace(job, seed=SEED))
        return
    go_on(job)
    assert same_end(job.run, whole) and never_twice(job.run)
