"""How much is the trunk, and how much the training: trunks in one loop, on all tasks and on each alone.

Tables 4 and 9 set 12-in-1 beside LXMERT, VisualBERT and UNITER, which were pre-trained on other data and trained in
other loops. Here clean split, heads, schedule and evaluation are the same for every trunk. What joint training gains is
the difference between a trunk's all-tasks and single-task models (AT - ST); whether it gains alike for two trunks is
the difference of these differences, which statistics calls an interaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from vlmt_cli.analysis.relations.seeds import OverSeeds, ScoreSource, scores_of
from vlmt_cli.base.documents import read_json
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.schema import nearest, parse
from vlmt_cli.base.words import count
from vlmt_cli.datasets.table import TWELVE
from vlmt_cli.evaluation.marks import MEANING, mark_of
from vlmt_cli.evaluation.run_scores import run_scores
from vlmt_cli.evaluation.score_tables import compares
from vlmt_cli.evaluation.scores import COLUMNS, TaskScore
from vlmt_cli.paper import table
from vlmt_cli.runs.best import BestOrLast
from vlmt_cli.runs.folders import LINEAGE, trunk_of
from vlmt_cli.runs.lineage import Lineage
from vlmt_cli.runs.metrics import read_metrics
from vlmt_cli.trunks.table import TRUNKS

MEAN = "mean"
"""Names the mean of a column's tasks."""
Weights = Literal["pre-trained here", "released weights", "not pre-trained"]
ORIGINS: tuple[Weights, ...] = ("pre-trained here", "released weights", "not pre-trained")
PUBLISHED = {
    "AT": {"12-in-1": ("table4_state_of_the_art", "Ours AT")},
    "ST": {
        "12-in-1": ("table9_state_of_the_art", "Ours ST"),
        "vilbert": ("table9_state_of_the_art", "ViLBERT"),
        "lxmert": ("table9_state_of_the_art", "LXMERT"),
        "visualbert": ("table9_state_of_the_art", "VisualBERT"),
        "uniter": ("table9_state_of_the_art", "UNITER base"),
    },
}
"""Whose figures the paper has of models of all tasks and of one task, and where."""


class TrunkRun(NamedTuple):
    """Which run it is.

    Attributes:
        trunk: as it was asked for.
        released: whether it starts from the trunk's released weights.
        task: of a single-task model; empty of an all-tasks model.
        seed: of its training.
    """

    trunk: str
    released: bool
    task: str
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.trunk}{'-released' * self.released}-{self.task or 'all-tasks'}-seed{self.seed}"


@dataclass(frozen=True)
class TrunkColumn:
    """A trunk, and where its weights came from before they were trained on tasks.

    Attributes:
        trunk: its name.
        weights: what the lineages of its runs tell.
        together: what its all-tasks models score by task, in percent, and ``mean`` of all twelve.
        alone: what its single-task models score by task.
        gain: the difference by task, within a seed, and ``mean`` of these tasks, in points.
        marks: of the scores, ``marks.MEANING``, by "AT" or "ST", and task.
        comparable: the same keys where the paper's figures can stand beside all of the scores.
        parameters: of an all-tasks model; None where its metrics do not say.
        seconds: that an update of the all-tasks models took, on average; None where their metrics do not say.
    """

    trunk: str
    weights: Weights
    together: dict[str, OverSeeds]
    alone: dict[str, OverSeeds]
    gain: dict[str, OverSeeds]
    marks: dict[tuple[str, str], str]
    comparable: set[tuple[str, str]]
    parameters: int | None
    seconds: float | None


@dataclass(frozen=True)
class Interaction:
    """By how much joint training gains more for one trunk than for another, in points, within a seed.

    Attributes:
        trunk, other: the trunks, of the same kind of weights.
        weights: where these came from.
        by_task: the difference of gains by task, and ``mean`` of all of them.
    """

    trunk: str
    other: str
    weights: Weights
    by_task: dict[str, OverSeeds]


def trunks_of(names: Iterable[str]) -> tuple[str, ...]:
    """Check names of trunks. Raises a UsageError that offers the nearest one."""
    listed = tuple(dict.fromkeys(names))
    for name in listed:
        if name not in TRUNKS:
            raise UsageError(f"there is no trunk {name!r}", todo=nearest(name, TRUNKS))
    if not listed:
        raise UsageError("no trunk is named", where="--trunks", todo=f"choose among {', '.join(TRUNKS)}")
    return listed


