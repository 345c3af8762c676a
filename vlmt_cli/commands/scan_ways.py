"""Where ``vlmt scan`` works: in this process, in several, on a cluster's machines, or on Daft and Ray."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vlmt_cli.base.progress import Progress
    from vlmt_cli.clean.drivers import Driver, Units, Work
    from vlmt_cli.clean.scan_drive import Scanned

Engine = Annotated[
    str | None, typer.Option(help="daft: scan on Daft, in this process or, with --ray or RAY_ADDRESS, on Ray.")
]
Ray = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="With --engine daft: a Ray cluster, HOST:6379; or auto.")
]
Shard = Annotated[str | None, typer.Option(help="Scan one part of the files, such as 3/64.")]
Merge = Annotated[bool, typer.Option("--merge", help="Take what the shards have, and remove them.")]
Shards = Annotated[int, typer.Option(min=1, help="With --launcher: number of jobs.")]


@dataclass(frozen=True)
class Way:
    """What was asked for.

    Attributes:
        workers: processes; None for one.
        shard: the number of a part and of how many.
        merge: whether the parts are there.
        launcher, shards, sbatch: of jobs of a cluster.
        is_daft, ray: whether on Daft, and on which Ray cluster.
    """

    workers: int | None = None
    shard: tuple[int, int] | None = None
    merge: bool = False
    launcher: str | None = None
    shards: int = 16
    sbatch: dict[str, str] = field(default_factory=dict)
    is_daft: bool = False
    ray: str | None = None

    def scan(
        self, folder: Path, keep: bool, work: "Work", units: "Units", progress: "Progress"
    ) -> "dict[int, Scanned]":
        """Scan units, or what is left of them.

        Args:
            folder: of the results.
            keep: whether what is complete is kept beside it.
            work, units, progress: as in ``scan_kept.scan_units``.
        """
        from vlmt_cli.clean.scan_kept import Kept, scan_units

        if self.merge:
            from vlmt_cli.clean.scan_shards import read_shards

            return read_shards(work, units, folder)
        if self.launcher:
            from vlmt_cli.clean.scan_shards import submit

            return submit(work, units, folder, self.shards, self.workers or 1, self.launcher, self.sbatch, progress)
        if not keep:
            return scan_units(work, units, self.driver(work), progress=progress)
        with Kept(kept_beside(folder), work) as kept:
            return scan_units(work, units, self.driver(work), kept, progress)

    def scan_shard(self, folder: Path, work: "Work", units: "Units", progress: "Progress") -> int:
        """Scan the part that was asked for; returns how many units it has."""
        from vlmt_cli.clean.scan_shards import scan_shard

        assert self.shard is not None
        return scan_shard(work, units, folder, self.shard, self.driver(work), progress)

    def driver(self, work: "Work") -> "Driver":
        """Return what scans units."""
        from vlmt_cli.clean.drivers import in_process, in_processes

        if self.is_daft:
            from vlmt_cli.clean.scan_daft import on_daft

            return on_daft(self.ray, self.workers)
        # Where pictures are compared the processes are those that decode.
        return in_process if self.workers is None or work.pictures is not None else in_processes(self.workers)


def kept_beside(folder: Path) -> Path:
    """Return where the parts of a scan that are complete are kept."""
    return folder.with_name(f"{folder.name}.progress")


def remove_kept(folder: Path) -> None:
    """Remove what was kept of a scan whose results are there: its parts, shards, and the jobs' files."""
    import shutil

    from vlmt_cli.base.shards import remove_shards

    remove_shards(folder)
    for gone in (kept_beside(folder), folder.with_name(f"{folder.name}.jobs")):
        shutil.rmtree(gone, ignore_errors=True)


def read_way(
    workers: int | None,
    shard: str | None,
    merge: bool,
    launcher: str | None,
    shards: int,
    sbatch: Sequence[str] | None,
    engine: str | None,
    ray: str | None,
    whole: Sequence[str],
) -> Way:
    """Check what was asked for; ``whole`` are options given that need the whole mixture.

    Raises:
        UsageError: options exclude each other, or something does not exist.
    """
    import os

    from vlmt_cli.base.cluster import read_launcher, read_shard
    from vlmt_cli.base.errors import UsageError

    if engine not in (None, "daft"):
        raise UsageError(f"there is no engine {engine!r}", todo="choose daft, or leave --engine out")
    if ray and not engine:
        raise UsageError("--ray goes with --engine daft", todo="add --engine daft")
    if sum((shard is not None, merge, launcher is not None, engine is not None)) > 1:
        raise UsageError("--shard, --merge, --launcher and --engine exclude each other", todo="choose one of them")
    if shard and whole:
        raise UsageError(f"--shard scans a part, and {whole[0]} needs the whole", todo=f"give {whole[0]} with --merge")
    options = read_launcher(launcher, sbatch)
    ray = (ray or os.environ.get("RAY_ADDRESS") or None) if engine else None
    if ray and workers:
        raise UsageError("--workers are processes here, and the work is Ray's", todo="leave --workers out")
    part = read_shard(shard) if shard else None
    return Way(workers, part, merge, launcher, shards, options, engine is not None, ray)
