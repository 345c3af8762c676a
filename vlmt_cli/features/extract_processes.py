"""Parts of an extraction, each in its own process; they end together and with their parent."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from vlmt_cli.base.errors import VlmtError
from vlmt_cli.base.processes import fork_server, pool_of
from vlmt_cli.base.progress import Progress
from vlmt_cli.features.extract import Extracted

Part = Callable[[Progress], Extracted]


def in_processes(parts: Sequence[Part], total: int, progress: Progress | None) -> list[Extracted]:
    """Run each part in its own process; when one fails, the others stop after their present batch.

    Args:
        parts: functions that travel to other processes; each tells how many photos are done.
        total: photos of all parts.
        progress: called with how many photos are done, of how many.

    Raises:
        VlmtError: as a part does, or a process died.
    """
    if not parts:
        return []
    context = fork_server("vlmt_cli.features.extractor")
    done, stop = context.Array("Q", len(parts)), context.Event()
    pool = pool_of(len(parts), _begin_process, done, stop, context=context)
    try:
        futures: list[Future[Extracted]] = [pool.submit(_run_in_process, i, part) for i, part in enumerate(parts)]
        while wait(futures, 0.5, FIRST_EXCEPTION).not_done and not _errors(futures):
            if progress:
                progress("", sum(done[:]), total)
        for error in _errors(futures):
            raise error
        return [future.result() for future in futures]
    except BrokenProcessPool as error:
        todo = "run it again: it goes on where it was; memory may be short"
        raise VlmtError("a process that extracts died", todo=todo) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _errors(futures: "Sequence[Future[Extracted]]") -> list[BaseException]:
    return [error for future in futures if future.done() and (error := future.exception())]


class _StopError(Exception):
    """Another process failed."""


_shared: Any = None


def _begin_process(done: Any, stop: Any) -> None:
    global _shared
    _shared = done, stop


def _run_in_process(i: int, part: Part) -> Extracted:
    done, stop = _shared

    def report(name: str, number: int, total: int) -> None:
        done[i] = number
        if stop.is_set():
            raise _StopError

    return part(report)