def tasks_of(names: Iterable[str]) -> tuple[str, ...]:
    """Check names of tasks among the twelve, and bring them into the paper's order."""
    listed = set(names)
    for name in sorted(listed):
        if name not in TWELVE:
            raise UsageError(f"{name!r} is none of the twelve tasks", todo=nearest(name, TWELVE))
    return tuple(task for task in COLUMNS if task in listed)


def trunk_runs(
    trunks: Sequence[str], tasks: Sequence[str], seeds: int, single_seeds: int, released: Sequence[str] = ()
) -> list[TrunkRun]:
    """List the runs of a comparison, seed by seed, a seed's all-tasks models first.

    Args:
        trunks: all of them.
        tasks: of the single-task models.
        seeds, single_seeds: how many of all-tasks models, and of single-task models, from 0.
        released: the trunks of which there are released weights, too, that are compared.
    """
    kinds = [(trunk, False) for trunk in trunks] + [(trunk, True) for trunk in released]
    return [
        TrunkRun(trunk, is_released, task, seed)
        for seed in range(max(seeds, single_seeds))
        for task in ("", *tasks)
        for trunk, is_released in kinds
        if seed < (single_seeds if task else seeds)
    ]


def compare_trunks(
    runs: Mapping[TrunkRun, Path], weights: BestOrLast = "best"
) -> tuple[list[TrunkColumn], ScoreSource]:
    """Work the columns out from finished runs.

    Args:
        runs: their folders.
        weights: which of each run to compare.

    Returns:
        A column for each trunk and origin of weights, as configs and lineages tell them; and what scores are of.
    """
    scores, source = scores_of(runs, weights)
    groups: dict[tuple[str, Weights], list[TrunkRun]] = {}
    for run, folder in runs.items():
        groups.setdefault((trunk_of(folder), origin_of(folder)), []).append(run)
    order = list(TRUNKS)
    ordered = sorted(groups, key=lambda key: (ORIGINS.index(key[1]), order.index(key[0])))
    columns = []
    for trunk, origin in ordered:
        mine = groups[trunk, origin]
        together = _by_task({run: scores[run] for run in mine if not run.task})
        alone = _by_task({run: scores[run] for run in mine if run.task})
        gain = {task: difference(together[task], alone[task]) for task in alone if task in together}
        gain = {task: number for task, number in gain.items() if number.values}
        read = {run: run_scores(runs[run]).scores for run in mine} if source == "test" else {}
        tested = {run: scored.tasks for run, scored in read.items() if scored}
        marks, comparable = _marked(tested)
        folders = [runs[run] for run in mine if not run.task]
        columns.append(
            TrunkColumn(
                trunk,
                origin,
                _with_mean(together, TWELVE),
                alone,
                _with_mean(gain, tuple(gain)),
                marks,
                comparable,
                *_size_and_speed(folders),
            )
        )
    return columns, source


def interactions(columns: Sequence[TrunkColumn]) -> list[Interaction]:
    """Compare the gains of each trunk with those of the first one whose weights are of the same kind."""
    found = []
    for weights in ORIGINS:
        mine = [column for column in columns if column.weights == weights and column.gain]
        for column in mine[1:]:
            first = mine[0]
            tasks = [task for task in column.gain if task in first.gain and task != MEAN]
            by_task = {task: difference(column.gain[task], first.gain[task]) for task in tasks}
            by_task = {task: number for task, number in by_task.items() if number.values}
            if by_task:
                found.append(Interaction(column.trunk, first.trunk, weights, _with_mean(by_task, tuple(by_task))))
    return found


def concluded(found: Sequence[Interaction]) -> list[str]:
    """Say what the interactions allow to conclude, a line each; nothing where there are none."""
    lines = []
    for each in found:
        number, tasks = each.by_task.get(MEAN), len(each.by_task) - 1
        if number is None:
            continue
        said = (
            f"Joint training gains {abs(number.value):.1f} points {'less' if number.value < 0 else 'more'} for"
            f" {each.trunk} than for {each.other} ({each.weights}), on average over {count(tasks, 'task')}"
        )
        if number.interval is None:
            lines.append(f"{said}; one seed, and this may be chance.")
            continue
        low, high = number.interval
        inside = "the interval holds zero: these seeds do not tell whether it helps both alike"
        outside = "the interval does not hold zero: it does not help both alike here"
        seeds = count(len(number.values), "seed")
        lines.append(f"{said}, {low:+.1f} to {high:+.1f} ({seeds}); {inside if number.crosses_zero else outside}.")
    if sum(bool(number and number.interval) for number in (each.by_task.get(MEAN) for each in found)) > 1:
        lines.append("These are 95% intervals, each for itself: they are not corrected for their number.")
    return lines


