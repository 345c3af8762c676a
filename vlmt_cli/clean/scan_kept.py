"""What is complete of a scan, kept beside its results until these are there.

A file holds what is in some units; one is written when a while has passed since the last, whole or not at all. A scan
that was killed takes up every unit that is the same and was scanned in the same way.
"""

import hashlib
import json
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from vlmt_cli.base.files import write_parquet
from vlmt_cli.base.progress import Progress
from vlmt_cli.clean.drivers import Driver, Units, Work
from vlmt_cli.clean.scan import Tally
from vlmt_cli.clean.scan_drive import Scanned
from vlmt_cli.mixtures.batch import Damaged, Source

EVERY = 30.0
"""Seconds of work that a killed scan may lose; a shorter one keeps nothing."""
_ROWS = pa.schema([("unit", pa.string()), ("scanned", pa.large_binary())])
_WAY = b"vlmt_scan"
_MET = b"vlmt_met"
_VERSION = 4


def way_of(work: Work) -> str:
    """Return a hash of all that decides what a unit has, apart from its file."""
    from importlib.metadata import version  # slow to import, and short scans keep nothing

    index = work.index.index
    benchmarks = {name: msgspec.to_builtins(benchmark) for name, benchmark in index.benchmarks.items()}
    folder = work.pictures.folder if work.pictures else None
    pictures = None if work.pictures is None else str(folder and folder.absolute())
    embedded = work.index.embeddings
    network = None if embedded is None else [embedded.load().sha256, *embedded.cosines]
    told = [_VERSION, version("vlmt"), benchmarks, work.rules.written, work.source, pictures, network]
    digest = hashlib.sha256(json.dumps(told).encode())
    for table in (index.images, index.links, index.looks, index.embeddings):
        digest.update(_stream(table.combine_chunks()))
    return digest.hexdigest()


def name_of(unit: Source) -> str:
    """Return what tells a unit from others, and from the same file before it was changed."""
    state = unit.path.stat() if unit.path.exists() and not unit.origin else None
    changed = None if state is None else (state.st_size, state.st_mtime_ns)
    return json.dumps([unit.name, unit.form, unit.root, unit.groups, unit.fields, changed])


def numbers_of(units: Units) -> dict[str, int]:
    """Return the numbers of units by their names, as they were given and with their whole paths.

    Jobs of a cluster run in other folders, and so have whole paths, whatever was given.
    """
    whole = [(number, unit if unit.origin else replace(unit, path=unit.path.absolute())) for number, unit in units]
    return {name_of(unit): number for number, unit in [*whole, *units]}


def packed(scanned: Scanned) -> bytes:
    """Return what is in a unit as bytes, without spans."""
    told = msgspec.json.encode((scanned.records, scanned.tally))
    return _stream(scanned.hits.replace_schema_metadata({_MET: told}))


def unpacked(data: bytes) -> Scanned:
    """Return what ``packed`` was given."""
    hits = pa.ipc.open_stream(data).read_all()
    records, met = msgspec.json.decode(hits.schema.metadata[_MET])
    met |= {name: Counter(met[name]) for name in ("unseen", "other_sources", "unnamed", "ways")}
    met["damaged"] = [Damaged(**each) for each in met["damaged"]]
    met["shown"] = {picture: b64decode(jpeg) for picture, jpeg in met["shown"].items()}
    return Scanned(records, hits.replace_schema_metadata(None), Tally(**met))


def kept_in(folder: Path, way: str) -> Iterator[tuple[str, Scanned]]:
    """Return the units that a folder has, by their names; those that were scanned in another way are left out."""
    for path in sorted(folder.glob("part-*.parquet")):
        table = pq.read_table(path)
        if (table.schema.metadata or {}).get(_WAY) == way.encode():
            for row in table.to_pylist():
                yield row["unit"], unpacked(row["scanned"])


class Kept:
    """A folder of what is complete of a scan. Closed, it has all that was added.

    Args:
        folder: for it alone.
        work: with what units are scanned.
        every: seconds between files.
    """

    def __init__(self, folder: Path, work: Work, every: float | None = None) -> None:
        self._folder, self._work = folder, work
        self._every = EVERY if every is None else every
        self._way: str | None = None
        self._held: list[dict[str, Any]] = []
        self._written = time.monotonic()

    def __enter__(self) -> "Kept":
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is not None:
            self.write()

    def read(self, units: Units) -> dict[int, Scanned]:
        """Return those of some units that are complete, by their numbers."""
        if not self._folder.exists():
            return {}
        numbers = numbers_of(units)
        return {numbers[name]: scanned for name, scanned in kept_in(self._folder, self.way) if name in numbers}

    def add(self, unit: Source, scanned: Scanned) -> None:
        """Add a unit."""
        self._held.append({"unit": name_of(unit), "scanned": packed(scanned)})
        if time.monotonic() - self._written >= self._every:
            self.write()

    def write(self) -> None:
        """Write what was added since the last time."""
        if self._held:
            table = pa.Table.from_pylist(self._held, _ROWS).replace_schema_metadata({_WAY: self.way.encode()})
            write_parquet(self._folder / f"part-{token_hex(8)}.parquet", table)
        self._held, self._written = [], time.monotonic()

    @property
    def way(self) -> str:
        """``way_of`` its work."""
        self._way = self._way or way_of(self._work)
        return self._way


def scan_units(
    work: Work, units: Units, drive: Driver, kept: Kept | None = None, progress: Progress | None = None
) -> dict[int, Scanned]:
    """Scan the units of a mixture that are not complete yet.

    Args:
        work: with what they are scanned.
        units: all of them.
        drive: scans them.
        kept: has what is complete, and keeps what becomes so.
        progress: called with how many bytes of the units' files are done, of how many.

    Returns:
        What is in every unit, by its number.
    """
    done = kept.read(units) if kept else {}
    todo, of = [each for each in units if each[0] not in done], dict(units)
    size = {number: unit.path.stat().st_size if unit.path.is_file() else 0 for number, unit in units}
    shared = Counter(unit.path for _, unit in units)  # of a file in parts each has its share
    share = {number: size[number] // shared[unit.path] for number, unit in units}
    past, total = sum(share[number] for number in done), sum(share.values())
    if progress and todo:
        progress(todo[0][1].path.name, past, total)
    for number, scanned in drive(work, todo):
        done[number] = scanned
        past += share[number]
        if kept:
            kept.add(of[number], scanned)
        if progress:
            progress(of[number].path.name, past, total)
    return done


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]
