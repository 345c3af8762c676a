"""What a run will do, from its recipe and the sizes of its datasets (sections 3.3 and 8.4)."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from vlmt_cli.datasets.table import TASKS
from vlmt_cli.runs.recipe import Recipe, task_token


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
        learning_rate: of the trunk, which all tasks share: the minimum over all tasks.
        heads: the learning rate of each head: the minimum over the tasks that share it.
        phases: of a curriculum, in order: the last iteration of each, and the tasks that alone train in it.
        temperature: of the draws of tasks; None where they train in round robin.
    """

    tasks: dict[str, TaskPlan]
    iterations: int
    warmup: int
    learning_rate: float
    heads: dict[str, float]
    phases: tuple[tuple[int, tuple[str, ...]], ...] = ()
    temperature: float | None = None

    def rate(self, iteration: int) -> float:
        """Return the trunk's learning rate in an iteration, counted from 1: linear warm-up, then linear decay."""
        if iteration <= self.warmup:
            return self.learning_rate * iteration / self.warmup
        return self.learning_rate * (self.iterations + 1 - iteration) / (self.iterations + 1 - self.warmup)

    def turn(self, iteration: int) -> tuple[str, ...]:
        """Return the tasks whose turn comes in an iteration: all, in round robin, once a curriculum is over."""
        return next((tasks for end, tasks in self.phases if iteration <= end), tuple(self.tasks))

    def shares(self, tasks: tuple[str, ...]) -> tuple[float, ...]:
        """Return the probability of each of some tasks in a draw, n^(1/T) over the sum; n counts examples."""
        assert self.temperature is not None
        logs = np.log([self.tasks[task].examples for task in tasks]) / self.temperature
        powers = np.exp(logs - logs.max())  # a small T overflows otherwise
        return tuple((powers / powers.sum()).tolist())

    def draw(self, iteration: int, seed: int) -> tuple[str, ...]:
        """Draw the tasks that train a batch in an iteration, independently and with replacement.

        As many as have their turn, so that a run has the updates of round robin. The draw depends on the seed and the
        iteration alone. Empty where there is no temperature.
        """
        if self.temperature is None:
            return ()
        tasks = self.turn(iteration)
        rng = np.random.default_rng((seed, zlib.crc32(b"mixing"), iteration))
        return tuple(tasks[number] for number in rng.choice(len(tasks), len(tasks), p=self.shares(tasks)))

    def spans(self, task: str) -> tuple[tuple[int, int], ...]:
        """Return when a task's turn comes: from each iteration that is named first, without it, to the second."""
        spans: list[tuple[int, int]] = []
        begin = 0
        for end, tasks in (*self.phases, (self.iterations, tuple(self.tasks))):
            if task in tasks:
                earlier = spans.pop()[0] if spans and spans[-1][1] == begin else begin
                spans.append((earlier, end))
            begin = end
        return tuple(spans)


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
    heads: dict[str, float] = {}
    for task, rate in rates.items():
        if task in TASKS:
            head = TASKS[task].head
            heads[head] = min(rate, heads.get(head, rate))
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
            task_token(task, recipe.model.settled().task_token),
        )
        for task in recipe.tasks
    }
    groups = (tuple(task for task in recipe.tasks if TASKS[task].group == group) for group in choices.curriculum)
    ends = (round(share * iterations) for share in accumulate(choices.phases))
    phases = tuple(zip(ends, groups, strict=True))
    warmup = round(choices.warmup * iterations)
    return Plan(tasks, iterations, warmup, base, heads, phases, choices.temperature)
