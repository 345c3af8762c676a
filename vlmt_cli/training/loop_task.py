"""What the loop does for each task: make a batch, compute its losses, validate.

The twelve tasks and pre-training differ here and nowhere else in training.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from vlmt_cli.base.errors import UsageError
from vlmt_cli.datasets.table import TASKS
from vlmt_cli.evaluation import run as evaluation
from vlmt_cli.features.reader import RegionReader
from vlmt_cli.runs.recipe import PRETRAINING, Recipe
from vlmt_cli.tasks.batch import Batch
from vlmt_cli.tasks.examples import Examples
from vlmt_cli.tasks.groups import head_of
from vlmt_cli.tasks.load import answers_of, load_examples, make_batch
from vlmt_cli.tasks.process import Process
from vlmt_cli.tasks.tables import require_in_split
from vlmt_cli.tasks.text import TextEncoder
from vlmt_cli.training.batches import BatchOrder
from vlmt_cli.training.plan import TaskPlan
from vlmt_cli.training.pretraining import Captions, MaskedBatch, count_masked, pretraining_sums, validate_pretraining

Sums = Mapping[str, tuple[Tensor, Tensor | int]]
"""Losses by name, each a sum and what to divide it by."""


@dataclass(frozen=True)
class LoopTask:
    """One task in the loop.

    Attributes:
        name: the task's.
        head: its head.
        plan: sizes and rates.
        make: the micro-batches of this process for the k-th batch.
        counts: what each loss is divided by, of all of them together.
        sums: the losses of a model on one of them.
        validate: the score of a model on the validation split, the same in every process.
        steering: how many examples that score is of.
        known: what each loss is divided by, over all processes, where every batch has the same.
    """

    name: str
    head: str
    plan: TaskPlan
    make: Callable[[int], list[Any]]
    counts: Callable[[list[Any]], dict[str, float]]
    sums: Callable[[nn.Module, Any], Sums]
    validate: Callable[[nn.Module], float]
    steering: int
    known: dict[str, float] | None = None


@dataclass(frozen=True)
class Splits:
    """A task's examples in a run.

    Attributes:
        train: to train on.
        validation: what steers DSG.
        steering: the examples of it that do.
    """

    train: Examples
    validation: Examples
    steering: NDArray[np.int64]


def load_splits(
    data: Path, recipe: Recipe, encoder: TextEncoder, reader: RegionReader, partial: bool
) -> dict[str, Splits]:
    """Load the train and validation splits of a recipe's tasks. Errors are ``load_examples``'s."""
    loaded = {}
    if recipe.split == "clean":
        require_in_split(data, recipe.tasks)
    for task in recipe.tasks:
        load = functools.partial(
            load_examples,
            clean=recipe.split == "clean",
            answers=answers_of(data, task),
            partial=partial,
            limit=recipe.training.limit,
        )
        train = load(data, task, "train", encoder, reader, "train")
        validation = load(data, task, "val", encoder, reader, "validate")
        loaded[task] = Splits(train, validation, spread(len(validation), recipe.training.validation_examples))
    return loaded


def spread(examples: int, most: int | None) -> NDArray[np.int64]:
    """Return at most so many of some examples, evenly spread."""
    return np.unique(np.linspace(0, examples - 1, min(most or examples, examples)).round().astype(np.int64))


def make_loop_task(
    task: str,
    plan: TaskPlan,
    splits: Splits,
    recipe: Recipe,
    encoder: TextEncoder,
    reader: RegionReader,
    process: Process,
    seed: int,
    memory: Callable[[], Tensor | None],
) -> LoopTask:
    """Make a task ready for the loop.

    Args:
        task, plan, splits: the task.
        recipe: every choice.
        encoder, reader: of texts and regions.
        process: this process among others.
        seed: of the run.
        memory: gives memory for a batch's features.

    Raises:
        UsageError: a batch has too few examples for all processes and micro-batches.
    """
    order = BatchOrder(splits.train.lengths, plan.batch_size, seed, task, recipe.training.length_window)
    parts = recipe.training.accumulate
    if plan.batch_size < process.world * parts:
        what = f"a batch of {task} has {plan.batch_size} examples, fewer than its {process.world * parts} parts"
        raise UsageError(what, todo="take fewer processes, or a smaller training.accumulate")

    def parts_of(number: int) -> list[NDArray[np.int64]]:
        """The places, in the k-th batch, of this process's micro-batches."""
        own = np.arange(plan.batch_size)[process.rank :: process.world]
        return [own[part::parts] for part in range(parts) if len(own[part::parts])]

    on_gpu = process.device.type == "cuda"

    if task == PRETRAINING:
        source = Captions(splits.train, reader, encoder, recipe.masking)

        def masked(number: int) -> list[MaskedBatch]:
            batch, generator = order.rows(number), order.generator
            parts = [source.masked(batch, part, generator(number)) for part in parts_of(number)]
            return [part.pinned() for part in parts] if on_gpu else parts

        return LoopTask(
            task,
            "pretraining",
            plan,
            masked,
            count_masked,
            pretraining_sums,
            lambda model: validate_pretraining(
                model,
                Captions(splits.validation, reader, encoder, recipe.masking),
                splits.steering,
                plan.batch_size,
                process,
            ),
            len(splits.steering),
        )

    head, form = head_of(task), recipe.model.verification_loss
    multiple = 8 if on_gpu else 1

    def make(number: int) -> list[Batch]:
        whole = order.rows(number)
        # Drawn for the whole batch, so that it does not depend on how many processes share it.
        drawn = head.draw(splits.train, whole, order.generator(number)) if head.draw else None
        parts = [
            make_batch(
                splits.train,
                whole[part],
                reader,
                plan.token,
                None if drawn is None else drawn[:, part],
                memory(),
                multiple,
            )
            for part in parts_of(number)
        ]
        return [part.pinned() for part in parts] if on_gpu else parts

    def sums(model: nn.Module, batch: Batch) -> Sums:
        options = head.options(model(*batch.inputs()), batch.targets)
        loss = head.loss(options, batch.targets, form)
        return {"loss": (loss * len(batch), len(batch))}

    def validate(model: nn.Module) -> float:
        scores = evaluation.score(
            model, splits.validation, reader, plan.token, plan.batch_size, process, only=splits.steering
        )
        return float(scores.mean())

    def counts(parts: list[Batch]) -> dict[str, float]:
        return {"loss": float(sum(map(len, parts)))}

    known = {"loss": float(plan.batch_size)}
    return LoopTask(task, TASKS[task].head, plan, make, counts, sums, validate, len(splits.steering), known)
