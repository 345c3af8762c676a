"""A run as a job of a SLURM cluster, which is requeued and resumes by itself until it is complete.

SLURM sends each process a signal some minutes before a job's time is up, or when it makes room for another job. The run
is saved then, and submitit requeues the job, which finds the run in its folder. So does a job that SLURM itself starts
again after a machine has failed.
"""

import contextlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vlmt_cli.base.attempts import Result, attempt
from vlmt_cli.base.cluster import make_executor
from vlmt_cli.base.errors import VlmtError
from vlmt_cli.base.processes import started_from_outside
from vlmt_cli.evaluation.processes import Devices
from vlmt_cli.runs.metrics import METRICS, saved_iteration
from vlmt_cli.runs.recipe import RECIPE
from vlmt_cli.training.job import Job, Listener
from vlmt_cli.training.processes import interrupts
from vlmt_cli.training.train import opened, train

JOBS = ".jobs"
"""The folder beside runs with what jobs print."""
_POLL = 0.5  # seconds
_IN_VAIN = 2
"""Starts in a row without anything new, after which a job is not requeued."""


@dataclass
class ClusterJob:
    """Work as submitit starts it, in each process of a job; the work goes on where it was when it is done again.

    Attributes:
        work: returns whether it is complete.
        run: its folder.
        began: the iteration from which this start went on.
        in_vain: how many starts in a row saved nothing new.
    """

    work: Callable[[], bool]
    run: Path
    began: int = 0
    in_vain: int = 0

    def __call__(self) -> Result:
        _take_ranks_from_submitit()
        return attempt(self._go_on)

    def _go_on(self) -> bool:
        self.began = saved_iteration(self.run)
        return self.work()

    def checkpoint(self) -> Any:
        """Go on in another job when the time of this one is up; submitit asks.

        Raises:
            VlmtError: neither this start nor the one before saved anything new. A job that has just begun may have had
                to make room for another; one that does so again will never get anywhere.
        """
        from submitit.helpers import DelayedSubmission

        in_vain = 0 if saved_iteration(self.run) > self.began else self.in_vain + 1
        if in_vain == _IN_VAIN:
            todo = "give each start more time, such as --sbatch time=24:00:00, and go on from there"
            raise VlmtError(f"{in_vain} starts in a row saved nothing new", where=self.run, todo=todo)
        return DelayedSubmission(replace(self, in_vain=in_vain))


@dataclass(frozen=True)
class TrainingJob:
    """A training that resumes from its run folder."""

    job: Job

    def __call__(self) -> bool:
        return train(replace(self.job, resume=None))


def train_on_cluster(
    job: Job, launcher: str, sbatch: Mapping[str, str], report: Callable[[], AbstractContextManager[Listener]]
) -> bool:
    """Train as one job of a cluster, a process a GPU, and wait for it.

    The job does not need this process: it goes on when that is killed. Ctrl-C or SIGTERM cancels the job, which saves.

    Args:
        job: as for ``train``; its folder, data and this program must have the same paths on every machine.
        launcher: ``slurm``, or ``local`` for processes of this machine.
        sbatch: further options of sbatch.
        report: makes the function that gets every line of metrics.

    Returns:
        Whether the run came to its end.

    Raises:
        VlmtError: as ``train``; or the job failed.
    """
    devices = job.devices
    with opened(replace(job, devices=Devices())) as opened_job:  # what it refuses is refused here
        job = replace(opened_job, devices=devices)
    executor = make_executor(
        job.run.parent / JOBS,
        launcher,
        f"vlmt-{job.run.name}",
        cpus=8 if devices.kind == "cuda" else 2,
        gpus=devices.processes if devices.kind == "cuda" else 0,
        nodes=devices.nodes,
        tasks=devices.processes,
        sbatch=sbatch,
    )
    if not job.resume:
        (job.run / RECIPE).unlink(missing_ok=True)  # of a run that was killed before it first saved
    lines = _new_lines(job.run / METRICS)
    first = executor.submit(ClusterJob(TrainingJob(job), job.run)).task(0)
    with report() as tell, interrupts() as interrupted:
        while not first.done():
            for line in next(lines):
                tell(line)
            if interrupted.wait(_POLL):
                first.cancel(check=False)
                return False
        for line in next(lines):
            tell(line)
    try:
        result: Result = first.result()
    except Exception as error:  # submitit's
        last = str(error).strip().splitlines()[-1][-200:]
        raise VlmtError(f"the job failed ({last})", where=first.paths.stderr, todo="resume with --resume") from error
    if isinstance(result, BaseException):
        raise result
    return result


def _new_lines(path: Path) -> Iterator[list[dict[str, Any]]]:
    """Yield the lines of metrics that were added since the last time.

    Where the file has been replaced, as the run began or went on, these are the lines from its last start on.
    """
    read, number = 0, -1
    with contextlib.suppress(FileNotFoundError):
        read, number = path.stat().st_size, path.stat().st_ino
    while True:
        lines: list[dict[str, Any]] = []
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            now = os.fstat(file.fileno())
            is_new = now.st_ino != number or now.st_size < read
            file.seek(0 if is_new else read)
            whole, newline, _ = file.read().rpartition(b"\n")
            read, number = (0 if is_new else read) + len(whole) + len(newline), now.st_ino
            lines = [json.loads(line) for line in whole.splitlines()]
            if is_new:
                starts = [index for index, line in enumerate(lines) if line["kind"] == "start"]
                lines = lines[starts[-1] :] if starts else []
        yield lines


def _take_ranks_from_submitit() -> None:
    """Say in torchrun's words which of several local processes this is; those of SLURM know it from srun."""
    from submitit import JobEnvironment

    here = JobEnvironment()
    if here.num_tasks == 1 or started_from_outside():
        return
    os.environ |= {
        "TORCHELASTIC_RUN_ID": here.job_id,
        "RANK": str(here.global_rank),
        "LOCAL_RANK": str(here.local_rank),
        "WORLD_SIZE": str(here.num_tasks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(20_000 + zlib.crc32(here.job_id.encode()) % 12_000),
    }
