"""From a recipe to a run folder: prepare once, start as many processes as asked for, train, keep what is needed."""

import contextlib
import functools
import io
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from lightning_fabric import Fabric
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from vlmt_cli.base.claims import Claim, claimed
from vlmt_cli.base.errors import DataError, UsageError, VlmtError
from vlmt_cli.base.files import put_back, write_text
from vlmt_cli.base.processes import started_from_outside
from vlmt_cli.clean.split_folder import read_report
from vlmt_cli.datasets.table import TASKS
from vlmt_cli.evaluation.run import Process
from vlmt_cli.evaluation.setup import load_model, make_reader
from vlmt_cli.features.reader import RegionReader
from vlmt_cli.runs.best import find_weights
from vlmt_cli.runs.checkpoint import Checkpoint, load_checkpoint, load_state
from vlmt_cli.runs.folders import CONFIG, IN_USE, STATE, WEIGHTS, start_of
from vlmt_cli.runs.lineage import Beginning, Stage
from vlmt_cli.runs.metrics import METRICS, METRICS_VERSION, append, cut_metrics, first_seed
from vlmt_cli.runs.recipe import RECIPE, Recipe, read_recipe, write_recipe
from vlmt_cli.runs.recipe_sections import TrainingChoices
from vlmt_cli.runs.tensors import write_tensors, write_torch
from vlmt_cli.runs.tokenizer import read_tokenizer
from vlmt_cli.runs.trackers import Tracker, tensorboard_tracker, wandb_tracker
from vlmt_cli.tasks.load import answers_of, keys_of_images
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.tasks.tables import read_columns
from vlmt_cli.tasks.text import TextEncoder, word_tokenizer
from vlmt_cli.training.affinity import Affinity
from vlmt_cli.training.contradictions import check_against
from vlmt_cli.training.environment import environment_here, with_environment
from vlmt_cli.training.loop import DivergedError, Loop, first_state, read_state
from vlmt_cli.training.optimizer import freeze, load_optimizer, make_optimizer
from vlmt_cli.training.plan import Plan, make_plan
from vlmt_cli.training.processes import (
    Devices,
    check_devices,
    interrupts,
    make_fabric,
    precision_of,
    signals_go_to_children,
)
from vlmt_cli.training.saver import Saver
from vlmt_cli.training.start import StartingPoint, make_start, settled_by
from vlmt_cli.training.work import Splits, load_splits, make_work
from vlmt_cli.trunks.vilbert import compile_layers

DIVERGED = "diverged"
"""What is in a run folder when a loss was NaN or infinite: the weights, and the batch."""
Listener = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Job:
    """All that a process needs to take part in a run; it travels between processes.

    Attributes:
        recipe, data, run: what to train, on what, into which folder.
        seed: of everything that is drawn.
        partial: whether examples without features are left out.
        resume: whether to go on from what the folder holds; None for where it holds a run.
        devices: what to compute on.
        tokenizer: a ``tokenizer.json``, as text.
        start: the weights to begin with, a folder or a file; None for initial ones.
        report: makes what is told of every line of metrics, in the first process.
    """

    recipe: Recipe
    data: Path
    run: Path
    seed: int = 0
    partial: bool = False
    resume: bool | None = False
    devices: Devices = field(default_factory=Devices)
    tokenizer: str = ""
    start: str | None = None
    report: Callable[[], AbstractContextManager[Listener]] | None = None


def train(job: Job) -> bool:
    """Train a recipe into a run folder.

    Returns:
        Whether it came to its end; an interrupted run goes on with ``resume``.

    Raises:
        UsageError: the folder holds a run already, there are fewer GPUs than asked for, or the recipe does not fit
            the checkpoint that it begins with.
        DataError: examples, the clean split, features or a checkpoint are missing or damaged.
        VlmtError: another process trains in the folder, or a loss is NaN or infinite; ``diverged`` in the run
            folder holds what led there.
    """
    with opened(job) as job:
        return _train_opened(job)


@contextlib.contextmanager
def opened(job: Job) -> Iterator[Job]:
    """Keep other processes out of a job's run folder, and say what is left to do there.

    Of the processes of one run the first claims the folder; all learn what came of it.

    Yields:
        The job as it is trained: where it resumes, with the recipe of the run.

    Raises:
        UsageError, DataError, VlmtError: of ``train``, what needs neither data nor model.
    """
    check_devices(job.devices)
    if job.resume and not job.run.parent.is_dir():
        read_recipe(job.run)  # says that there is no run, and leaves no lock there
    # Those that were started from outside meet before any of them looks into the folder.
    fabric = make_fabric(TrainingChoices(precision="32"), job.devices) if started_from_outside() else None
    if fabric is not None:
        fabric.launch()
    with contextlib.ExitStack() as claim:
        refused: VlmtError | None = None
        if fabric is None or fabric.global_rank == 0:
            try:
                claim.enter_context(claimed(job.run, IN_USE))
                put_back(job.run)
            except VlmtError as error:
                refused = error
        if fabric is not None:
            refused = fabric.broadcast(refused)
        if refused is not None:
            raise refused
        yield _with_what_is_there(job)


