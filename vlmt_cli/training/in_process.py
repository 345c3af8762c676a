"""What each process of a run does: load, make or resume the model, train, keep what is needed."""

import contextlib
import io
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from lightning_fabric import Fabric

from vlmt_cli.base.errors import VlmtError
from vlmt_cli.base.files import write_text
from vlmt_cli.datasets.table import TASKS
from vlmt_cli.evaluation.processes import precision_of
from vlmt_cli.evaluation.setup import load_model, make_reader
from vlmt_cli.features.reader import RegionReader
from vlmt_cli.runs.checkpoint import Checkpoint, load_checkpoint, load_state
from vlmt_cli.runs.folders import WEIGHTS
from vlmt_cli.runs.lineage import Beginning, Stage
from vlmt_cli.runs.metrics import METRICS, METRICS_VERSION, append, cut_metrics
from vlmt_cli.runs.recipe import write_recipe
from vlmt_cli.runs.tensors import write_tensors, write_torch
from vlmt_cli.runs.trackers import Tracker, tensorboard_tracker, wandb_tracker
from vlmt_cli.tasks.load import answers_of, keys_of_images
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.tasks.process import Process
from vlmt_cli.tasks.text import TextEncoder
from vlmt_cli.training.affinity import Affinity
from vlmt_cli.training.environment import environment_here, with_environment
from vlmt_cli.training.job import Job, Listener, split_hash_of
from vlmt_cli.training.loop import Loop
from vlmt_cli.training.loop_state import DivergedError, first_state, read_state
from vlmt_cli.training.loop_task import Splits, load_splits, make_loop_task
from vlmt_cli.training.optimizer import freeze, load_optimizer, make_optimizer
from vlmt_cli.training.plan import Plan, make_plan
from vlmt_cli.training.processes import interrupts
from vlmt_cli.training.saver import Saver
from vlmt_cli.training.start import StartingPoint, make_start, settled_by
from vlmt_cli.trunks.vilbert import checkpoint_layers, compile_layers

DIVERGED = "diverged"
"""What is in a run folder when a loss was NaN or infinite: the weights, and the batch."""


def train_here(fabric: Fabric, job: Job) -> bool:
    """Train in this process, which is one of the run's; returns whether the run came to its end."""
    recipe, choices = job.recipe, job.recipe.training
    encoder = TextEncoder(job.tokenizer)
    on_gpu = fabric.device.type == "cuda"
    reader = make_reader(recipe, job.data, on_gpu and choices.compile, job.trained)
    splits = load_splits(job.data, recipe, encoder, reader, job.partial)
    checkpoint, beginning = (load_checkpoint(job.run), None) if job.resume else _begin(job, encoder, reader, splits)
    own = checkpoint.model
    settled = recipe.model_copy(update={"model": settled_by(checkpoint, recipe)})
    plan = make_plan(settled, {task: len(split.train) for task, split in splits.items()})
    freeze(own, choices.freeze)
    if choices.compile:
        compile_layers(own.trunk)
    if choices.checkpointing:
        checkpoint_layers(own.trunk)
    model = fabric.setup_module(own)
    optimizer: Any = fabric.setup_optimizers(make_optimizer(own, choices, plan.learning_rate, plan.heads))
    state = first_state(recipe.tasks, choices)
    if job.resume:
        kept = load_state(job.run)
        state, job = read_state(kept, choices), replace(job, seed=kept["seed"])
        load_optimizer(optimizer, kept["optimizer"], job.run)
        if scaler := kept.get("scaler"):  # of fp16; older runs have not kept it
            fabric.strategy.precision.load_state_dict(scaler)
        if fabric.global_rank == 0:
            cut_metrics(job.run, state.iteration)
    checkpoint = with_environment(checkpoint, environment_here(fabric.device, fabric.world_size, job.seed))
    process = Process(fabric.device, fabric.global_rank, fabric.world_size)
    memory = _memory(reader, plan.tasks, fabric) if on_gpu else lambda: None
    loop_tasks = {
        task: make_loop_task(task, plan.tasks[task], splits[task], settled, encoder, reader, process, job.seed, memory)
        for task in recipe.tasks
    }
    with _report(fabric, job) as tell, interrupts() as interrupted:
        trackers = _trackers(job) if fabric.global_rank == 0 else []

        def emit(record: dict[str, Any]) -> None:
            if fabric.global_rank == 0:
                append(job.run, record)
                for tracker in (tell, *trackers):
                    tracker(record)

        saver = Saver(fabric, job.run, checkpoint, optimizer, state, job.seed)
        loop = Loop(
            fabric,
            model,
            optimizer,
            loop_tasks,
            plan,
            choices,
            state,
            job.seed,
            emit,
            saver.keep,
            saver.save,
            interrupted.is_set,
        )
        if choices.affinity_every is not None:
            loop.callbacks = [Affinity(loop, choices.affinity_every)]
        if fabric.global_rank == 0:
            job.run.mkdir(parents=True, exist_ok=True)
            if not job.resume:
                (job.run / METRICS).unlink(missing_ok=True)
                write_recipe(job.run, recipe)
        fabric.barrier()
        emit(_start_record(fabric, job, plan, own, state.iteration, beginning))
        try:
            return loop.run()
        except DivergedError as error:
            _save_divergence(fabric, job.run, own.state_dict(), error)
            raise VlmtError(error.what, where=job.run / DIVERGED, todo=error.todo) from error


