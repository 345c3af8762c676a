"""Small trainings for tests, in this process and in others, which can be killed."""

import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import suppress

import torch

from vlmt_cli.base.processes import fork_server
from vlmt_cli.base.recipes import load_recipe
from vlmt_cli.runs.checkpoint import WEIGHTS, load_state
from vlmt_cli.runs.metrics import METRICS, read_metrics
from vlmt_cli.runs.recipe import Recipe
from vlmt_cli.training import in_process
from vlmt_cli.training.train import train

SMALL = {"batch_size": 4, "validation_examples": 4, "log_every": 1, "evaluate_every": 3}
BEST_FILES = tuple(f"best/{name}" for name in (WEIGHTS, "validation.json", "config.json"))
TIMES = ("seconds", "examples_per_second", "waiting")
SERVER = fork_server()


def set_options(**training):
    """Settings of the section ``training``, as the command line takes them."""
    return [f"training.{key}={json.dumps(value)}" for key, value in {**SMALL, **training}.items()]


def make_recipe(preset="all-tasks", tasks=None, **training):
    """A recipe at mini scale; keyword arguments are keys of its section ``training``."""
    return load_recipe(preset, Recipe, set_options(**training), "mini", **({"tasks": tasks} if tasks else {}))


def of_kind(run, kind):
    """The lines of one kind in a run's metrics."""
    return [line for line in read_metrics(run) if line["kind"] == kind]


def told(run):
    """What a run's metrics say of its losses and scores, without the time that it took."""
    lines = of_kind(run, "train") + of_kind(run, "validation")
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


def updates(run):
    """How many updates of each task a run's metrics tell of."""
    return Counter(line["task"] for line in of_kind(run, "train") for _ in range(line["updates"]))


def same_end(one, other):
    """Whether two runs ended with the same weights, best weights, optimizer and states, bit for bit."""
    weights = [{file: (run / file).read_bytes() for file in (WEIGHTS, *BEST_FILES)} for run in (one, other)]
    states = [load_state(run) for run in (one, other)]
    for state in states:
        del state["seconds"]
    return weights[0] == weights[1] and _equal(*states)


def _equal(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def wait_for(run, iteration, goes_on):
    """Wait until a run in another process has told of an iteration; ``goes_on`` says whether the process still does."""
    began = time.monotonic()
    while time.monotonic() - began < 180:
        lines = ""
        with suppress(FileNotFoundError):  # not written yet, or just put in the place of another one
            lines = (run / METRICS).read_text()
        if f'"iteration": {iteration},' in lines:
            return
        assert goes_on(), "it ended before"
        time.sleep(0.005)
    raise AssertionError(f"no iteration {iteration} within three minutes")


def kill_after(job, iteration):
    """Train in another process that is killed at a random moment after an iteration."""
    assert _run_elsewhere(_train_until_killed, job, iteration) == -signal.SIGKILL


def kill_at_rename(job, number):
    """Train in another process that is killed where it would rename for the n-th time, counted from 1."""
    assert _run_elsewhere(_train_until_rename, job, number) == -signal.SIGKILL


def signal_after(arguments, iteration, number, output):
    """Run ``vlmt`` in another process that gets a signal after an iteration; returns its exit code and output."""
    return _run_elsewhere(_command, arguments, iteration, number, output), output.read_text()


def start(arguments, printed):
    """Start ``vlmt`` in another process, which prints to ``out`` and ``err`` in the new folder ``printed``."""
    printed.mkdir()
    process = SERVER.Process(target=_print_to_files, args=(arguments, printed))
    process.start()
    return process


def _run_elsewhere(function, *arguments):
    process = SERVER.Process(target=function, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def _train_until_killed(job, iteration):
    def kill():
        threading.Timer(random.random() / 30, os.kill, (os.getpid(), signal.SIGKILL)).start()

    torch.set_num_threads(1)
    _after(iteration, kill, slow=0.02)
    train(job)


def _train_until_rename(job, number):
    replace, calls = os.replace, []

    def replace_or_die(source, target):
        calls.append(target)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    torch.set_num_threads(1)
    os.replace = replace_or_die
    train(job)


def _command(arguments, iteration, number, output):
    from commands.running import run

    torch.set_num_threads(1)
    _after(iteration, lambda: os.kill(os.getpid(), number))
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        code = run(*arguments)
        sys.stderr.flush()
    sys.exit(code)


def _print_to_files(arguments, printed):
    from commands.running import run

    os.environ["OMP_NUM_THREADS"] = "1"  # of those that it starts
    torch.set_num_threads(1)
    for number, name in ((1, "out"), (2, "err")):
        with (printed / name).open("w") as file:
            os.dup2(file.fileno(), number)
    sys.exit(run(*arguments))


def _after(iteration, act, slow=0.0):
    """Do something once when a run tells of an iteration; from there on each line takes its time."""
    append, done = in_process.append, []

    def append_and_act(run, record):
        append(run, record)
        if record["iteration"] >= iteration:
            if not done:
                done.append(act())
            time.sleep(slow)

    in_process.append = append_and_act
