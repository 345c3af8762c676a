"""The cost of a run on this machine, from a few updates and validations of each task. Nothing is written.

The loop that trains is what runs: with one task at a time, batches that grow until one takes long enough to be
measured, and random weights, which take as long as trained ones. What a whole batch takes follows from the last two.
"""

import resource
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from vlmt_cli.base.errors import DataError, VlmtError
from vlmt_cli.datasets.clean_command import get_examples
from vlmt_cli.datasets.table import TASKS
from vlmt_cli.evaluation.processes import make_fabric
from vlmt_cli.evaluation.setup import make_reader
from vlmt_cli.runs.tokenizer import read_tokenizer
from vlmt_cli.tasks.load import answers_of, load_examples
from vlmt_cli.tasks.process import Process
from vlmt_cli.tasks.tables import read_columns
from vlmt_cli.tasks.text import TextEncoder, word_tokenizer
from vlmt_cli.training.cost import PARAMETER_BYTES, Cost, Seconds, add_up, work_of
from vlmt_cli.training.counted import notes_on, sizes_of
from vlmt_cli.training.job import Job
from vlmt_cli.training.loop import Loop
from vlmt_cli.training.loop_state import first_state
from vlmt_cli.training.loop_task import LoopTask, Splits, make_loop_task
from vlmt_cli.training.optimizer import freeze, make_optimizer
from vlmt_cli.training.plan import Plan, make_plan
from vlmt_cli.training.start import make_start
from vlmt_cli.trunks.vilbert import checkpoint_layers, compile_layers

FIRST_BATCH = 4
LONG_ENOUGH = 1.0
"""Seconds of an update: it is measured well, and no larger batch is tried."""
UPDATES = 2
VALIDATED = 32
_WORDS = 20_000