def _begin(
    job: Job, encoder: TextEncoder, reader: RegionReader, splits: dict[str, Splits]
) -> tuple[Checkpoint, Beginning]:
    """Make the model that a new run starts with, and say where its weights come from."""
    answers = {TASKS[task].head: names for task in job.recipe.tasks if (names := answers_of(job.data, task))}
    source = StartingPoint(load_model(job.start, "last"), job.start) if job.start else None  # as ``prepare`` chose
    meta, vocabulary = reader.store.meta, encoder.tokenizer.get_vocab_size()
    checkpoint, beginning = make_start(job.recipe, source, meta, vocabulary, answers, job.tokenizer, job.seed)
    return _add_stage(_with_stores(checkpoint, reader), beginning, job, splits), beginning


def _with_stores(checkpoint: Checkpoint, reader: RegionReader) -> Checkpoint:
    """Say in a checkpoint's lineage by what name its stores can be found again, whatever will stand beside them."""
    extractor = checkpoint.lineage.extractor
    assert extractor is not None  # of ``make_start``
    names = {"store": reader.store.path.name, "candidates": reader.candidates and reader.candidates.path.name}
    extractor = extractor.model_copy(update=names)
    return replace(checkpoint, lineage=checkpoint.lineage.model_copy(update={"extractor": extractor}))


def _start_record(
    fabric: Fabric, job: Job, plan: Plan, model: MultiTaskModel, iteration: int, beginning: Beginning | None
) -> dict[str, Any]:
    """Return the first line of metrics: what is trained, from which iteration on, and with what."""
    choices = job.recipe.training
    return {
        "kind": "start",
        "version": METRICS_VERSION,
        "iteration": iteration,
        "iterations": plan.iterations,
        "warmup": plan.warmup,
        "gap": choices.gap,
        "seed": job.seed,
        "world": fabric.world_size,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "device": fabric.device.type,
        "precision": precision_of(choices.precision, fabric.device.type),
        "tasks": {task: vars(task_plan) for task, task_plan in plan.tasks.items()},
        "head_rates": plan.heads,
        **({"weights": beginning.model_dump()} if beginning else {}),
    }


def _add_stage(checkpoint: Checkpoint, beginning: Beginning, job: Job, splits: dict[str, Splits]) -> Checkpoint:
    """Add this training, and the images that it will see, to a checkpoint's lineage."""
    keys = pc.unique(pa.concat_arrays([keys_of_images(split.train) for split in splits.values()]))
    name = f"images-{len(checkpoint.lineage.stages) + 1}.parquet"
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": keys.take(pc.sort_indices(keys))}), buffer, compression="zstd")
    stage = Stage(
        name=job.run.name,
        split_hash=split_hash_of(job),
        recipe_hash=job.recipe.hash(),
        images=name,
        beginning=beginning,
    )
    lineage = checkpoint.lineage.model_copy(update={"stages": (*checkpoint.lineage.stages, stage)})
    return replace(checkpoint, lineage=lineage, images={**checkpoint.images, name: buffer.getvalue()})


def _memory(reader: RegionReader, tasks: Any, fabric: Fabric) -> Callable[[], Any]:
    """Give each batch pinned memory of its own, from which copies to the GPU need not wait."""
    width = reader.store.meta.feature_width
    largest = max(2 * task.batch_size for task in tasks.values())
    size = largest * (1 + reader.max_regions) * width // fabric.world_size

    def give() -> torch.Tensor:
        return torch.empty(size, dtype=torch.float16, pin_memory=True)

    return give


def _trackers(job: Job) -> list[Tracker]:
    choices, trackers = job.recipe.training, []
    if choices.tensorboard:
        trackers.append(tensorboard_tracker(job.run))
    if choices.wandb:
        trackers.append(wandb_tracker(job.run, job.recipe.model_dump(mode="json")))
    return trackers


@contextlib.contextmanager
def _report(fabric: Fabric, job: Job) -> Iterator[Listener]:
    if job.report is None or fabric.global_rank:
        yield lambda record: None
        return
    with job.report() as report:
        yield report


def _save_divergence(fabric: Fabric, run: Path, weights: Mapping[str, torch.Tensor], error: DivergedError) -> None:
    """Keep the weights, and the batch whose loss is NaN or infinite with them; each process has its part of it."""
    folder = run / DIVERGED
    if fabric.global_rank == 0:
        shutil.rmtree(folder, ignore_errors=True)
        write_text(folder / "README.txt", f"{error}\nexamples: their places in the task's training split\n")
        write_tensors(folder / WEIGHTS, weights)
    fabric.barrier()
    for number, part in enumerate(error.parts):
        content = {**vars(part), "examples": torch.from_numpy(part.examples)}
        if "masked" in content:
            content["masked"] = vars(content["masked"])
        write_torch(folder / f"batch-{fabric.global_rank}-{number}.pt", content)
    fabric.barrier()  # the first process that fails ends the others