def _with_what_is_there(job: Job) -> Job:
    if job.resume is None:
        job = replace(job, resume=(job.run / RECIPE).exists())
    if job.resume:
        job = replace(job, recipe=read_recipe(job.run))
        if not (job.run / STATE).exists():  # it was killed before it first saved, and begins anew
            job = replace(job, resume=False, seed=first_seed(job.run, job.seed))
    elif (job.run / CONFIG).exists():
        todo = "go on with it with --resume, or name another folder with --run"
        raise UsageError("holds a run already", where=job.run, todo=todo)
    return job


def _train_opened(job: Job) -> bool:
    job = prepare(job)
    fabric = make_fabric(job.recipe.training, job.devices)
    if job.devices.processes * job.devices.nodes == 1 or started_from_outside():
        fabric.launch()
        return _train_here(fabric, job)
    with signals_go_to_children(), claimed(job.run) as claim:
        try:
            launch: Any = fabric.launch
            # Fabric goes through the arguments of what it launches, and refuses a frozen dataclass there.
            return bool(launch(functools.partial(_train_in_child, job=job, claim=claim)))
        except (ProcessExitedException, ProcessRaisedException) as error:
            raise _in_its_words(error, job.run) from error


def _train_in_child(fabric: Fabric, job: Job, claim: Claim) -> bool:
    """Train in a process that holds its parent's claim, too: the parent may be killed alone."""
    return _train_here(fabric, job)


def prepare(job: Job) -> Job:
    """Do once what every process needs: the tokenizer, and what to start from."""
    recipe = job.recipe
    first = None if job.resume else start_of(recipe, job.run, job.data)
    start = find_weights(first, recipe.start_weights).source if first else None
    checkpoint = load_checkpoint(job.run) if job.resume else load_model(start, "last") if start else None
    if checkpoint is not None and start is not None:
        check_against(recipe, checkpoint, start)
    named = recipe.model.settled().tokenizer
    if checkpoint is not None:
        assert checkpoint.tokenizer is not None
        tokenizer = checkpoint.tokenizer
    elif named is None:
        tokenizer = word_tokenizer(_texts(job))
    else:
        tokenizer = read_tokenizer(named, 1 << 31)
    if job.resume:
        split_hash = _split_hash(job)
        before = checkpoint.lineage.stages[-1].split_hash if checkpoint and checkpoint.lineage.stages else None
        if before != split_hash:
            what = f"the run was trained on split {before}, and the data now have {split_hash}"
            raise DataError(what, where=job.run, todo="clean again as before, or begin another run")
    return replace(job, tokenizer=tokenizer, start=start)


def _train_here(fabric: Fabric, job: Job) -> bool:
    recipe, choices = job.recipe, job.recipe.training
    encoder = TextEncoder(job.tokenizer)
    on_gpu = fabric.device.type == "cuda"
    reader = make_reader(recipe, job.data, fixed=on_gpu)
    splits = load_splits(job.data, recipe, encoder, reader, job.partial)
    checkpoint, beginning = (load_checkpoint(job.run), None) if job.resume else _begin(job, encoder, reader, splits)
    own = checkpoint.model
    settled = recipe.model_copy(update={"model": settled_by(checkpoint, recipe)})
    plan = make_plan(settled, {task: len(split.train) for task, split in splits.items()})
    freeze(own, choices.freeze)
    if choices.compile:
        compile_layers(own.trunk)
    model = fabric.setup_module(own)
    if recipe.pretrains:
        model.mark_forward_method("pretrain")
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
    works = {
        task: make_work(task, plan.tasks[task], splits[task], settled, encoder, reader, process, job.seed, memory)
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
            works,
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
    return _add_stage(checkpoint, beginning, job, splits), beginning


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
        split_hash=_split_hash(job),
        recipe_hash=job.recipe.hash(),
        images=name,
        beginning=beginning,
    )
    lineage = checkpoint.lineage.model_copy(update={"stages": (*checkpoint.lineage.stages, stage)})
    return replace(checkpoint, lineage=lineage, images={**checkpoint.images, name: buffer.getvalue()})


def _split_hash(job: Job) -> str | None:
    """The hash of the clean split; that of the full one is none."""
    return read_report(job.data / "clean").split_hash if job.recipe.split == "clean" else None


def _texts(job: Job) -> Iterator[str]:
    """The training texts of all datasets that were read, so that a later run knows their words, too."""
    for path in sorted((job.data / "examples").glob("*/train.parquet")):
        yield from read_columns(path, ["text"])["text"].to_pylist()


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
        if "labels" in content:
            content["labels"] = vars(content["labels"])
        write_torch(folder / f"batch-{fabric.global_rank}-{number}.pt", content)
    fabric.barrier()  # the first process that fails ends the others


def _in_its_words(error: Exception, run: Path) -> VlmtError:
    """Rebuild a VlmtError from the text of a child process's traceback."""
    last = str(error).strip().splitlines()[-1]
    name, _, words = last.partition(": ")
    kinds: tuple[type[VlmtError], ...] = (VlmtError, UsageError, DataError)
    for kind in kinds:
        if name == f"{kind.__module__}.{kind.__name__}":
            return kind(words)
    todo = "go on with --resume; --debug shows all of it"
    return VlmtError(f"a process of the run died ({last})", where=run, todo=todo)
