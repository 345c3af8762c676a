"""Extraction in parts: shards on many machines, one process a GPU, jobs of a cluster; and the merge at the end.

Shard 3 of 64 of the store ``features/x`` is the store ``features/x.shards-of-64/3``; what the processes of one machine
write lies in ``features/x.processes``. Both are stores like any other and are gone when they are merged.
"""

import functools
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from vlmt_cli.base.boxes import BoxArray
from vlmt_cli.base.cluster import make_executor, run_array
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.progress import Progress
from vlmt_cli.base.shards import complete_shards, part_of, remove_shards, shard_folder
from vlmt_cli.features.extract import Extracted, File, extract
from vlmt_cli.features.extract_processes import in_processes
from vlmt_cli.features.extractor import Extractor
from vlmt_cli.features.store import FeatureStore, Meta
from vlmt_cli.features.store_writer import StoreWriter


@dataclass(frozen=True)
class Job:
    """All that a process or machine must know to extract.

    Attributes:
        files: image keys and paths.
        store: the store's folder.
        make: makes the extractor on a device; called once a process.
        devices: one process each; with one only, this process.
        batch, boxes, workers: of ``extract``.
    """

    files: Sequence[File]
    store: Path
    make: Callable[[str], Extractor]
    devices: Sequence[str] = ("cpu",)
    batch: int = 8
    boxes: Mapping[str, BoxArray] | None = None
    workers: int = 0


def shard_of(job: Job, number: int, of: int) -> Job:
    """Cut a job to its shard ``number`` of ``of``, counted from 1: every ``of``-th image of those in order of keys.

    Of these, the images that the whole store has already are left out.

    Raises:
        UsageError: there is no such shard.
    """
    part, _ = _without_those_in(_part(job, number, of))
    return replace(part, store=shard_folder(job.store, number, of))


def run(job: Job, progress: Progress | None = None) -> Extracted:
    """Run a job on its devices and return what became of the photos.

    Raises:
        VlmtError: as ``extract`` does, or a process died; what was extracted is kept for the next run.
    """
    folder = job.store.with_name(f"{job.store.name}.processes")
    _collect(folder, job.store)  # of a run that was killed, on as many devices or others
    if len(job.devices) == 1:
        return _run_part(job, progress)

    todo, already = _without_those_in(job)
    parts = [
        replace(_part(todo, i + 1, len(job.devices)), store=folder / str(i + 1), devices=[device])
        for i, device in enumerate(job.devices)
    ]
    parts = [part for part in parts if part.files]
    runs = [functools.partial(_run_part, part) for part in parts]
    results = in_processes(runs, sum(len(part.files) for part in parts), progress)
    _collect(folder, job.store)
    return _sum(results, meta_of_store(job.store), already)


def submit(
    job: Job,
    shards: int,
    launcher: str = "slurm",
    options: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Extracted:
    """Run a job as one array of cluster jobs through submitit, a shard each, wait for them, and merge.

    Args:
        job: the whole job; ``devices`` are those of one cluster job.
        shards: how many cluster jobs.
        launcher: ``slurm``, or ``local`` for processes of this machine.
        options: further options of sbatch, such as ``{"partition": "gpu", "time": "04:00:00"}``.
        progress: called with how many shards are done, of how many.

    Raises:
        VlmtError: a cluster job failed; the shards that are done stay, and running it again does the others.
    """
    logs = job.store.with_name(f"{job.store.name}.jobs")
    executor = make_executor(
        logs,
        launcher,
        "vlmt-extract",
        cpus=max(1, len(job.devices) * (1 + job.workers)),
        gpus=sum(device.startswith("cuda") for device in job.devices),
        sbatch=options,
    )
    parts = [shard_of(job, number, shards) for number in range(1, shards + 1)]
    results = run_array(executor, run, parts, logs, progress)
    _, already = _without_those_in(job)
    return _sum(results, merge(job.store), already)


def merge(store: Path, progress: Progress | None = None) -> Meta:
    """Merge the shards of a store into it, and remove them.

    Args:
        store: the store that the shards were named after; it may hold images already.
        progress: called with how many shards are done, of how many.

    Raises:
        DataError: there are no shards, some are missing, unfinished, damaged or of another extractor.
    """
    shards = complete_shards(store, _is_complete)
    meta = _merge(shards, store, progress)
    assert meta is not None
    remove_shards(store)
    return meta


def meta_of_store(path: Path) -> Meta:
    """Read what a store says of itself."""
    store = FeatureStore(path)
    store.close()
    return store.meta


def _is_complete(shard: Path) -> bool:
    return (shard / "data.mdb").exists() and bool(meta_of_store(shard).checksum)


def _part(job: Job, number: int, of: int) -> Job:
    files = list(part_of(sorted(dict(reversed(job.files)).items()), number, of))
    boxes = None if job.boxes is None else {key: job.boxes[key] for key, _ in files if key in job.boxes}
    return replace(job, files=files, boxes=boxes)


def _without_those_in(job: Job) -> tuple[Job, int]:
    """Leave out the images that the job's store has; return how many these are."""
    if not (job.store / "data.mdb").exists():
        return job, 0
    store = FeatureStore(job.store)
    stored = set(store.keys())
    store.close()
    files = [file for file in job.files if file[0] not in stored]
    return replace(job, files=files), len({key for key, _ in job.files} & stored)


def _run_part(job: Job, progress: Progress | None) -> Extracted:
    return extract(
        job.files,
        job.store,
        job.make(job.devices[0]),
        batch=job.batch,
        boxes=job.boxes,
        workers=job.workers,
        progress=progress,
    )


def _merge(shards: Sequence[Path], store: Path, progress: Progress | None = None) -> Meta | None:
    """Copy the records of those stores that are there into one, which is made like the first where it is not there."""
    shards = [shard for shard in shards if (shard / "data.mdb").exists()]
    if not shards:
        return None
    wanted = _uncounted(meta_of_store(shards[0]))
    with StoreWriter(store, wanted) as writer:
        for done, path in enumerate(shards, 1):
            shard = FeatureStore(path)
            try:
                if _uncounted(shard.meta) != wanted:
                    raise DataError(f"holds other features than {shards[0]}", where=path, todo="extract it again")
                for key, regions in shard.items(verify=True):
                    if key not in writer:
                        writer.put(key, regions)
            finally:
                shard.close()
            if progress:
                progress("", done, len(shards))
    return writer.meta


def _collect(folder: Path, store: Path) -> None:
    """Merge what the processes of one machine wrote, and remove it."""
    if folder.exists():
        _merge(sorted(folder.iterdir()), store)
        shutil.rmtree(folder)


def _uncounted(meta: Meta) -> Meta:
    return msgspec.structs.replace(meta, images=0, checksum="")


def _sum(results: Sequence[Extracted], meta: Meta, already: int) -> Extracted:
    return Extracted(
        written=sum(result.written for result in results),
        already=already + sum(result.already for result in results),
        without_boxes=sum(result.without_boxes for result in results),
        boxes_dropped=sum(result.boxes_dropped for result in results),
        boxes_clipped=sum(result.boxes_clipped for result in results),
        failed={path: reason for result in results for path, reason in result.failed.items()},
        images=meta.images,
        checksum=meta.checksum,
    )
