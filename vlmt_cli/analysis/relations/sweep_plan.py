"""How long the runs of a sweep will take."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmt_cli.analysis.relations.sweep import Found, finished_runs
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.words import duration, listed
from vlmt_cli.runs.metrics import read_metrics
from vlmt_cli.runs.recipe import Recipe
from vlmt_cli.runs.recipe_sections import ModelChoices
from vlmt_cli.training.example_counts import ExampleCounts, count_examples, counted_from
from vlmt_cli.training.plan import make_plan

GUESSES = {
    ("base", "cuda"): (24.0, "what the paper's 5 days for 40,000 iterations on 8 V100 come to (section 8.4)"),
    ("base", "cpu"): (1.5, "what two cores do"),
    ("mini", "cuda"): (3000.0, "a guess"),
    ("mini", "cpu"): (400.0, "what one core does"),
}
"""Examples a second and device where no run has measured it, and where the figure is from."""


@dataclass(frozen=True)
class Speed:
    """How fast training is.

    Attributes:
        rates: examples a second, by task.
        other: of tasks that were not measured.
        overhead: all the time of a run by that of its updates alone: validation and checkpoints.
        how: where this is from.
    """

    rates: Mapping[str, float]
    other: float
    overhead: float
    how: str


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep has to do.

    Attributes:
        runs: all that are wanted.
        seconds: that each of them will still take if every task trains in every iteration; a stopped one takes less.
        iterations: of each, all in all.
        parallel: how many run at a time.
        how: how this is estimated.
        notes: where the numbers of examples come from, in sentences.
    """

    runs: Sequence[Found]
    seconds: Sequence[float]
    iterations: Sequence[int]
    parallel: int
    how: str
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        """Seconds until all runs are done, the longest begun first."""
        busy = [0.0] * self.parallel
        for seconds in sorted(self.seconds, reverse=True):
            heapq.heapreplace(busy, busy[0] + seconds)
        return max(busy)


def make_sweep_plan(runs_found: Sequence[Found], runs: Path, data: Path, device: str, parallel: int = 1) -> SweepPlan:
    """Estimate what a sweep will take.

    Args:
        runs_found: the wanted runs.
        runs: the folder of all runs, of which those of the same model and device have measured the speed.
        data: the data folder, for the sizes of datasets.
        device: ``cpu`` or ``cuda``.
        parallel: how many run at a time.
    """
    logs = [(recipe, read_metrics(folder)) for folder, recipe in finished_runs(runs)]
    models = {_model_of(run.wanted.recipe.model): run.wanted.recipe.model for run in runs_found}
    speeds = {name: _measured(logs, model, device) or _guessed(model, device) for name, model in models.items()}
    seconds, iterations = [], []
    counts = _counts((run.wanted.recipe for run in runs_found), data, logs)
    for run in runs_found:
        recipe = run.wanted.recipe
        limit = recipe.training.limit
        whole = {task: counts[recipe.split, task].train for task in recipe.tasks}
        plan = make_plan(recipe, {task: min(count, limit or count) for task, count in whole.items()})
        speed = speeds[_model_of(recipe.model)]
        once = sum(part.batch_size / speed.rates.get(task, speed.other) for task, part in plan.tasks.items())
        seconds.append(plan.iterations * once * speed.overhead * (1 - run.share))
        iterations.append(plan.iterations)
    by_how: dict[str, list[str]] = {}
    for (trunk, _), speed in speeds.items():
        by_how.setdefault(speed.how, []).append(trunk)
    alone = len(by_how) == 1
    named = {how: listed(list(dict.fromkeys(names))) for how, names in by_how.items()}
    how = "; ".join(said if alone else f"{names}: {said}" for said, names in named.items())
    notes: list[str] = []
    for split in dict.fromkeys(split for split, _ in counts):
        sources = {task: each.source for (own, task), each in counts.items() if own == split}
        notes += counted_from(sources, data, split)
    return SweepPlan(runs_found, seconds, iterations, parallel, how, tuple(notes))


