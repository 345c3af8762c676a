"""Training and scoring the runs of a sweep: in processes of this machine, or as jobs of a cluster."""

import contextlib
import functools
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from vlmt_cli.analysis.relations.sweep import Wanted, look
from vlmt_cli.analysis.relations.sweep_plan import SweepPlan
from vlmt_cli.analysis.relations.sweep_scores import is_scored
from vlmt_cli.analysis.relations.sweep_workers import noted_signals, work_off
from vlmt_cli.base.attempts import AGAIN, Result, attempt
from vlmt_cli.base.claims import claimed
from vlmt_cli.base.cluster import make_executor
from vlmt_cli.base.errors import UsageError, VlmtError
from vlmt_cli.base.files import put_back
from vlmt_cli.base.progress import Progress
from vlmt_cli.evaluation.processes import Devices
from vlmt_cli.runs.best import BestOrLast
from vlmt_cli.runs.metrics import METRICS
from vlmt_cli.training.cluster import JOBS, ClusterJob
from vlmt_cli.training.job import Job, Listener
from vlmt_cli.training.train import train

Trainer = Callable[[Job], bool]
Scorer = Callable[[Path, Path, BestOrLast, str, bool], None]
"""Scores a run: ``sweep_scores.score_run``."""
_POLL = 0.5  # seconds
_TAIL = 4096  # bytes at the end of metrics that hold at least a line


@dataclass(frozen=True)
class Launch:
    """Where runs are trained.

    Attributes:
        parallel: at most so many at a time; None for as many as a cluster likes, or one here.
        device: ``cpu`` or ``cuda``.
        gpus: that each run takes on ``cuda``.
        weights: which of a run's are scored.
        launcher: None for processes of this machine; ``slurm``, or ``local`` to try that without a cluster.
        sbatch: further options of sbatch.
        partial: whether examples without features are left out.
    """

    parallel: int | None = None
    device: str = "cpu"
    gpus: int = 1
    weights: BestOrLast = "best"
    launcher: str | None = None
    sbatch: Mapping[str, str] = field(default_factory=dict)
    partial: bool = False


@dataclass(frozen=True)
class SweepJob:
    """One run, as it travels to the process that trains it."""

    wanted: Wanted
    folder: Path
    data: Path
    launch: Launch
    trainer: Trainer
    scorer: Scorer | None

    def __call__(self, report: Callable[[], AbstractContextManager[Listener]] | None = None) -> bool:
        """Train the run or resume it, and score it; returns whether it is complete.

        Args:
            report: makes the function that gets every line of metrics.

        Raises:
            VlmtError: as ``train`` does, among others where another process trains the run.
        """
        with claimed(self.folder, "run it again when that has ended"):
            put_back(self.folder)
            state = look(self.wanted, self.folder)
            if state.state != "finished" and not self._train(state.state == "half-done", report):
                return False
            if self.scorer and not is_scored(self.folder, self.launch.weights):
                launch = self.launch
                self.scorer(self.folder, self.data, launch.weights, launch.device, launch.partial)
            return True

    def _train(self, resume: bool, report: Callable[[], AbstractContextManager[Listener]] | None) -> bool:
        recipe, seed, launch = self.wanted.recipe, self.wanted.seed, self.launch
        devices = Devices(launch.device, launch.gpus if launch.device == "cuda" else 1)
        job = Job(recipe, self.data, self.folder, seed, launch.partial, resume, devices, report=report)
        return self.trainer(job)


def run_sweep(
    plan: SweepPlan,
    data: Path,
    launch: Launch,
    trainer: Trainer = train,
    tell: Progress = lambda *_: None,
    scorer: Scorer | None = None,
) -> bool:
    """Train what a plan still lacks, and score what has no scores.

    Args:
        plan: of the sweep.
        data: the data folder.
        launch: where.
        trainer: trains one run; it must be a function of a module, for other processes to find it.
        tell: called with how many runs are done, how many iterations of all of them, and how many there are.
        scorer: scores one run, a function of a module as well; None scores nothing.

    Returns:
        Whether all came to their end; after Ctrl-C or SIGTERM they are saved and go on when this is called again.

    Raises:
        UsageError: fewer GPUs are there than runs at a time.
        VlmtError: a run failed; the others are trained all the same.
    """
    order = sorted(zip(plan.runs, plan.seconds, plan.iterations, strict=True), key=lambda job: -job[1])
    todo = [
        (run, iterations)
        for run, _, iterations in order
        if run.state != "finished" or (scorer and not is_scored(run.folder, launch.weights))
    ]
    trainings = [SweepJob(run.wanted, run.folder, data, launch, trainer, scorer) for run, _ in todo]
    counts = [iterations for _, iterations in todo]
    if not trainings:
        return True
    if launch.launcher:
        return _on_cluster(trainings, counts, launch, tell)
    return _here(trainings, counts, launch, tell)


