"""A sweep trains what is missing and nothing else, whatever happens to it in between."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from analysis import fake_training
from analysis.handmade_runs import make_recipe, write_lineage, write_run

from vlmt_cli.analysis.relations.sweep import Wanted, beginning_with, find
from vlmt_cli.analysis.relations.sweep_plan import SweepPlan, make_sweep_plan, within_budget
from vlmt_cli.analysis.relations.sweep_run import Launch, devices_here, run_sweep
from vlmt_cli.analysis.relations.sweep_workers import work_off
from vlmt_cli.base.errors import DataError, UsageError, VlmtError

SETTING = f"training.iterations={fake_training.ITERATIONS}"
RECIPE = make_recipe("pairs", SETTING, tasks=["vqa"])
NAMES = ("a", "b", "c")


def wanted(*names, recipe=RECIPE):
    return [Wanted(name, recipe, seed) for seed, name in enumerate(names)]


def states(found):
    return {one.wanted.name: (one.state, round(one.share, 2)) for one in found}


def test_runs_are_finished_half_done_or_missing(tmp_path):
    runs = tmp_path / "runs"
    write_run(runs / "pairs" / "a", RECIPE, {"vqa": 0.5})
    write_run(runs / "pairs" / "b", RECIPE, {"vqa": 0.5}, seed=1, end=False)
    (runs / "pairs" / "b" / "state.pt").touch()
    with (runs / "pairs" / "b" / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "save", "iteration": 2}\n{"kind": "tra')  # cut by a crash
    write_run(runs / "pairs" / "c", RECIPE, {"vqa": 0.5}, seed=2, end=False)  # killed before it first saved
    found = find(wanted("a", "b", "c", "d"), runs, "pairs", tmp_path)
    assert states(found) == {"a": ("finished", 1), "b": ("half-done", 0.25), "c": ("missing", 0), "d": ("missing", 0)}


@pytest.mark.parametrize(
    ("recipe", "seed", "what"),
    [
        (make_recipe("pairs", SETTING, "training.learning_rate=0.5", tasks=["vqa"]), 0, "training.learning_rate is"),
        (make_recipe("pairs", SETTING, tasks=["gqa"]), 0, "tasks is"),
        (RECIPE, 7, "its seed is 7, not 0"),
    ],
)
def test_a_folder_with_another_run_is_refused(tmp_path, recipe, seed, what):
    write_run(tmp_path / "pairs" / "a", recipe, {recipe.tasks[0]: 0.5}, seed=seed)
    with pytest.raises(UsageError, match=what) as caught:
        find(wanted("a"), tmp_path, "pairs", tmp_path)
    assert "name another sweep" in str(caught.value)


def test_what_only_looks_on_makes_no_other_run(tmp_path):
    other = make_recipe("pairs", SETTING, "training.log_every=7", "training.affinity_every=3", tasks=["vqa"])
    write_run(tmp_path / "pairs" / "a", other, {"vqa": 0.5})
    assert states(find(wanted("a"), tmp_path, "pairs", tmp_path)) == {"a": ("finished", 1)}


def test_the_same_run_elsewhere_is_used(tmp_path):
    elsewhere = write_run(tmp_path / "single-task-vqa", RECIPE, {"vqa": 0.5})
    write_run(tmp_path / "unrelated", make_recipe("pairs"), {"vqa": 0.5})
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "recipe.yaml").write_text("tasks: [")
    found = find(wanted("a", "b"), tmp_path, "pairs", tmp_path)
    assert states(found) == {"a": ("finished", 1), "b": ("missing", 0)}
    assert found[0].folder == elsewhere


def test_a_run_that_left_its_trunk_open_is_one_of_the_trunk_that_it_has(tmp_path):
    elsewhere = write_run(tmp_path / "single-task-vqa", RECIPE, {"vqa": 0.5})
    (elsewhere / "config.json").write_text('{"trunk": {"kind": "lxmert"}}')
    named = [make_recipe("pairs", SETTING, f"model.trunk={trunk}", tasks=["vqa"]) for trunk in ("lxmert", "vilbert")]
    found = find([Wanted(name, one) for name, one in zip("ab", named, strict=True)], tmp_path, "trunks", tmp_path)
    assert states(found) == {"a": ("finished", 1), "b": ("missing", 0)}


def test_a_sweep_begins_with_the_pretraining_beside_it(tmp_path):
    auto = RECIPE.model_copy(update={"start": "auto"})
    assert beginning_with(auto, tmp_path).start is None
    write_lineage(tmp_path / "pretrain", "pretrain")
    recipe = beginning_with(auto, tmp_path)
    assert recipe.start == "../pretrain"

    run = write_run(tmp_path / "pairs" / "a", recipe, {"vqa": 0.5})
    write_lineage(run, "pretrain", "a")
    assert find(wanted("a", recipe=recipe), tmp_path, "pairs", tmp_path)[0].state == "finished"
    write_lineage(run, "a")  # it began before there was a pre-training
    with pytest.raises(UsageError, match="it began with initial weights, and not with"):
        find(wanted("a", recipe=recipe), tmp_path, "pairs", tmp_path)


def test_estimates_come_from_finished_runs(tmp_path):
    two = make_recipe("pairs", SETTING, tasks=["vqa", "nlvr2"])
    # 8 iterations of 10 examples at 50 a second are 1.6 seconds of updates a task; the run took twice as long.
    losses = [(8, "vqa", 1.0, 8), (8, "nlvr2", 1.0, 8)]
    write_run(tmp_path / "pairs" / "a", two, {"vqa": 0.5, "nlvr2": 0.5}, seconds=6.4, losses=losses)
    plan = make_sweep_plan(
        find(wanted("a", "b", "c", recipe=two), tmp_path, "pairs", tmp_path), tmp_path, tmp_path, "cpu", 2
    )
    assert plan.seconds == pytest.approx([0, 6.4, 6.4]) and plan.total == pytest.approx(6.4)
    assert plan.how.startswith("measured in 1 finished run")
    on_gpu = make_sweep_plan(plan.runs, tmp_path, tmp_path, "cuda")
    assert "guessed with 3,000 examples a second on each GPU" in on_gpu.how
    assert on_gpu.seconds == pytest.approx([0, 160 / 3000, 160 / 3000])


def sweep(runs, parallel=1, trainer=fake_training.train):
    plan = make_sweep_plan(find(wanted(*NAMES), runs, "pairs", runs), runs, runs, "cpu", parallel)
    return run_sweep(plan, runs, Launch(parallel=parallel), trainer)


def started(code, *arguments, **environment):
    """Another Python that runs some code and finds these tests."""
    places = [str(Path(__file__).parents[2]), str(Path(__file__).parents[3])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)} | environment
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], env=environment, stdout=subprocess.PIPE)


SWEEP = """
import sys
from pathlib import Path
from analysis.relations import test_sweep
test_sweep.sweep(Path(sys.argv[1]))
"""


def test_killed_and_started_again_trains_only_what_is_missing(tmp_path):
    log = tmp_path / "pairs" / "log"
    with started(SWEEP, tmp_path, FAKE_SECONDS="0.05") as process:
        while not log.exists() or len(log.read_text().splitlines()) < 12:
            time.sleep(0.01)
            assert process.poll() is None
        process.kill()
    before = log.read_text().splitlines()
    assert {line.split()[0] for line in before} == {"a", "b"}
    assert sorted(one.state for one in find(wanted(*NAMES), tmp_path, "pairs", tmp_path)) == [
        "finished",
        "half-done",
        "missing",
    ]
    assert sweep(tmp_path)
    lines = log.read_text().splitlines()
    assert lines[: len(before)] == before
    assert sorted(lines) == sorted(f"{name} {number}" for name in NAMES for number in range(1, 9))
    assert sweep(tmp_path) and log.read_text().splitlines() == lines


FOREVER = """
from analysis import fake_training
from vlmt_cli.analysis.relations.sweep_workers import work_off
if __name__ == "__main__":
    work_off([fake_training.wait_for_ever], [""], int)