def within_budget(plan: SweepPlan, hours: float, gpus: int = 1) -> tuple[SweepPlan, list[str]]:
    """Keep of a plan what fits into a budget, in its order: what is finished, then run by run until one does not fit.

    No later run is taken instead: those before it are what it is compared with.

    Args:
        plan: seed by seed, and in a seed single tasks before pairs before triples.
        hours: of one GPU, or of one CPU process.
        gpus: that a run takes.

    Returns:
        The plan of what fits; and what is left out, and why, a line each.
    """
    jobs = list(zip(plan.runs, plan.seconds, plan.iterations, strict=True))
    left, fits, left_out = 3600 * hours, [], []
    is_used_up = False
    for run, seconds, iterations in jobs:
        cost = seconds * gpus if run.state != "finished" else 0.0
        is_used_up = is_used_up or cost > left
        if is_used_up and run.state != "finished":
            left_out.append((run, cost))
        else:
            left -= cost
            fits.append((run, seconds, iterations))
    lines = []
    if left_out:
        names = [run.wanted.name for run, _ in left_out]
        shown = listed(names if len(names) < 6 else [*names[:5], f"{len(names) - 5} more"])
        first, needed = left_out[0][1], sum(cost for _, cost in left_out)
        lines.append(
            f"Left out, as {duration(left)} of {hours:g} hours are left and the first of them takes about"
            f" {duration(first)}: {shown}; all of them take about {duration(needed)} more"
        )
    runs, every_second, every_iteration = zip(*fits, strict=True) if fits else ((), (), ())
    return SweepPlan(runs, every_second, every_iteration, plan.parallel, plan.how, plan.notes), lines


def _measured(logs: Sequence[tuple[Recipe, list[dict[str, Any]]]], model: ModelChoices, device: str) -> Speed | None:
    """Take the speed from finished runs of the same model on the same kind of device."""
    examples: dict[str, float] = {}
    seconds: dict[str, float] = {}
    whole, count = 0.0, 0
    for recipe, lines in logs:
        starts = [line for line in lines if line["kind"] == "start"]
        ends = [line["seconds"] for line in lines if line["kind"] == "end"]
        alike = (_model_of(recipe.model), recipe.model.changes) == (_model_of(model), model.changes)
        if not alike or not ends or {line["device"] for line in starts} != {device}:
            continue
        count, whole = count + 1, whole + ends[-1]
        for line in lines:
            if line["kind"] == "train" and line["task"] in starts[0]["tasks"]:
                task, done = line["task"], line["updates"] * starts[0]["tasks"][line["task"]]["batch_size"]
                examples[task] = examples.get(task, 0.0) + done
                seconds[task] = seconds.get(task, 0.0) + done / line["examples_per_second"]
    if not examples:
        return None
    rates = {task: examples[task] / seconds[task] for task in examples}
    updating = sum(seconds.values())
    how = f"measured in {count} finished {'run' if count == 1 else 'runs'} of this model on this kind of device"
    return Speed(rates, sum(examples.values()) / updating, max(1.0, whole / updating), how)


def _model_of(model: ModelChoices) -> tuple[str, str]:
    """Return trunk and preset."""
    return model.settled().trunk, model.preset


def _guessed(model: ModelChoices, device: str) -> Speed:
    rate, reason = GUESSES.get((model.preset, device), GUESSES["base", device])
    how = f"no run of this model is there; guessed with {rate:,g} examples a second on each {_NAMES[device]}, {reason}"
    return Speed({}, rate, 1.0, how)


_NAMES = {"cpu": "CPU process", "cuda": "GPU"}


def _counts(
    recipes: Iterable[Recipe], data: Path, logs: Sequence[tuple[Recipe, list[dict[str, Any]]]]
) -> dict[tuple[str, str], ExampleCounts]:
    """Count the examples of each split and task of some recipes: in the data folder, in finished runs, or in the paper.

    Where neither has them, a finished run says how many it trained on.
    """
    counts: dict[tuple[str, str], ExampleCounts] = {}
    for split, task in dict.fromkeys((recipe.split, task) for recipe in recipes for task in recipe.tasks):
        trained = [
            lines[0]["tasks"][task]["examples"]
            for other, lines in logs
            if other.split == split and other.training.limit is None
            if lines[0]["kind"] == "start" and task in lines[0]["tasks"]
        ]
        try:
            counts[split, task] = count_examples(data, task, split)
        except DataError:
            if not trained:
                raise
        if trained and counts.get((split, task), _NO_COUNTS).source != "data":
            counts[split, task] = ExampleCounts(trained[-1], 0, "runs")
    return counts


_NO_COUNTS = ExampleCounts(0, 0, "paper")
