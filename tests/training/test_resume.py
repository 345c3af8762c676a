"""A run that is killed or interrupted, whenever that is, ends as if it had not been."""

import shutil
import signal
from collections import Counter
from dataclasses import replace

import pytest
from commands.running import run as vlmt
from lightning_fabric import Fabric
from training.small_runs import (
    kill_after,
    kill_at_rename,
    make_recipe,
    of_kind,
    same_end,
    set_options,
    signal_after,
    told,
    updates,
)
from training.toy_loop import saves_by_time, toy_loop

from vlmt_cli.analysis.schedule.schedule import read_schedule, totals
from vlmt_cli.base.errors import DataError
from vlmt_cli.clean.split_folder import read_report
from vlmt_cli.runs.checkpoint import load_state
from vlmt_cli.runs.metrics import read_metrics
from vlmt_cli.runs.recipe_sections import TrainingChoices
from vlmt_cli.training import in_process
from vlmt_cli.training.job import Job
from vlmt_cli.training.plan import make_plan
from vlmt_cli.training.train import train

TASKS = "vqa,coco,refcoco"
CHOICES = {"iterations": 12, "save_every": 3, "evaluate_every": 2, "dropout": 0.1, "gap": 2, "log_every": 5}
SEED = 3


@pytest.fixture(scope="module")
def whole(trained_world, tmp_path_factory):
    """A run that nothing happened to, and in which a task stopped."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    assert train(Job(make_recipe("all-tasks", TASKS, **CHOICES), trained_world, run, SEED))
    assert any(line["state"] == "stop" for line in of_kind(run, "validation"))
    assert updates(run) == load_state(run)["batches"] and updates(run).total() < 3 * 12
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


@pytest.mark.parametrize("iterations", [(2,), (8,), (4, 6, 10)])
def test_a_run_that_is_killed_ends_as_if_it_had_not_been(iterations, job, whole):
    """It is killed before it first saves, too, and several times."""
    for times, iteration in enumerate(iterations):
        kill_after(replace(job, resume=times > 0), iteration)
    go_on(job)
    assert same_end(job.run, whole) and told(job.run) == told(whole) and never_twice(job.run)


def test_drawn_tasks_are_drawn_again_as_they_were(trained_world, tmp_path, monkeypatch):
    """And each of an iteration's draws is one update, of a batch of its own."""
    recipe = make_recipe("size-proportional", "vqa,refcoco", iterations=4, save_every=2)
    whole, broken = (Job(recipe, trained_world, tmp_path / name, SEED) for name in ("whole", "broken"))
    assert train(whole)
    plan = make_plan(recipe, {task: one["examples"] for task, one in of_kind(whole.run, "start")[0]["tasks"].items()})
    draws = [plan.draw(iteration, SEED) for iteration in (1, 2, 3, 4)]
    assert any(len(set(draw)) < len(draw) for draw in draws)
    assert updates(whole.run) == Counter(task for draw in draws for task in draw)
    assert {
        task: totals(one.segments, 1, one.drawn).updates for task, one in read_schedule(whole.run).tasks.items()
    } == {task: updates(whole.run)[task] for task in recipe.tasks}
    append = in_process.append

    def break_off(run, record):
        if record["iteration"] == 3:
            raise InterruptedError
        append(run, record)

    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(in_process, "append", break_off)
        train(broken)
    go_on(broken)
    assert same_end(broken.run, whole.run) and told(broken.run) == told(whole.run)


@pytest.mark.parametrize("number", [3, 4, 7, 9])
def test_it_may_be_killed_in_the_middle_of_a_save(number, job, whole):
    """The first rename is the recipe's; a save moves the old folder aside, the new one in, and the other files back."""
    kill_at_rename(job, number)
    assert [path for path in job.run.parent.iterdir() if path.suffix in (".old", ".partial")]
    go_on(job)
    assert same_end(job.run, whole) and told(job.run) == told(whole) and never_twice(job.run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_saves_and_says_how_to_go_on(number, job, whole, tmp_path):
    options = [word for setting in set_options(**CHOICES) for word in ("--set", setting)]
    command = ["train", "--task", TASKS, "--scale", "mini", "--data", str(job.data), "--run", str(job.run), *options]
    code, output = signal_after([*command, "--seed", str(SEED)], 4, number, tmp_path / "output")
    assert code == 130
    (line,) = [line for line in output.splitlines() if line.startswith("vlmt: ")]
    assert line == f"vlmt: {job.run}: interrupted and saved; resume it with the same command and --resume"
    assert of_kind(job.run, "save")[-1]["iteration"] == 4
    assert vlmt(*command, "--resume") == 0
    assert same_end(job.run, whole) and updates(job.run) == updates(whole) and never_twice(job.run)


def test_a_run_is_saved_by_time_as_well_as_by_iterations():
    fabric = Fabric(accelerator="cpu", devices=1)
    assert saves_by_time(fabric) == [3, 6, 7, 10, 12]
    assert TrainingChoices().save_minutes == 30
    loop, metrics = toy_loop(fabric, [("vqa",)] * 3, save_minutes=None)
    loop.clock = lambda: 1e9 * loop.state.iteration
    assert loop.run()
    assert [line["iteration"] for line in metrics if line["kind"] == "save"] == [3]


def test_what_is_over_is_not_trained_again(job, whole, tmp_path):
    shutil.copytree(whole, job.run)
    go_on(job)
    assert same_end(job.run, whole)
    assert of_kind(job.run, "end") == of_kind(whole, "end")


def test_a_run_goes_on_with_its_own_split_alone(job, whole, trained_world, tmp_path):
    shutil.copytree(whole, job.run)
    data = tmp_path / "data"
    data.mkdir()
    for path in trained_world.iterdir():
        (data / path.name).symlink_to(path)
    (data / "clean").unlink()
    shutil.copytree(trained_world / "clean", data / "clean")
    report = data / "clean" / "report.json"
    before = read_report(data / "clean").split_hash
    report.write_text(report.read_text().replace(before, "f" * 64))
    with pytest.raises(DataError, match=f"trained on split {before}, and the data now have {'f' * 64}; clean again"):
        train(replace(job, data=data, resume=True))
    assert same_end(job.run, whole)


def test_nothing_and_damage_are_no_run_to_go_on_with(job, whole):
    with pytest.raises(DataError, match="holds no run"):
        train(replace(job, resume=True))
    shutil.copytree(whole, job.run)
    state = (job.run / "state.pt").read_bytes()
    (job.run / "state.pt").write_bytes(state[: len(state) // 2])
    with pytest.raises(DataError, match=r"state\.pt: is not an intact file"):
        train(replace(job, resume=True))
    assert (job.run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_a_gap_of_1_is_round_robin_bit_for_bit(trained_world, tmp_path):
    """Table 11, row 1: whatever steers, and when nothing ever does."""
    choices = {"iterations": 6, "evaluate_every": 1, "converged": 10.0}
    variants = {
        "paper": {"gap": 1},
        "authors": {"gap": 1, "variant": "authors"},
        "nothing": {"evaluate_every": 100},
        "steered": {},
    }
    for name, variant in variants.items():
        assert train(Job(make_recipe("all-tasks", TASKS, **{**choices, **variant}), trained_world, tmp_path / name))
    weights = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in variants}
    assert weights["paper"] == weights["authors"] == weights["nothing"] != weights["steered"]
    assert any(line["state"] == "stop" for line in of_kind(tmp_path / "paper", "validation"))
