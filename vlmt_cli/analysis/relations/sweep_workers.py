"""Worker processes that share a list of runs, each with its own GPU or share of the cores.

A process that dies takes only its own task with it, and an interrupt lets every task save what it has.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any

from vlmt_cli.base.attempts import AGAIN, Result, attempt
from vlmt_cli.base.errors import VlmtError
from vlmt_cli.base.processes import end_with_parent, handling, ignore_signals, spawn

DIED = VlmtError("a process that trains died", todo=f"{AGAIN}; memory may be short")
_POLL = 0.5  # seconds
_PATIENCE = 2.0  # seconds in which signals count as one: timeout sends it twice, and so do some clusters


@dataclass
class _Worker:
    """A process, and the place of the task that it is at; None while it gets ready."""

    process: Any
    at: int | None = None


def work_off(
    tasks: Sequence[Callable[[], bool]], devices: Sequence[str], look: Callable[[], None]
) -> list[Result] | None:
    """Do tasks in as many processes as there are devices.

    Args:
        tasks: what is done, in this order; they travel to their process.
        devices: the GPU of each process, as ``CUDA_VISIBLE_DEVICES`` names it; empty for the CPU.
        look: called now and then.

    Returns:
        What each task returned, or its error; None after Ctrl-C or SIGTERM, which the tasks got, too.
    """
    context = spawn()
    threads = max(1, (os.cpu_count() or 1) // len(devices))
    workers: dict[Any, _Worker] = {}
    results: list[Result] = [False] * len(tasks)
    waiting = list(reversed(range(len(tasks))))
    try:
        with noted_signals() as interrupted:
            for device in devices:
                parent_end, child_end = context.Pipe()
                workers[parent_end] = _Worker(context.Process(target=_work, args=(child_end, device, threads)))
                workers[parent_end].process.start()
                child_end.close()
            while workers:
                ready: list[Any] = connection.wait(list(workers), _POLL)
                for pipe in ready:
                    worker = workers[pipe]
                    try:
                        result = pipe.recv()  # None when it is ready, else what became of its task
                        if worker.at is not None:
                            results[worker.at] = result
                        worker.at = None if interrupted.is_set() or not waiting else waiting.pop()
                        pipe.send(None if worker.at is None else tasks[worker.at])
                    except (EOFError, OSError):
                        if worker.at is not None:
                            results[worker.at] = DIED
                        worker.at = None
                    if worker.at is None:
                        workers.pop(pipe).process.join()
                look()
                if interrupted.is_set():
                    # Again and again, as a run that is still being prepared takes no note.
                    for worker in workers.values():
                        worker.process.terminate()
    finally:
        for worker in workers.values():
            worker.process.kill()
    if interrupted.is_set():
        return None
    for job in waiting:  # nobody was left to do it
        results[job] = DIED
    return results


def _work(pipe: Any, device: str, threads: int) -> None:
    """Do the tasks that come through a pipe, until None comes."""
    ignore_signals(signal.SIGINT, signal.SIGTERM)  # training takes note of them itself
    end_with_parent()
    if device:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    elif "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # torch is not there yet
    pipe.send(None)
    while (task := pipe.recv()) is not None:
        pipe.send(attempt(task))


@contextlib.contextmanager
def noted_signals() -> Iterator[threading.Event]:
    """Take note of Ctrl-C or SIGTERM; one that comes a while after the first ends all at once."""
    event, first = threading.Event(), 0.0

    def note(number: int, frame: object) -> None:
        nonlocal first
        if event.is_set() and time.monotonic() - first > _PATIENCE:
            for process in multiprocessing.active_children():
                process.kill()
        if not event.is_set():
            first = time.monotonic()
            event.set()

    with handling({signal.SIGINT: note, signal.SIGTERM: note}):
        yield event
