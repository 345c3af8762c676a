"""A scan in shards, on machines that know nothing of each other, and their merge."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vlmt_cli.base.cluster import make_executor, run_array
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import write_text
from vlmt_cli.base.progress import Progress
from vlmt_cli.base.shards import complete_shards, part_of, shard_folder
from vlmt_cli.clean.drivers import Driver, Units, Work, from_anywhere, in_processes
from vlmt_cli.clean.index_file import read_index, write_index
from vlmt_cli.clean.scan_drive import Pictures, Scanned
from vlmt_cli.clean.scan_index import ready
from vlmt_cli.clean.scan_kept import Kept, kept_in, numbers_of, scan_units
from vlmt_cli.mixtures.rules import Rules

_DONE = "done"


def scan_shard(
    work: Work, units: Units, folder: Path, shard: tuple[int, int], drive: Driver, progress: Progress | None = None
) -> int:
    """Scan one shard of a mixture's units, or what is left of it.

    Args:
        work: with what units are scanned.
        units: all of the mixture.
        folder: of the results that the shards become.
        shard: its number, from 1, and of how many.
        drive: scans the units.
        progress: as in ``scan_units``.

    Returns:
        How many units the shard has.
    """
    mine = part_of(units, *shard)
    own = shard_folder(folder, *shard)
    with Kept(own, work) as kept:
        scan_units(work, mine, drive, kept, progress)
        kept.write()
        write_text(own / _DONE, kept.way)
    return len(mine)


def read_shards(work: Work, units: Units, folder: Path) -> dict[int, Scanned]:
    """Return what is in every unit of a mixture, from the shards of its scan.

    Raises:
        DataError: a shard is missing or unfinished, was scanned in another way or has files that changed; a unit is
            missing or stands in two of them.
    """
    shards = complete_shards(folder, lambda shard: (shard / _DONE).exists())
    way = Kept(folder, work).way
    names = numbers_of(units)
    done: dict[int, Scanned] = {}
    for shard in shards:
        again = f"remove it and run --shard {shard.name}/{len(shards)} again"
        if (shard / _DONE).read_text() != way:
            todo = f"give the same index and options, or {again}"
            raise DataError("was scanned with another index or other options", where=shard, todo=todo)
        for name, scanned in kept_in(shard, way):
            if name not in names:
                todo = f"give the same files, or {again}"
                raise DataError("has a file that the mixture has not, or that changed since", where=shard, todo=todo)
            if names[name] in done:
                raise DataError("has a part of the mixture twice", where=shard, todo=again)
            done[names[name]] = scanned
    missing = [unit for number, unit in units if number not in done]
    if missing:
        todo = "run all shards again on the files that the merge is given"
        raise DataError(f"{len(missing)} of {len(units)} parts are in no shard", where=missing[0].name, todo=todo)
    return done


@dataclass(frozen=True)
class Job:
    """All that a machine must know to scan a shard."""

    index: Path
    benchmarks: tuple[str, ...]
    rules: Rules
    source: str | None
    pictures: Pictures | None
    units: Units
    folder: Path
    shard: tuple[int, int]
    workers: int


def run(job: Job) -> int:
    """Scan a shard on the machine that this is."""
    index = ready(read_index(job.index), job.benchmarks)
    work = Work(index, job.rules, job.source, job.pictures)
    return scan_shard(work, job.units, job.folder, job.shard, in_processes(job.workers))


def submit(
    work: Work,
    units: Units,
    folder: Path,
    shards: int,
    workers: int,
    launcher: str,
    options: Mapping[str, str],
    progress: Progress | None = None,
) -> dict[int, Scanned]:
    """Scan a mixture as one array of cluster jobs, a shard each, wait for them, and return what is in every unit.

    Args:
        work, units, folder: as in ``scan_shard``; all machines must see the files and the folder.
        shards: how many jobs.
        workers: processes of each.
        launcher: ``slurm``, or ``local`` for processes of this machine.
        options: further options of sbatch.
        progress: called with how many shards are done, of how many.

    Raises:
        VlmtError: a job failed; what is complete stays, and running it again does the rest.
    """
    logs = folder.with_name(f"{folder.name}.jobs").absolute()
    executor = make_executor(logs, launcher, "vlmt-scan", cpus=workers, sbatch=options)
    index = logs / "index.parquet"
    write_index(index, work.index.index)
    there, theirs = from_anywhere(work, units)
    names = tuple(work.index.index.benchmarks)
    jobs = [
        Job(
            index,
            names,
            there.rules,
            there.source,
            there.pictures,
            theirs,
            folder.absolute(),
            (number, shards),
            workers,
        )
        for number in range(1, shards + 1)
    ]
    run_array(executor, run, jobs, logs, progress)
    return read_shards(work, units, folder)
