"""Several runs beside each other: single-task against multi-task training (figures 4 and 7), and gaps (figure 2)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vlmt_cli.analysis.relations.seeds import ScoreSource, scores_of
from vlmt_cli.analysis.schedule.schedule import Schedule, read_schedule
from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.table import GROUPS
from vlmt_cli.evaluation.scores import COLUMNS
from vlmt_cli.runs.best import find_weights
from vlmt_cli.runs.recipe import Recipe, keys_of
from vlmt_cli.runs.trained import trained_of


@dataclass(frozen=True)
class Fit:
    """How a task's validation score went on in a run.

    Attributes:
        best, last: scores.
        best_at: the share of the run's iterations at which it was best.
    """

    best: float
    last: float
    best_at: float


@dataclass(frozen=True)
class GapScores:
    """What runs with one gap scored, over their tasks and seeds.

    Attributes:
        gap: iterations between two updates of a stopped task.
        runs: how many.
        groups: the mean score of each task group, from 0 to 1.
        average: of all tasks.
    """

    gap: int
    runs: int
    groups: dict[str, float]
    average: float


def companions(
    schedule: Schedule, folders: Iterable[Path]
) -> tuple[dict[str, Schedule], list[Schedule], dict[Path, str]]:
    """Choose among other runs those that a multi-task run compares with.

    Returns:
        For each of its tasks a run of that task alone, of the same model and split: of those whose recipe ``--set`` did
        not change, or else of all, the first of the longest; the runs that differ in their gap alone; and why others
        that are of one of these kinds were passed over: unfinished, or a further one of a task alone. Folders that hold
        no run, or another, are not named.
    """
    alone: dict[str, list[Schedule]] = {}
    gaps, passed = [], dict[Path, str]()
    ours = schedule.recipe
    for folder in folders:
        try:
            other = read_schedule(folder)
        except DataError:
            continue
        recipe = other.recipe
        if len(recipe.tasks) == 1 and recipe.tasks[0] in schedule.tasks and recipe != ours:
            if (recipe.model, recipe.split) == (ours.model, ours.split):
                alone.setdefault(recipe.tasks[0], []).append(other)
        elif _differ_in_gap_alone(recipe, ours) and folder.resolve() != schedule.run.resolve():
            gaps.append(other)
    for other in [*gaps, *(run for runs in alone.values() for run in runs)]:
        if far := _unfinished(other.run):
            passed[other.run] = f"is unfinished ({far})"
    singles: dict[str, Schedule] = {}
    for task, runs in alone.items():
        finished = [run for run in runs if run.run not in passed]
        for run in sorted(finished, key=lambda run: (bool(run.recipe.changed), -run.iterations)):  # stable
            if singles.setdefault(task, run) is not run:
                passed[run.run] = f"is another run of {COLUMNS[task]} alone than {singles[task].run}"
    return singles, [run for run in gaps if run.run not in passed], passed


def _unfinished(run: Path) -> str:
    trained = trained_of(run, find_weights(run))
    return "" if trained is None or trained.finished else str(trained)


def fit(schedule: Schedule, task: str) -> Fit:
    """Say how a task's validation score went on: a best score long before the end tells of overfitting."""
    task_schedule = schedule.tasks[task]
    peak = int(np.argmax(task_schedule.scores))
    best_at = float(task_schedule.validated[peak]) / max(1, schedule.iterations)
    return Fit(float(task_schedule.scores[peak]), float(task_schedule.scores[-1]), best_at)


def gap_scores(schedules: Sequence[Schedule]) -> tuple[list[GapScores], ScoreSource]:
    """Average what runs with different gaps scored, by task group (figure 2 right, table 11)."""
    scores, source = scores_of({number: single.run for number, single in enumerate(schedules)})
    rows = []
    for gap in sorted({schedule.recipe.training.gap for schedule in schedules}):
        mine = [scores[number] for number, single in enumerate(schedules) if single.recipe.training.gap == gap]
        means = {task: sum(single[task] for single in mine) / len(mine) for task in schedules[0].tasks}
        rows.append(GapScores(gap, len(mine), _group_means(means), sum(means.values()) / len(means)))
    return rows, source


def _group_means(scores: Mapping[str, float]) -> dict[str, float]:
    means = {}
    for group, tasks in GROUPS.items():
        if present := [scores[task] for task in tasks if task in scores]:
            means[group] = sum(present) / len(present)
    return means


def _differ_in_gap_alone(first: Recipe, second: Recipe) -> bool:
    first_choices, second_choices = keys_of(first), keys_of(second)
    return all(first_choices[key] == second_choices[key] for key in first_choices if key != "training.gap")
