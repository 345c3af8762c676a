"""Trainings that train nothing, for sweeps: functions of a module, as other processes must find them."""

import os
import signal
import threading
import time

from analysis.handmade_runs import write_run

from vlmt_cli.base.errors import VlmtError
from vlmt_cli.datasets.table import TASKS
from vlmt_cli.evaluation.bootstrap import Estimate
from vlmt_cli.evaluation.score_tables import official_split
from vlmt_cli.evaluation.scores import TaskScore, make_scores, write_scores
from vlmt_cli.runs.metrics import append, read_metrics
from vlmt_cli.runs.recipe import read_recipe

ITERATIONS = 8


def train(job):
    """Count iterations, each of which is saved, and tell the folder of all runs of each."""
    job.run.mkdir(parents=True, exist_ok=True)
    done = 0
    if job.resume:
        done = max(line["iteration"] for line in read_metrics(job.run) if line["kind"] == "save")
    else:
        write_run(job.run, job.recipe, seed=job.seed, end=False)
    for iteration in range(done + 1, ITERATIONS + 1):
        with (job.run.parent / "log").open("a") as log:
            log.write(f"{job.run.name} {iteration}\n")
        append(job.run, {"kind": "save", "iteration": iteration})
        (job.run / "state.pt").touch()
        time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
    for task in job.recipe.tasks:
        append(job.run, {"kind": "validation", "iteration": iteration, "task": task, "score": 0.5, "state": "go"})
    append(job.run, {"kind": "end", "iteration": iteration, "seconds": 1.0})
    return True


def score(run, data, weights, device, partial):
    """Give every task half of the points, and note the run."""
    share = Estimate(0.5, 0.4, 0.6, 10, 5)
    tasks = {
        task: TaskScore(metric=TASKS[task].metric, split=official_split(task), score=share)
        for task in read_recipe(run).tasks
    }
    scores = make_scores(str(run), tasks, split_hash=None, recipe_hash=None, leaks_allowed=False, resamples=10,
                         resampled="image", seed=0)  # fmt: skip
    write_scores(run / "scores.json", scores)
    with (run.parent / "scored").open("a") as log:
        log.write(f"{run.name}\n")


def fail(job):
    """Train all but one."""
    if "visual7w" in job.recipe.tasks:
        raise VlmtError("the loss of visual7w is NaN or infinite", where=job.run, todo="lower the rate")
    return train(job)


def succeed():
    return True


def refuse():
    raise VlmtError("refused", where="here")


def break_down():
    raise ValueError("broken")


def die():
    os._exit(9)


def visible_device():
    raise VlmtError(f"{os.environ.get('CUDA_VISIBLE_DEVICES')} {os.environ.get('OMP_NUM_THREADS')}")


def wait_for_a_signal():
    """As training does: note a signal, save, and return."""
    noted = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: noted.set())
    os.kill(os.getppid(), signal.SIGTERM)
    while not noted.wait(0.05):
        pass
    signal.signal(signal.SIGTERM, before)
    return False


def wait_for_ever():
    print(os.getpid(), flush=True)
    time.sleep(600)
