"""Drivers of a scan: in this process, in several, or on an engine's machines; all give the same hits.

A unit of work is a file, or some row groups of a large one. A driver takes units and gives what is in each, in any
order; results are put in the units' order at the end.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace

import numpy as np

from vlmt_cli.base.errors import VlmtError
from vlmt_cli.base.processes import pool_of
from vlmt_cli.clean.scan import Tally, all_hits
from vlmt_cli.clean.scan_drive import Pictures, Scanned, Scanner
from vlmt_cli.clean.scan_index import ScanIndex
from vlmt_cli.mixtures.batch import Source
from vlmt_cli.mixtures.forms import FORMS
from vlmt_cli.mixtures.rules import NO_RULES, Rules

_BYTES = 256 << 20
"""Bytes of a unit of a file that is read in parts, about."""


@dataclass(frozen=True)
class Work:
    """With what every unit is scanned; it travels to other processes and machines.

    Attributes:
        index: to look in.
        rules: of the user, for names in private folders.
        source: of names whose form and folders say none.
        pictures: how pictures are compared; None where only names, addresses and hashes are.
        spans: whether it is told where records stand that are faster to write so.
    """

    index: ScanIndex
    rules: Rules = NO_RULES
    source: str | None = None
    pictures: Pictures | None = None
    spans: bool = False

    def scanner(self) -> Scanner:
        """Return what scans files; to be closed."""
        return Scanner(self.index, self.rules, self.source, self.pictures)

    def scan(self, unit: Source) -> Scanned:
        """Scan one unit in this process."""
        with self.scanner() as scanner:
            return whole(scanner.scan(unit, self.spans))


Units = Sequence[tuple[int, Source]]
"""Units with their numbers."""
Driver = Callable[[Work, Units], Iterator[tuple[int, Scanned]]]
"""Gives what is in each unit, with the unit's number."""


def units_of(sources: Sequence[Source]) -> tuple[Units, list[int]]:
    """Cut files into units, the same ones on every machine; returns them, and of each the number of its file."""
    units = [(number, unit) for number, each in enumerate(sources) for unit in FORMS[each.form].in_parts(each, _BYTES)]
    return [(number, unit) for number, (_, unit) in enumerate(units)], [file for file, _ in units]


def from_anywhere(work: Work, units: Units) -> tuple[Work, Units]:
    """Return work and units for a process that may run in another folder, or on another machine."""
    if work.pictures is not None and work.pictures.folder is not None:
        work = replace(work, pictures=replace(work.pictures, folder=work.pictures.folder.absolute()))
    return work, [(number, unit if unit.origin else replace(unit, path=unit.path.absolute())) for number, unit in units]


def whole(parts: Iterable[Scanned]) -> Scanned:
    """Join parts that follow each other."""
    records, tally, hits, spans = 0, Tally(), [], []
    for part in parts:
        records += part.records
        tally.add(part.tally)
        hits.append(part.hits)
        if part.spans is not None:
            spans.append(part.spans)
    return Scanned(records, all_hits(hits), tally, np.concatenate(spans) if spans else None)


def in_process(work: Work, units: Units) -> Iterator[tuple[int, Scanned]]:
    """Scan units one by one."""
    with work.scanner() as scanner:
        for number, unit in units:
            yield number, whole(scanner.scan(unit, work.spans))


def in_processes(workers: int) -> Driver:
    """Return the driver that scans a unit in each of so many processes."""

    def drive(work: Work, units: Units) -> Iterator[tuple[int, Scanned]]:
        if len(units) < 2 or workers == 1:
            yield from in_process(work, units)
            return
        pool = pool_of(min(workers, len(units)), _begin, work)
        try:
            numbers = {pool.submit(_scan, unit): number for number, unit in units}
            broken = None
            for future in as_completed(numbers):
                if isinstance(error := future.exception(), BrokenProcessPool):
                    broken = error  # those that are complete come as well
                else:
                    yield numbers[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)
        if broken:
            todo = "run it again: it goes on with what is complete; with fewer --workers if memory is short"
            raise VlmtError("a process that scans died", todo=todo) from broken

    return drive


_given: list[Work] = []
"""In a worker: with what its units are scanned."""


def _begin(work: Work) -> None:
    _given.append(work)


def _scan(unit: Source) -> Scanned:
    return _given[0].scan(unit)
