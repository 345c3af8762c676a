"""What a run will take: how many updates its plan makes, and what each takes, counted or measured.

Which tasks DSG stops, and when, is known only once they train. So there are two numbers for the updates of each task:
``most``, if it never stops, and ``least``, if it stops as early as it can and never goes again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from vlmt_cli.base.words import size
from vlmt_cli.runs.recipe_sections import TrainingChoices
from vlmt_cli.training.example_counts import CountsFrom
from vlmt_cli.training.plan import Plan

FIRST_STOP = 3
"""Validations after which a task can stop at the earliest, with either controller (``dsg``)."""
WRITES = 500e6
"""Bytes a second at which a checkpoint is written."""
PARAMETER_BYTES = 16
"""A parameter, its gradient and its two moments, float32."""
SAVED_BYTES = 12
"""Of those, what a checkpoint has: all but the gradient."""


@dataclass(frozen=True)
class Work:
    """What a run does for one task.

    Attributes:
        examples, batch_size: of the plan.
        least, most: updates.
        validations: of its validation split.
        steering: examples that each of them is of.
        source: where the number of examples comes from: ``data``, the data folder, or ``paper``.
    """

    examples: int
    batch_size: int
    least: int
    most: int
    validations: int
    steering: int
    source: CountsFrom = "data"


@dataclass(frozen=True)
class Seconds:
    """What one task takes on one device, each as (least, most).

    Attributes:
        update: an update with this device's share of a batch.
        example: a validation example of this device's share.
    """

    update: tuple[float, float]
    example: tuple[float, float]


@dataclass(frozen=True)
class Cost:
    """What a run will take.

    Attributes:
        how: ``counted`` or ``measured``.
        device: its name.
        devices: how many.
        parameters: of the model.
        iterations: multi-task iterations.
        tasks: by name.
        seconds: by task.
        saving: seconds of writing checkpoints, (least, most).
        total: seconds of the run, (least, most).
        memory: bytes a device, by what takes them.
        assumptions: what all of it rests on, in sentences.
    """

    how: str
    device: str
    devices: int
    parameters: int
    iterations: int
    tasks: dict[str, Work]
    seconds: dict[str, Seconds]
    saving: tuple[float, float]
    total: tuple[float, float]
    memory: dict[str, float]
    assumptions: list[str]

    def plain(self) -> dict[str, Any]:
        """Return plain data, for JSON."""
        return asdict(self)


def work_of(
    plan: Plan,
    choices: TrainingChoices,
    steering: Mapping[str, int],
    sources: Mapping[str, CountsFrom] = MappingProxyType({}),
) -> dict[str, Work]:
    """Count what a plan does.

    Args:
        plan: of the run.
        choices: of the recipe.
        steering: how many validation examples each task has.
        sources: where the number of a task's examples comes from, if not from the data folder.
    """
    work = {}
    for task, own in plan.tasks.items():
        spans = plan.spans(task)
        most = sum(end - begin for begin, end in spans)
        validations = sum(end // own.evaluate_every - begin // own.evaluate_every for begin, end in spans)
        least = most
        if choices.gap > 1 and validations >= FIRST_STOP:
            going = FIRST_STOP * own.evaluate_every
            least = going + -(-max(0, most - going) // choices.gap)
        if plan.temperature is not None:
            drawn = _drawn(plan, task)
            least, most = round(least / max(most, 1) * drawn), round(drawn)
        at_end = int(plan.iterations % own.evaluate_every > 0)
        source = sources.get(task, "data")
        work[task] = Work(own.examples, own.batch_size, least, most, validations + at_end, steering[task], source)
    return work


def _drawn(plan: Plan, task: str) -> float:
    """Return the expected number of a task's draws."""
    total, begin = 0.0, 0
    for end, tasks in (*plan.phases, (plan.iterations, tuple(plan.tasks))):
        if task in tasks:
            total += (end - begin) * len(tasks) * plan.shares(tasks)[tasks.index(task)]
        begin = end
    return total


def add_up(
    how: str,
    device: str,
    devices: int,
    parameters: int,
    plan: Plan,
    choices: TrainingChoices,
    work: dict[str, Work],
    seconds: dict[str, Seconds],
    memory: dict[str, float],
    assumptions: Sequence[str],
) -> Cost:
    """Add up a run's seconds: updates, validations and checkpoints."""
    least = most = 0.0
    for task, own in work.items():
        each, share = seconds[task], -(-own.steering // devices)
        least += own.least * each.update[0] + own.validations * share * each.example[0]
        most += own.most * each.update[1] + own.validations * share * each.example[1]
    saves = -(-plan.iterations // choices.save_every)
    late = [int(total / (60 * choices.save_minutes)) if choices.save_minutes else 0 for total in (least, most)]
    each_save = parameters * SAVED_BYTES / WRITES
    saving = (max(saves, late[0]) * each_save, (saves + late[1]) * each_save)
    said = [
        *assumptions,
        f"A checkpoint of {size(parameters * SAVED_BYTES)} is written at {WRITES / 1e6:.0f} MB/s; best weights,"
        " start-up and affinity are not counted.",
    ]
    if choices.gap > 1:
        said.append(
            "The smaller number of updates is that of a run in which dynamic stop-and-go stops every task after"
            f" {FIRST_STOP} validations, the earliest that it can, and then trains it in one of {choices.gap}"
            " iterations; the larger that of a run in which no task ever stops."
        )
    if choices.stop_when_converged:
        said.append("The run may end earlier, as soon as every task has stopped.")
    total = (least + saving[0], most + saving[1])
    return Cost(how, device, devices, parameters, plan.iterations, work, seconds, saving, total, memory, said)