def measure_cost(job: Job, progress: Callable[[str, int, int], None] = lambda name, done, total: None) -> Cost:
    """Measure what a job takes: one process on this machine, with the share of a batch that each would have.

    Raises:
        DataError, UsageError: as ``train``.
    """
    recipe = job.recipe.overridden(["model.bert=null", "start=null"])
    choices, tasks = recipe.training, recipe.tasks
    devices = job.devices.processes * job.devices.nodes
    fabric = make_fabric(choices.precision, replace(job.devices, processes=1, nodes=1))
    fabric.launch()
    tokenizer, words = _tokenizer(replace(job, recipe=recipe))
    on_gpu = fabric.device.type == "cuda"
    encoder, reader = TextEncoder(tokenizer), make_reader(recipe, job.data, fixed=on_gpu and choices.compile)
    sizes = {task: sizes_of(recipe, job.data, task) for task in tasks}
    plan = make_plan(recipe, {task: size.train for task, size in sizes.items()})
    first = max(FIRST_BATCH, choices.accumulate)  # an example for each part of a batch
    splits = {}
    for task in tasks:
        needed = max(first, -(-plan.tasks[task].batch_size // devices))
        options: dict[str, Any] = {"clean": recipe.split == "clean", "partial": job.partial, "kept": False}
        options["answers"] = answers_of(job.data, task)
        here = (encoder, reader)
        train = load_examples(job.data, task, "train", *here, "train", limit=needed, **options)
        validation = load_examples(job.data, task, "val", *here, "validate", limit=VALIDATED, **options)
        splits[task] = Splits(train, validation, np.arange(len(validation)))
    head_answers = {TASKS[task].head: names for task in tasks if (names := answers_of(job.data, task))}
    vocabulary = encoder.tokenizer.get_vocab_size()
    made, _ = make_start(recipe, None, reader.store.meta, vocabulary, head_answers, tokenizer, job.seed)
    freeze(made.model, choices.freeze)
    if choices.compile:
        compile_layers(made.model.trunk)
    if choices.checkpointing:
        checkpoint_layers(made.model.trunk)
    model = fabric.setup_module(made.model)
    if recipe.pretrains:
        model.mark_forward_method("pretrain")
    optimizer = fabric.setup_optimizers(make_optimizer(made.model, choices, plan.learning_rate, plan.heads))
    seconds: dict[str, Seconds] = {}
    for number, task in enumerate(tasks):
        progress(task, number, len(tasks))

        def loop_task(batch: int, task: str = task) -> LoopTask:
            own = replace(plan.tasks[task], batch_size=batch)
            return make_loop_task(
                task, own, splits[task], recipe, encoder, reader, Process(fabric.device), job.seed, lambda: None
            )

        def update(batch: int, times: int, task: str = task) -> float:
            made_task = replace(loop_task(batch), validate=lambda model: 0.0)
            return _timed(fabric, lambda: _train(fabric, model, optimizer, made_task, plan, recipe, times)) / times

        whole = min(-(-plan.tasks[task].batch_size // devices), len(splits[task].train))
        update(min(first, whole), 1)  # the first allocates, compiles and reads
        each = _of_batch(update, first, whole)
        scored = loop_task(min(whole, max(VALIDATED, choices.accumulate)))
        validated = _timed(fabric, lambda task=scored: task.validate(model)) / len(splits[task].validation)  # type: ignore[misc]
        seconds[task] = Seconds((each, each), (validated, validated))
    parameters = sum(parameter.numel() for parameter in made.model.parameters())
    memory = {"weights, gradients and moments": float(parameters * PARAMETER_BYTES)}
    if fabric.device.type == "cuda":
        memory["measured maximum, with activations"] = float(torch.cuda.max_memory_allocated())
    else:
        memory["measured maximum of this process"] = 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assumptions = [
        f"Measured here in one process, with random weights, at {UPDATES} updates a size of batch. A batch that would"
        f" take more than {LONG_ENOUGH:g} s is extrapolated from smaller ones; memory is that of the largest that ran.",
        *([f"{devices} devices work side by side, and exchanging gradients takes no time."] if devices > 1 else []),
        *words,
        *notes_on(sizes, recipe, job.data),
    ]
    most = choices.validation_examples
    steering = {task: min(most or size.validation, size.validation) for task, size in sizes.items()}
    work, name = (
        work_of(plan, choices, steering),
        f"{devices} x {fabric.device.type}" if devices > 1 else fabric.device.type,
    )
    return add_up("measured", name, devices, parameters, plan, choices, work, seconds, memory, assumptions)


def _of_batch(update: Callable[[int, int], float], first: int, whole: int) -> float:
    """Return the seconds of an update with a whole batch, measured or along the line through two smaller ones."""
    batch, taken = min(first, whole), 0.0
    points: list[tuple[int, float]] = []
    while True:
        taken = update(batch, UPDATES)
        points.append((batch, taken))
        if batch == whole or (taken > LONG_ENOUGH and len(points) > 1):
            break
        batch = min(whole, batch * (2 if taken > LONG_ENOUGH else 4))
    if batch == whole:
        return taken
    (small, before), (large, after) = points[-2:]
    slope = max(0.0, (after - before) / (large - small))
    return after + slope * (whole - large)


def _train(
    fabric: Fabric, model: Any, optimizer: Any, loop_task: LoopTask, plan: Plan, recipe: Any, updates: int
) -> None:
    task = loop_task.name
    alone = replace(plan, tasks={task: loop_task.plan}, iterations=updates, warmup=0, phases=(), temperature=None)
    choices = recipe.training.model_copy(update={"stop_when_converged": False, "affinity_every": None})
    state = first_state((task,), choices)

    def nothing(*_: Any) -> None:
        """Keep, save and emit nothing."""

    Loop(
        fabric, model, optimizer, {task: loop_task}, alone, choices, state, 0, nothing, nothing, nothing, lambda: False
    ).run()


def _timed(fabric: Fabric, run: Callable[[], Any]) -> float:
    if fabric.device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    if fabric.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _tokenizer(job: Job) -> tuple[str, list[str]]:
    """Return the recipe's tokenizer, or the words of some texts where it cannot be had, and what that means."""
    named = job.recipe.model.settled().tokenizer
    if named is not None:
        try:
            return read_tokenizer(named, 1 << 31), []
        except VlmtError:
            words = [f"{named} is not here: texts are cut into words, and the model has as many as there are."]
    else:
        words = []
    texts = []
    for task in job.recipe.tasks:
        path = job.data / "examples" / task / "train.parquet"
        if not path.exists():
            todo = get_examples(job.data, task, split="train")
            raise DataError("there is no such example table", where=path, todo=todo)
        texts += read_columns(path, ["text"])["text"][:_WORDS].to_pylist()
    return word_tokenizer(iter(texts)), words