def origin_of(run: Path) -> Weights:
    """Say where a run's weights came from before its own training, as its lineage tells.

    A stage whose training images are unknown is of released weights: no leak can be ruled out.

    Raises:
        DataError: the lineage is missing or damaged.
    """
    path = run / LINEAGE
    try:
        before = parse(Lineage, read_json(path), path).stages[:-1]
    except FileNotFoundError as error:
        raise DataError("is missing", where=path) from error
    if not before:
        return "not pre-trained"
    return "pre-trained here" if all(stage.images is not None for stage in before) else "released weights"


def published(kind: Literal["AT", "ST"], columns: Sequence[TrunkColumn]) -> dict[str, dict[str, float]]:
    """Return the paper's figures that can stand beside some of the scores.

    Args:
        kind: of models of all tasks (table 4) or of one (table 9).
        columns: of the table.

    Returns:
        By whose they are, figures by task: of 12-in-1 those that any column compares with, of another model those that
        the column of its trunk compares with.
    """
    found = {}
    for whose, (name, column) in PUBLISHED[kind].items():
        mine = [each for each in columns if whose in ("12-in-1", each.trunk)]
        rows = [row for row in table(name) if row[column] and row.get("metric", "accuracy") in ("accuracy", "R@1")]
        figures = {
            row["task"]: float(row[column])
            for row in rows
            if any((kind, row["task"]) in each.comparable for each in mine)
        }
        if figures:
            found[whose] = figures
    return found


def difference(one: OverSeeds, other: OverSeeds) -> OverSeeds:
    """Return the difference of two numbers in the seeds that have both."""
    return OverSeeds({seed: one.values[seed] - other.values[seed] for seed in one.values if seed in other.values})


def _by_task(scores: Mapping[TrunkRun, Mapping[str, float]]) -> dict[str, OverSeeds]:
    """Put scores over seeds, in percent, in the paper's order of tasks."""
    values: dict[str, dict[int, float]] = {}
    for run, by_task in scores.items():
        for task, score in by_task.items():
            values.setdefault(task, {})[run.seed] = 100 * score
    return {task: OverSeeds(dict(sorted(values[task].items()))) for task in COLUMNS if task in values}


def _with_mean(numbers: Mapping[str, OverSeeds], tasks: Sequence[str]) -> dict[str, OverSeeds]:
    """Add the mean of some tasks, in the seeds that have all of them."""
    if not tasks or not set(tasks) <= numbers.keys():
        return dict(numbers)
    seeds = [seed for seed in numbers[tasks[0]].values if all(seed in numbers[task].values for task in tasks)]
    means = {seed: sum(numbers[task].values[seed] for task in tasks) / len(tasks) for seed in seeds}
    return {**numbers, MEAN: OverSeeds(means)} if means else dict(numbers)


def _marked(
    tested: Mapping[TrunkRun, Mapping[str, TaskScore]],
) -> tuple[dict[tuple[str, str], str], set[tuple[str, str]]]:
    """Return the marks of scores, and which of them the paper's figures can stand beside."""
    signs: dict[tuple[str, str], str] = {}
    comparable: dict[tuple[str, str], bool] = {}
    for run, by_task in tested.items():
        for task, score in by_task.items():
            key = "ST" if run.task else "AT", task
            signs[key] = signs.get(key, "") + mark_of(score)
            comparable[key] = comparable.get(key, True) and compares(task, score)
    marks = {key: "".join(mark for mark in MEANING if mark in sign) for key, sign in signs.items()}
    return marks, {key for key, holds in comparable.items() if holds}


def _size_and_speed(folders: Sequence[Path]) -> tuple[int | None, float | None]:
    """Return a model's parameters, and the mean seconds that an update of some runs took."""
    lines: list[dict[str, Any]] = [line for folder in folders for line in read_metrics(folder)]
    sizes = [line["parameters"] for line in lines if line["kind"] == "start" and "parameters" in line]
    batches = {
        task: part["batch_size"] for line in lines if line["kind"] == "start" for task, part in line["tasks"].items()
    }
    updates, seconds = 0, 0.0
    for line in lines:
        if line["kind"] == "train" and line["task"] in batches and line.get("examples_per_second"):
            updates += line["updates"]
            seconds += line["updates"] * batches[line["task"]] / line["examples_per_second"]
    return (sizes[0] if sizes else None), (seconds / updates if updates else None)
