"""What a run will do, from its recipe and the sizes of its datasets (sections 3.3 and 8.4)."""

from collections.abc import Mapping
from dataclasses import dataclass

from vlmt_cli.runs.recipe import Recipe, task_token
from vlmt_cli.tasks.table import GROUPS, TASKS

FIRST_GROUP = {"curriculum": "G3", "anti-curriculum": "G1"}
"""The fastest-converging group, and the slowest (section 3.3)."""


@dataclass(frozen=True)
class TaskPlan:
    """One task's part.

    Attributes:
        examples: that it trains on.
        batch_size: of all processes together; fewer where there are fewer examples.
        epoch: iterations in which its batches show the examples once, n_t of Algorithm 1.
        evaluate_every: iterations between two validations.
        learning_rate: the task's own (table 8).
        scale: of its loss: its learning rate by the base one.
        token: its task token; None for none.
    """

    examples: int
    batch_size: int
    epoch: int
    evaluate_every: int
    learning_rate: float
    scale: float
    token: int | None


@dataclass(frozen=True)
class Plan:
    """A whole run's.

    Attributes:
        tasks: by name, in the order in which they train.
        iterations: multi-task iterations.
        warmup: iterations over which the learning rate rises.
        learning_rate: the base one, the least of all tasks.
        alone: iterations in which only ``first`` trains.
        first: the tasks of a curriculum's first group; empty without one.
    """

    tasks: dict[str, TaskPlan]
    iterations: int
    warmup: int
    learning_rate: float
    alone: int
    first: tuple[str, ...]

    def rate(self, iteration: int) -> float:
        """Return the base learning rate in an iteration, counted from 1: linear warm-up, then linear decay."""
        if iteration <= self.warmup:
            return self.learning_rate * iteration / self.warmup
        return self.learning_rate * (self.iterations + 1 - iteration) / (self.iterations + 1 - self.warmup)

    def turn(self, iteration: int) -> tuple[str, ...]:
        """Return the tasks whose turn comes in an iteration: all, in round robin, once a curriculum is over."""
        return self.first if self.first and iteration <= self.alone else tuple(self.tasks)


def make_plan(recipe: Recipe, examples: Mapping[str, int]) -> Plan:
    """Plan a run.

    Args:
        recipe: every choice.
        examples: how many each task has to train on.
    """
    choices = recipe.training
    rates = {
        task: choices.learning_rates.get(task) or choices.learning_rate or TASKS[task].learning_rate
        for task in recipe.tasks
    }
    base = min(rates.values())
    sizes = {task: min(choices.batch_size or TASKS[task].batch_size, examples[task]) for task in recipe.tasks}
    epochs = {task: max(1, examples[task] // sizes[task]) for task in recipe.tasks}
    iterations = choices.iterations or max(1, round(choices.epochs * max(epochs.values())))
    tasks = {
        task: TaskPlan(
            examples[task],
            sizes[task],
            epochs[task],
            choices.evaluate_every or epochs[task],
            rates[task],
            rates[task] / base,
            task_token(task, recipe.model.task_token),
        )
        for task in recipe.tasks
    }
    group = FIRST_GROUP.get(choices.order, "")
    first = tuple(task for task in recipe.tasks if task in GROUPS.get(group, ()))
    return Plan(tasks, iterations, round(choices.warmup * iterations), base, round(choices.alone * iterations), first)
