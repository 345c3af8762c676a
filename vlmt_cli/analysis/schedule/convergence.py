"""After how many iterations tasks converge, alone and together (section 3.3).

"When trained in isolation RefCOCOg converges in 5K iterations whereas VQAv2 takes 84K iterations": a task has converged
when dynamic stop-and-go first stops it, by less than 0.1% of improvement over two epochs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vlmt_cli.analysis.relations.seeds import OverSeeds
from vlmt_cli.analysis.relations.table2_runs import ScoredRun
from vlmt_cli.analysis.schedule.schedule import read_schedule
from vlmt_cli.datasets.table import TWELVE

PAPER = {"vqa": 84_000, "refcocog": 5_000}
"""Iterations alone, as section 3.3 has them."""


@dataclass(frozen=True)
class Convergence:
    """A task's iterations until it first converged.

    Attributes:
        task: its name.
        alone, together: over seeds, in the clean single-task and the clean all-tasks runs; None where no run of the
            kind converged.
        unfinished: how many runs ended before the task converged.
        paper: iterations alone in the paper.
    """

    task: str
    alone: OverSeeds | None
    together: OverSeeds | None
    unfinished: int
    paper: int | None


def convergence(runs: Iterable[ScoredRun]) -> list[Convergence]:
    """Compare how long each task takes to converge alone and together, from finished runs."""
    alone: dict[str, dict[int, float]] = {}
    together: dict[str, dict[int, float]] = {}
    unfinished: dict[str, int] = {}
    for run in runs:
        kinds = {"ST clean": alone, "AT clean": together}
        if run.row not in kinds:
            continue
        for task, iterations in converged(run.folder).items():
            if iterations is None:
                unfinished[task] = unfinished.get(task, 0) + 1
            else:
                kinds[run.row].setdefault(task, {})[run.seed] = iterations
    tasks = [task for task in TWELVE if task in alone or task in together or task in unfinished]
    return [
        Convergence(
            task,
            OverSeeds(alone[task]) if task in alone else None,
            OverSeeds(together[task]) if task in together else None,
            unfinished.get(task, 0),
            PAPER.get(task),
        )
        for task in tasks
    ]


def converged(run: Path) -> dict[str, int | None]:
    """Return after how many iterations each task of a run was first stopped; None where it never was."""
    schedule = read_schedule(run)
    return {
        name: next((segment.begin for segment in task.segments if segment.state == "stop"), None)
        for name, task in schedule.tasks.items()
    }
