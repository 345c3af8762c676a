"""What interrupts the processes of a run."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator

from vlmt_cli.base.processes import handling, send_to_children


@contextlib.contextmanager
def interrupts() -> Iterator[threading.Event]:
    """Take note of Ctrl-C and SIGTERM instead of dying: the loop saves and ends at the next iteration.

    So with the signal by which a job of submitit learns that its time is up: submitit, which requeues the job, gets it
    once the run is saved.
    """
    event, for_submitit = threading.Event(), threading.Event()
    requeue = getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}")

    def note(number: int, frame: object) -> None:
        event.set()
        if number == requeue:
            for_submitit.set()

    numbers = {signal.SIGINT, signal.SIGTERM}
    if callable(signal.getsignal(requeue)):
        numbers.add(requeue)
    with handling(dict.fromkeys(numbers, note)):
        yield event
    if for_submitit.is_set():
        signal.raise_signal(requeue)


def _leave_to_children(number: int, frame: object) -> None:
    if not multiprocessing.active_children():
        raise KeyboardInterrupt


@contextlib.contextmanager
def signals_go_to_children() -> Iterator[None]:
    """Pass SIGTERM on to the processes of the run; Ctrl-C reaches them by itself, once they are there."""
    with handling({signal.SIGINT: _leave_to_children, signal.SIGTERM: lambda number, _: send_to_children(number)}):
        yield
