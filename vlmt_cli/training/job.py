"""A requested training, in the form in which it is sent between processes."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlmt_cli.clean.split_folder import read_report
from vlmt_cli.evaluation.processes import Devices
from vlmt_cli.evaluation.setup import TrainedOn
from vlmt_cli.runs.recipe import Recipe

Listener = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Job:
    """All that a process needs to take part in a run; it travels between processes.

    Attributes:
        recipe, data, run: what to train, on what, into which folder.
        seed: the random seed.
        partial: whether examples without features are left out.
        resume: whether to go on from what the folder holds; None for where it holds a run.
        devices: what to compute on.
        tokenizer: a ``tokenizer.json``, as text.
        start: the weights to begin with, a folder or a file; None for initial ones.
        trained: the features that these weights, or those of the run that is resumed, were trained on.
        report: makes the function that gets every line of metrics, in the first process.
    """

    recipe: Recipe
    data: Path
    run: Path
    seed: int = 0
    partial: bool = False
    resume: bool | None = False
    devices: Devices = field(default_factory=Devices)
    tokenizer: str = ""
    start: str | None = None
    trained: TrainedOn | None = None
    report: Callable[[], AbstractContextManager[Listener]] | None = None


def split_hash_of(job: Job) -> str | None:
    """Return the hash of the clean split that a job trains on; None of the full one."""
    return read_report(job.data / "clean").split_hash if job.recipe.split == "clean" else None
