"""Passing a mixture's files over an index, in this process or in several; every way gives the same hits."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlmt_cli.base.errors import VlmtError
from vlmt_cli.base.processes import pool_of
from vlmt_cli.clean.scan import Tally, scan_batch
from vlmt_cli.clean.scan_index import ScanIndex
from vlmt_cli.mixtures.batch import Batch, Source, Wanted
from vlmt_cli.mixtures.forms import FORMS
from vlmt_cli.mixtures.rules import NO_RULES, Rules

_IMAGES = 256
"""Images that a process compares at once."""
_FEW = 4
"""Parts that are compared before it is worth it to start processes."""


@dataclass(frozen=True)
class Pictures:
    """How pictures are compared.

    Attributes:
        folder: where the files are that records name; None where they lie beside the mixture's file.
        workers: processes that decode.
    """

    folder: Path | None = None
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)


class Scanned(NamedTuple):
    """Some records of a file, rows of ``HITS``, and what else was met; ``spans`` where they were asked for."""

    records: int
    hits: pa.Table
    tally: Tally
    spans: NDArray[np.int64] | None = None


class Scanner:
    """Passes files over an index. To be closed.

    Args:
        index: to look in.
        rules: of the user, for names in private folders.
        source: of names whose form and folders say none.
        pictures: how pictures are compared; None where only names, addresses and hashes are.
    """

    def __init__(
        self,
        index: ScanIndex,
        rules: Rules = NO_RULES,
        source: str | None = None,
        pictures: Pictures | None = None,
    ) -> None:
        self._with = (index, rules, source)
        self._pictures = pictures
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Scanner":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def scan(self, source: Source, spans: bool = False) -> Iterator[Scanned]:
        """Scan a file, piece by piece and in its order.

        Raises:
            VlmtError: a process died.
        """
        form, texts = FORMS[source.form], bool(self._with[0].texts)
        if self._pictures is None:
            wanted = Wanted(texts=texts, spans=spans and form.takes_spans)
            for batch in form.read(source, wanted):
                yield _scanned(batch, source.root, *self._with)._replace(spans=batch.spans if wanted.spans else None)
            return
        from vlmt_cli.clean.scan_pictures import parts_of  # decoders, which a scan of names does not need

        folder = self._pictures.folder
        if folder is None and not source.origin:
            folder = source.path if source.path.is_dir() else source.path.parent
        batches = form.read(source, Wanted(texts=texts, data=True))
        tasks = ((part, source.root, folder) for batch in batches for part in parts_of(batch, _IMAGES))
        few = list(islice(tasks, _FEW if self._pool is None else 0))
        for task in few if len(few) < _FEW or self._pictures.workers == 1 else ():
            yield _compared(task, self._with)
        if self._pictures.workers == 1:
            yield from (_compared(task, self._with) for task in tasks)
        elif len(few) == _FEW or self._pool is not None:
            yield from self._in_processes(few, tasks)

    def _in_processes(self, few: "list[_Task]", more: "Iterator[_Task]") -> Iterator[Scanned]:
        assert self._pictures is not None
        if self._pool is None:
            self._pool = pool_of(self._pictures.workers, _begin, *self._with)
        running: deque[Future[Scanned]] = deque()
        try:
            for tasks in (few, more):
                for task in tasks:
                    running.append(self._pool.submit(_compare, task))
                    if len(running) > 2 * self._pictures.workers:  # so that memory does not grow with the mixture
                        yield running.popleft().result()
            while running:
                yield running.popleft().result()
        except BrokenProcessPool as error:
            todo = "use fewer with --workers: memory may be short"
            raise VlmtError("a process that decodes images died", todo=todo) from error


_Task = tuple[Batch, str, Path | None]
_With = tuple[ScanIndex, Rules, str | None]
_given: list[_With] = []
"""In a worker: with what its parts are scanned."""


def _begin(index: ScanIndex, rules: Rules, source: str | None) -> None:
    _given.append((index, rules, source))


def _compare(task: _Task) -> Scanned:
    return _compared(task, _given[0])


def _compared(task: _Task, given: _With) -> Scanned:
    from vlmt_cli.clean.scan_pictures import with_files

    batch, root, folder = task
    return _scanned(with_files(batch, folder, root), root, *given)


def _scanned(batch: Batch, root: str, index: ScanIndex, rules: Rules, source: str | None) -> Scanned:
    return Scanned(batch.records, *scan_batch(batch, index, root, rules, source))