def devices_here(device: str, parallel: int | None, gpus: int = 1) -> list[str]:
    """Name what each of the processes of this machine computes on: GPUs of its own, or the CPU.

    Args:
        device: ``cpu`` or ``cuda``.
        parallel: how many; None takes as many as there are GPUs for, or one process on the CPU.
        gpus: that each takes.

    Raises:
        UsageError: there are fewer GPUs.
    """
    if device == "cpu":
        return [""] * (parallel or 1)
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = named.split(",") if named else [str(number) for number in range(torch.cuda.device_count())]
    if (parallel or 1) * gpus > len(devices):
        several = (parallel or 1) > 1
        each = ("a GPU" if gpus == 1 else f"{gpus} GPUs") + " each" * several
        what = f"{parallel} runs at a time take" if several else "a run takes"
        what += f" {each}, and there {'is' if len(devices) == 1 else 'are'}"
        options = "--parallel or --gpus-per-run" if gpus > 1 else "--parallel"
        todo = f"give {options} a smaller number, or --device cpu"
        raise UsageError(f"{what} {len(devices) or 'none'}", todo=todo)
    groups = [",".join(devices[first : first + gpus]) for first in range(0, len(devices) - gpus + 1, gpus)]
    return groups[: parallel or len(groups)]


def _here(trainings: Sequence[SweepJob], counts: Sequence[int], launch: Launch, tell: Progress) -> bool:
    devices = devices_here(launch.device, launch.parallel, launch.gpus)[: len(trainings)]

    def look() -> None:
        _tell(trainings, counts, tell)

    if len(devices) > 1:
        results = work_off(trainings, devices, look)
        return results is not None and _all_done(trainings, results)
    finished: list[Result] = []
    for training in trainings:
        finished.append(attempt(functools.partial(training, functools.partial(_reporting, look))))
        if finished[-1] is False:
            return False
        look()
    return _all_done(trainings, finished)


@contextlib.contextmanager
def _reporting(look: Callable[[], None]) -> Iterator[Listener]:
    yield lambda record: look() if record["kind"] in ("train", "save", "end") else None


def _on_cluster(trainings: Sequence[SweepJob], counts: Sequence[int], launch: Launch, tell: Progress) -> bool:
    """Train as one array of cluster jobs through submitit, and wait for them."""
    assert launch.launcher is not None
    sweep = trainings[0].folder.parent
    executor = make_executor(
        sweep / JOBS,
        launch.launcher,
        f"vlmt-{sweep.name}",
        cpus=8 * launch.gpus if launch.device == "cuda" else 2,
        gpus=launch.gpus if launch.device == "cuda" else 0,
        parallel=launch.parallel or len(trainings),
        sbatch=launch.sbatch,
    )
    jobs = executor.submit_array([ClusterJob(training, training.folder) for training in trainings])
    with noted_signals() as interrupted:
        while not all(job.done() for job in jobs):
            _tell(trainings, counts, tell)
            if interrupted.wait(_POLL):
                for job in jobs:
                    job.cancel(check=False)
                return False
    results: list[Result] = []
    for job in jobs:
        try:
            results.append(job.result())
        except Exception as error:  # submitit's
            results.append(error)
    _tell(trainings, counts, tell)
    return _all_done(trainings, results)


def _all_done(trainings: Sequence[SweepJob], results: Sequence[Result]) -> bool:
    failed = [
        (training.folder, result)
        for training, result in zip(trainings, results, strict=True)
        if isinstance(result, BaseException)
    ]
    if failed:
        folder, error = failed[0]
        count = f"{len(failed)} of {len(results)} runs failed, this one first: " if len(failed) > 1 else ""
        if isinstance(error, VlmtError):
            raise VlmtError(count + error.what, where=error.where or folder, todo=error.todo) from error
        raise VlmtError(count + " ".join(str(error).split())[-200:], where=folder, todo=AGAIN) from error
    return all(result is True for result in results)


def _tell(trainings: Sequence[SweepJob], counts: Sequence[int], tell: Progress) -> None:
    done = [min(_iteration(training.folder), count) for training, count in zip(trainings, counts, strict=True)]
    ready = sum(finished == count for finished, count in zip(done, counts, strict=True))
    tell(f"{ready} of {len(done)} runs", sum(done), sum(counts))


def _iteration(folder: Path) -> int:
    """Read how far a run is from the end of its metrics; one that has converged has no iterations left."""
    try:
        with (folder / METRICS).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return 0
    for line in reversed(lines):
        with contextlib.suppress(ValueError, TypeError, RecursionError):  # cut at either end
            record = json.loads(line)
            if not isinstance(record, dict):
                continue
            return sys.maxsize if record.get("kind") == "end" else int(record.get("iteration", 0))
    return 0
