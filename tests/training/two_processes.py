"""Several trainings in one pair of processes, as starting two takes longer than any of them."""

import functools
import os
import signal
import subprocess
import sys
from dataclasses import replace

import torch
from training.small_runs import wait_for
from training.toy_loop import heads_that_move, saves_by_time

from vlmt_cli.base.errors import VlmtError
from vlmt_cli.evaluation.processes import Devices, make_fabric
from vlmt_cli.tasks.process import Process
from vlmt_cli.training import in_process, saver
from vlmt_cli.training.train import prepare


def train_several(jobs):
    """Train jobs one after another in two processes; returns what each came to, and which parameters moved.

    The saves of a job of the name ``full`` find the disk full.
    """
    jobs = {name: prepare(replace(job, devices=Devices("cpu", 2))) for name, job in jobs.items()}
    first = next(iter(jobs.values()))
    fabric = make_fabric(first.recipe.training.precision, first.devices)
    return fabric.launch(functools.partial(_in_each, jobs=jobs))


def _in_each(fabric, jobs):
    torch.set_num_threads(1)
    results = {}
    save = saver.save_pretrained
    for name, job in jobs.items():
        saver.save_pretrained = _full if name == "full" else save
        try:
            results[name] = in_process.train_here(fabric, job)
        except VlmtError as error:
            results[name] = error
    saves = fabric.all_gather(torch.tensor(saves_by_time(fabric)))
    process = Process(fabric.device, fabric.global_rank, fabric.world_size)
    told = process.from_first(process.to_first([process.rank] * (2 + process.rank)))
    return results | {"moved": heads_that_move(fabric), "saves": saves.tolist(), "told": told}


def _full(run, *_):
    raise VlmtError("no space left on the disk", where=run)


def interrupt(arguments, run, iteration, number):
    """Run ``vlmt`` and, after an iteration, end it: SIGTERM for the first process, SIGKILL for all of them.

    Returns exit code and output.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "vlmt_cli", *arguments],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:
        try:
            wait_for(run, iteration, lambda: process.poll() is None)
            (os.killpg if number == signal.SIGKILL else os.kill)(process.pid, number)
            output, _ = process.communicate(timeout=180)
        finally:
            process.kill()
    return process.returncode, output
