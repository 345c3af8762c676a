"""From a recipe to a run folder: prepare once, start as many processes as asked for, train, keep what is needed."""

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lightning_fabric import Fabric
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from vlmt_cli.base.claims import Claim, claimed
from vlmt_cli.base.errors import DataError, UsageError, VlmtError
from vlmt_cli.base.files import put_back
from vlmt_cli.base.processes import fork_server, keep_shared, started_from_outside
from vlmt_cli.evaluation.processes import check_devices, in_its_words, make_fabric
from vlmt_cli.evaluation.setup import load_model, trained_on
from vlmt_cli.runs.best import find_weights
from vlmt_cli.runs.checkpoint import load_checkpoint
from vlmt_cli.runs.folders import CONFIG, IN_USE, STATE, start_of
from vlmt_cli.runs.metrics import first_seed
from vlmt_cli.runs.recipe import RECIPE, check_tokens, read_recipe
from vlmt_cli.runs.tokenizer import read_tokenizer
from vlmt_cli.tasks.tables import read_columns
from vlmt_cli.tasks.text import word_tokenizer
from vlmt_cli.training.contradictions import check_against, forms_of
from vlmt_cli.training.in_process import train_here
from vlmt_cli.training.job import Job, split_hash_of
from vlmt_cli.training.processes import signals_go_to_children
from vlmt_cli.trunks.config import PRESETS


def train(job: Job) -> bool:
    """Train a recipe into a run folder.

    Returns:
        Whether it came to its end; an interrupted run continues with ``resume``.

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

    Of the processes of one run the first claims the folder; all processes get the result.

    Yields:
        The job as it is trained: where it resumes, with the recipe of the run.

    Raises:
        UsageError, DataError, VlmtError: of ``train``, what needs neither data nor model.
    """
    check_devices(job.devices)
    if job.resume and not job.run.parent.is_dir():
        read_recipe(job.run)  # says that there is no run, and leaves no lock there
    # Those that were started from outside meet before any of them looks into the folder.
    fabric = make_fabric("32", job.devices) if started_from_outside() else None
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
        todo = "resume it with --resume, or name another folder with --run"
        raise UsageError("holds a run already", where=job.run, todo=todo)
    return job


def _train_opened(job: Job) -> bool:
    job = prepare(job)
    fabric = make_fabric(job.recipe.training.precision, job.devices)
    if job.devices.processes * job.devices.nodes == 1 or started_from_outside():
        fabric.launch()
        return train_here(fabric, job)
    fork_server(__name__)
    with signals_go_to_children(), claimed(job.run) as claim:
        try:
            launch: Any = fabric.launch
            # Fabric goes through the arguments of what it launches, and refuses a frozen dataclass there.
            return bool(launch(functools.partial(_train_in_child, job=job, claim=claim)))
        except (ProcessExitedException, ProcessRaisedException) as error:
            if isinstance(error, ProcessExitedException) and error.signal_name == "SIGINT":
                raise KeyboardInterrupt from error  # it did not train yet, and has nothing to save
            raise in_its_words(error, job.run, "resume with --resume; --debug shows all of it") from error


def _train_in_child(fabric: Fabric, job: Job, claim: Claim) -> bool:
    """Train in a process that holds its parent's claim, too: the parent may be killed alone."""
    keep_shared()
    return train_here(fabric, job)


def prepare(job: Job) -> Job:
    """Do once what every process needs: the tokenizer, and what to start from."""
    recipe = job.recipe
    first = None if job.resume else start_of(recipe, job.run, job.data)
    start = find_weights(first, recipe.start_weights).source if first else None
    checkpoint = load_checkpoint(job.run) if job.resume else load_model(start, "last") if start else None
    if checkpoint is not None and start is not None:
        check_against(recipe, checkpoint, start)
    if not job.resume:
        kind = recipe.model.settled(**forms_of(checkpoint, recipe) if checkpoint else {}).task_token
        check_tokens(recipe.tasks, kind, PRESETS["base"].task_tokens)
    named = recipe.model.settled().tokenizer
    if checkpoint is not None:
        assert checkpoint.tokenizer is not None
        tokenizer = checkpoint.tokenizer
    elif named is None:
        tokenizer = word_tokenizer(_texts(job))
    else:
        tokenizer = read_tokenizer(named, 1 << 31)
    if job.resume:
        split_hash = split_hash_of(job)
        before = checkpoint.lineage.stages[-1].split_hash if checkpoint and checkpoint.lineage.stages else None
        if before != split_hash:
            what = f"the run was trained on split {before}, and the data now have {split_hash}"
            raise DataError(what, where=job.run, todo="clean again as before, or begin another run")
    return replace(job, tokenizer=tokenizer, start=start, trained=trained_on(checkpoint) if checkpoint else None)


def _texts(job: Job) -> Iterator[str]:
    """The training texts of all datasets that were read, so that a later run knows their words, too."""
    for path in sorted((job.data / "examples").glob("*/train.parquet")):
        yield from read_columns(path, ["text"])["text"].to_pylist()
