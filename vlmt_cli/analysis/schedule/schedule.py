"""What dynamic stop-and-go did in a run, from its metrics alone (figures 2 and 6), and what it would have done.

States follow from the rule and the logged validations, iteration by iteration, so that updates are counted and not
estimated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.runs.metrics import read_metrics
from vlmt_cli.runs.recipe import PRETRAINING, Recipe, read_recipe
from vlmt_cli.training.dsg import VARIANTS, State
from vlmt_cli.training.plan import make_plan


@dataclass(frozen=True)
class Segment:
    """Iterations ``begin + 1`` to ``end``, in all of which a task has one state."""

    begin: int
    end: int
    state: State


@dataclass(frozen=True)
class TaskSchedule:
    """One task in a run.

    Attributes:
        task: its name.
        examples: that it trains on.
        spans: when its turn comes, as ``Plan.spans`` has it: always, but for a curriculum.
        validated: the K iterations after which it was validated, (K,).
        scores: of these validations, (K,).
        steers: which of them its controller saw; the one at the very end only shows a score, (K,).
        segments: its states, in order.
        logged: the L iterations of its lines of metrics, (L,).
        losses: its mean training loss since the line before, (L,).
        drawn: how often it was drawn in each iteration, (iterations,); None in round robin.
    """

    task: str
    examples: int
    spans: tuple[tuple[int, int], ...]
    validated: NDArray[np.int64]
    scores: NDArray[np.float64]
    steers: NDArray[np.bool_]
    segments: tuple[Segment, ...]
    logged: NDArray[np.int64]
    losses: NDArray[np.float64]
    drawn: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Schedule:
    """A run.

    Attributes:
        run: its folder.
        recipe: every choice.
        iterations: the last one that was logged.
        tasks: by name.
    """

    run: Path
    recipe: Recipe
    iterations: int
    tasks: dict[str, TaskSchedule]


@dataclass(frozen=True)
class Totals:
    """What a task's segments come to.

    Attributes:
        updates: batches that it trained.
        stops, goes: how often it changed its state.
        first_stop: the iteration after which it first stopped; None if it never did.
    """

    updates: int
    stops: int
    goes: int
    first_stop: int | None


@dataclass(frozen=True)
class Setting:
    """A way to steer.

    Attributes:
        gap, converged, diverged, variant: as in a recipe.
    """

    gap: int
    converged: float
    diverged: float
    variant: str


def read_schedule(run: Path) -> Schedule:
    """Read what a run's metrics say of its schedule.

    Raises:
        DataError: there are no metrics, no validations are among them, or the run pre-trains.
    """
    lines = read_metrics(run)
    recipe = read_recipe(run)
    start = next((line for line in lines if line["kind"] == "start"), None)
    if start is None or recipe.tasks == (PRETRAINING,):
        raise DataError("is not a run of tasks", where=run, todo="name a folder that vlmt train made")
    end = max((int(line["iteration"]) for line in lines if line["kind"] in ("train", "validation", "end")), default=0)
    plan = make_plan(recipe, {task: part["examples"] for task, part in start["tasks"].items()})
    validations: dict[str, list[tuple[int, float, State]]] = {task: [] for task in start["tasks"]}
    losses: dict[str, list[tuple[int, float]]] = {task: [] for task in start["tasks"]}
    for line in lines:
        if line["kind"] == "validation":
            validations[line["task"]].append((line["iteration"], line["score"], line["state"]))
        elif line["kind"] == "train":
            losses[line["task"]].append((line["iteration"], line["loss"]))
    if not any(validations.values()):
        raise DataError("was not validated yet", where=run, todo="look again when it is further")
    drawn = None if plan.temperature is None else [plan.draw(at, start["seed"]) for at in range(1, end + 1)]
    tasks = {}
    for task, part in start["tasks"].items():
        validated, logged = validations[task], losses[task]
        spans = plan.spans(task)
        at = np.array([validation[0] for validation in validated], np.int64)
        tasks[task] = TaskSchedule(
            task=task,
            examples=part["examples"],
            spans=spans,
            validated=at,
            scores=np.array([validation[1] for validation in validated], np.float64),
            steers=at % part["evaluate_every"] == 0,
            segments=_segments([(validation[0], validation[2]) for validation in validated], spans, end),
            logged=np.array([validation[0] for validation in logged], np.int64),
            losses=np.array([validation[1] for validation in logged], np.float64),
            drawn=None if drawn is None else np.array([names.count(task) for names in drawn], np.int64),
        )
    return Schedule(run, recipe, end, tasks)


def totals(segments: Sequence[Segment], gap: int, drawn: NDArray[np.int64] | None = None) -> Totals:
    """Count what a task did: in go every iteration, in stop those that the gap divides (Algorithm 1).

    Args:
        segments: its states.
        gap: of DSG.
        drawn: how often it was drawn in each iteration, where tasks are drawn; else once.
    """
    updates = 0
    for segment in segments:
        step = 1 if segment.state == "go" else gap
        if drawn is None:
            updates += segment.end // step - segment.begin // step
        else:
            number = segment.begin // step * step + step  # of the first iteration in it that the step divides
            updates += int(drawn[number - 1 : segment.end : step].sum())
    after = [later.state for earlier, later in pairwise(segments) if later.state != earlier.state]
    first = next((segment.begin for segment in segments if segment.state == "stop"), None)
    return Totals(updates, after.count("stop"), after.count("go"), first)


def setting_of(recipe: Recipe) -> Setting:
    """Return how a run is steered."""
    choices = recipe.training
    return Setting(choices.gap, choices.converged, choices.diverged, choices.variant)


def replay(schedule: Schedule, setting: Setting) -> dict[str, tuple[Segment, ...]]:
    """Steer a run's logged scores in another way.

    The scores stay as they were logged; under another setting the model would have scored otherwise. So this says how
    the rule reacts to such scores, and not how well the model would have become.

    Returns:
        Each task's states.
    """
    replayed = {}
    for name, task in schedule.tasks.items():
        controller = VARIANTS[setting.variant](gap=setting.gap, converged=setting.converged, diverged=setting.diverged)
        seen = zip(task.validated[task.steers].tolist(), task.scores[task.steers].tolist(), strict=True)
        states = [(iteration, controller.observe(score)) for iteration, score in seen]
        replayed[name] = _segments(states, task.spans, schedule.iterations)
    return replayed


def _segments(states: Sequence[tuple[int, State]], spans: Sequence[tuple[int, int]], end: int) -> tuple[Segment, ...]:
    """Cut the iterations in which a task has its turn where its state changes, given the state after some of them."""
    cuts: list[Segment] = []
    state: State = "go"
    spans = [(begin, min(last, end)) for begin, last in spans if begin < end] or [(end, end)]
    for number, (first, last) in enumerate(spans, 1):
        begin = first
        for iteration, after in states:
            if begin < iteration <= last and after != state:
                cuts.append(Segment(begin, iteration, state))
                begin, state = iteration, after
        if begin < last or number == len(spans):  # its last segment says the state in which it is now
            cuts.append(Segment(begin, last, state))
    return tuple(cuts)
