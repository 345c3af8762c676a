"""Of two processes that train into one folder the second is refused, and harms nothing."""

import re

import pytest
from commands.running import run as vlmt
from training.small_runs import make_recipe, of_kind, set_options, start, wait_for

from vlmt_cli.analysis.relations.sweep import Wanted
from vlmt_cli.analysis.relations.sweep_run import SweepJob
from vlmt_cli.base.errors import VlmtError
from vlmt_cli.training.train import train

CHOICES = {"iterations": 100_000, "save_every": 100_000, "evaluate_every": 100_000}


@pytest.fixture
def first(trained_world, tmp_path):
    """A process that trains into the folder ``run``, and the command that started it."""
    run = tmp_path / "run"
    options = [word for setting in set_options(**CHOICES) for word in ("--set", setting)]
    command = ["train", "--task", "vqa", "--device", "cpu", "--scale", "mini", "--data", str(trained_world)]
    command += ["--run", str(run), *options]
    process = start(command, tmp_path / "printed")
    try:
        wait_for(run, 1, process.is_alive)
        yield process, command
    finally:
        process.kill()
        process.join()


def test_the_second_process_is_refused_and_told_who_trains(first, trained_world, tmp_path, capfd):
    process, command = first
    half_written = tmp_path / ".run.0123abcd.partial"  # as the first process has it while it saves
    half_written.mkdir()
    for arguments in (command, [*command, "--resume"], ["pretrain", *command[3:]]):
        assert vlmt(*arguments) == 1
        [error] = [line for line in capfd.readouterr().err.splitlines() if line.startswith("vlmt: ")]
        assert re.fullmatch(
            rf"vlmt: {tmp_path}/run: is in use: process {process.pid} on \S+ has held it since [-\d]+ [:\d]+; "
            "wait until it has ended, or name another folder with --run",
            error,
        )
    wanted = Wanted("run", make_recipe("all-tasks", "vqa", **CHOICES), 0)
    with pytest.raises(VlmtError, match=f"process {process.pid} on .*; run it again when that has ended"):
        SweepJob(wanted, tmp_path / "run", trained_world, "cpu", False, train)()
    assert half_written.exists() and process.is_alive()
    assert len(of_kind(tmp_path / "run", "start")) == 1
