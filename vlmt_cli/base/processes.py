"""Processes that this one starts, the signals that they share, and those that torchrun or srun started beside it.

Ctrl-C reaches every process of a terminal. The parent decides what it means; its workers ignore it, and end when the
parent is gone, however it died.
"""

import contextlib
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext, ForkServerContext, SpawnContext
from typing import Any

_FIRST_SPECIAL_STEP = 0xFFFFFFF0
"""From here on SLURM's step ids are those of the script of sbatch, the shell of salloc and the like."""


def by_torchrun() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def started_from_outside() -> bool:
    """Whether torchrun or srun started this process as one of several."""
    return by_torchrun() or _by_srun()


def started() -> int:
    """Return how many processes torchrun or srun started, this one among them."""
    return int(os.environ["WORLD_SIZE"]) if by_torchrun() else _srun_tasks()


def started_here() -> int:
    """Return how many of them torchrun or srun started on this machine."""
    if by_torchrun():
        return int(os.environ.get("LOCAL_WORLD_SIZE", started()))
    return started() // int(os.environ.get("SLURM_STEP_NUM_NODES") or os.environ.get("SLURM_NNODES") or 1)


def is_first() -> bool:
    """Whether this process is the one that speaks for all that torchrun or srun started."""
    return not started_from_outside() or os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"


def _by_srun() -> bool:
    """Whether this process is one of several tasks of a job step.

    The shell of salloc and the script of sbatch have SLURM_NTASKS, the size of the allocation, in their environment as
    well; but they are in no step, or in one of the special ones, and nobody starts processes beside them.
    """
    step = os.environ.get("SLURM_STEP_ID") or os.environ.get("SLURM_STEPID") or ""
    return step.isdecimal() and int(step) < _FIRST_SPECIAL_STEP and _srun_tasks() > 1


def _srun_tasks() -> int:
    return int(os.environ.get("SLURM_STEP_NUM_TASKS") or os.environ.get("SLURM_NTASKS") or 1)


def spawn() -> SpawnContext:
    """Return the way in which workers are started: fresh, since a fork of Arrow's or torch's threads can hang."""
    return multiprocessing.get_context("spawn")


_preloaded = ["vlmt_cli.base.ends_at_ctrl_c"]


def fork_server(*modules: str) -> ForkServerContext:
    """Return the way in which workers are started that share what they import: forks of a server without threads.

    Args:
        modules: what the server imports before it first forks. It is started with the first worker and keeps the
            environment of that moment; whatever is named later, workers import themselves. Ctrl-C ends it without
            a word while it imports, and workers until they say what they make of it.
    """
    context = multiprocessing.get_context("forkserver")
    _preloaded.extend(modules)
    context.set_forkserver_preload(_preloaded)
    return context


def keep_shared() -> None:
    """Leave what was imported before out of garbage collections, in a process that was just forked.

    A collection writes to every object, and what is written to is no longer shared with other forks.
    """
    gc.freeze()


def pool_of(
    workers: int, begin: Callable[..., None] | None = None, *arguments: Any, context: BaseContext | None = None
) -> ProcessPoolExecutor:
    """Return a pool of workers that ignore Ctrl-C and end with this process.

    Args:
        workers: how many.
        begin: called with ``arguments`` in each worker when it starts.
        context: the way in which they are started, ``spawn`` by default.
    """
    return ProcessPoolExecutor(workers, context or spawn(), _begin, (begin, arguments))


def _begin(begin: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    keep_shared()
    ignore_signals(signal.SIGINT)
    end_with_parent()
    if begin is not None:
        begin(*arguments)


def ignore_signals(*numbers: signal.Signals) -> None:
    """Leave signals to the parent."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def end_with_parent() -> None:
    """End this worker as soon as its parent is gone, also when that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def send_to_children(number: int) -> None:
    """Send a signal to every process that this one started and that still runs."""
    for child in multiprocessing.active_children():
        if child.pid:
            os.kill(child.pid, number)


@contextlib.contextmanager
def handling(handlers: Mapping[int, Callable[[int, Any], Any]]) -> Iterator[None]:
    """Handle signals so for a while; outside the main thread, which alone may, nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