"""


def test_processes_end_with_their_parent():
    with started(FOREVER) as process:
        worker = int(process.stdout.readline())
        process.kill()
        process.stdout.read()  # until the last of them has closed it
    with pytest.raises(ProcessLookupError):
        while True:
            os.kill(worker, 0)
            time.sleep(0.05)


def test_a_run_that_converges_before_its_last_iteration_is_done(tmp_path):
    recipe = make_recipe("single-task", f"training.iterations={5 * fake_training.ITERATIONS}", tasks=["vqa"])
    plan = make_sweep_plan(find([Wanted("a", recipe)], tmp_path, "pairs", tmp_path), tmp_path, tmp_path, "cpu")
    told = []
    assert run_sweep(plan, tmp_path, Launch(), fake_training.train, lambda *what: told.append(what))
    assert told[-1] == ("1 of 1 runs", 40, 40)


def test_a_run_that_fails_takes_no_other_with_it(tmp_path):
    runs = [Wanted("a", make_recipe("pairs", SETTING, tasks=["visual7w"])), *wanted("b")]
    plan = make_sweep_plan(find(runs, tmp_path, "pairs", tmp_path), tmp_path, tmp_path, "cpu")
    told = []
    with pytest.raises(VlmtError, match=r"pairs/a: the loss of visual7w is NaN or infinite; lower the rate"):
        run_sweep(plan, tmp_path, Launch(), fake_training.fail, lambda *what: told.append(what))
    assert [one.state for one in find(runs, tmp_path, "pairs", tmp_path)] == ["missing", "finished"]
    assert told[-1] == ("1 of 2 runs", 8, 16)


def test_a_launcher_starts_runs_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    plan = make_sweep_plan(find(wanted("a"), tmp_path, "pairs", tmp_path), tmp_path, tmp_path, "cpu")
    assert run_sweep(plan, tmp_path, Launch(launcher="local"), fake_training.train)
    assert (tmp_path / "pairs" / "log").read_text().count("a ") == 8


def test_workers_survive_what_their_tasks_do():
    tasks = [fake_training.die, fake_training.refuse, fake_training.break_down, fake_training.succeed]
    looks = []
    results = work_off(tasks, ["", ""], lambda: looks.append(1))
    assert [str(result) for result in results] == [
        "a process that trains died; run it again: it goes on where it was; memory may be short",
        "here: refused",
        "ValueError: broken; run it again: it goes on where it was",
        "True",
    ]
    assert looks


def test_every_process_has_its_own_gpu(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert devices_here("cuda", None) == ["5", "7"] and devices_here("cuda", 1) == ["5"]
    assert devices_here("cpu", None) == [""] and devices_here("cpu", 3) == ["", "", ""]
    with pytest.raises(UsageError, match="3 runs at a time take a GPU each, and there are 2"):
        devices_here("cuda", 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4")
    assert devices_here("cuda", None, 2) == ["0,1", "2,3"] and devices_here("cuda", 1, 4) == ["0,1,2,3"]
    with pytest.raises(UsageError, match="3 runs at a time take 2 GPUs each, and there are 5; give --parallel or"):
        devices_here("cuda", 3, 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert [str(one) for one in work_off([fake_training.visible_device], ["7"], int)] == ["7 None"]


def test_a_process_chooses_its_gpu_and_threads_before_torch_is_there():
    code = "import sys, vlmt_cli.analysis.relations.sweep_workers; print('torch' in sys.modules)"
    with started(code) as process:
        assert process.stdout.read() == b"False\n"


def test_an_interrupt_reaches_the_runs_and_begins_no_other():
    began = time.monotonic()
    before = signal.getsignal(signal.SIGTERM)
    assert work_off([fake_training.wait_for_a_signal, fake_training.die], [""], int) is None
    assert time.monotonic() - began < 20 and signal.getsignal(signal.SIGTERM) is before


def test_bad_metrics_are_named(tmp_path):
    folder = write_run(tmp_path / "pairs" / "a", RECIPE, {"vqa": 0.5})
    text = (folder / "metrics.jsonl").read_text()
    (folder / "metrics.jsonl").write_text("nonsense\n" + text)
    with pytest.raises(DataError, match=r"metrics.jsonl:1: is not valid JSON .*; delete the line"):
        find(wanted("a"), tmp_path, "pairs", tmp_path)


def test_runs_are_scored_where_they_were_trained_and_only_those_without_scores(tmp_path):
    def go():
        plan = make_sweep_plan(find(wanted("a", "b"), tmp_path, "pairs", tmp_path), tmp_path, tmp_path, "cpu")
        return run_sweep(plan, tmp_path, Launch(), fake_training.train, scorer=fake_training.score)

    assert go()
    log = tmp_path / "pairs" / "scored"
    assert log.read_text().split() == ["a", "b"]
    assert go() and log.read_text().split() == ["a", "b"]
    (tmp_path / "pairs" / "a" / "scores.json").unlink()
    assert go() and log.read_text().split() == ["a", "b", "a"]
    weights = tmp_path / "pairs" / "b" / "model.safetensors"
    weights.touch()  # trained on since it was scored
    os.utime(weights, (time.time() + 10, time.time() + 10))
    assert go() and log.read_text().split() == ["a", "b", "a", "b"]
    assert len((tmp_path / "pairs" / "log").read_text().splitlines()) == 2 * fake_training.ITERATIONS


def test_a_budget_keeps_the_order_and_names_what_it_leaves_out(tmp_path):
    write_run(tmp_path / "pairs" / "a", RECIPE, {"vqa": 0.5})
    runs = find(wanted(*"abcd"), tmp_path, "pairs", tmp_path)
    plan = SweepPlan(runs, [0.0, 3600.0, 7200.0, 1800.0], [8] * 4, 1, "measured")
    fits, lines = within_budget(plan, 1.5)
    assert [run.wanted.name for run in fits.runs] == ["a", "b"] and fits.total == 3600
    assert lines == [
        "Left out, as 30.0 minutes of 1.5 hours are left and the first of them takes about 2.0 hours: c and d; all of"
        " them take about 2.5 hours more"
    ]
    assert [run.wanted.name for run in within_budget(plan, 10, gpus=2)[0].runs] == ["a", "b", "c", "d"]
    assert [run.wanted.name for run in within_budget(plan, 3, gpus=2)[0].runs] == ["a", "b"]
    assert within_budget(plan, 0)[0].iterations == (8,)
