"""Turn official files into example tables, once.

``examples/<dataset>/`` holds a Parquet a split, ``links.parquet``, ``test_images.parquet``
where test images have no example, ``answers.json`` where the dataset has a vocabulary,
and ``manifest.json``, which is written last: its existence means that the folder is
complete, and what it says of the official files (size, time of change, sha256) and the
options decides whether they must be read again.

A clean split names rows of these tables, so that they belong to the split in ``clean/``:
only ``vlmt clean`` that writes this split rewrites them. Every other command reads
official files that changed since into a folder beside (``prepare``'s ``beside``), and
leaves the tables of the split's datasets as they are.
"""

import hashlib
import inspect
import os
import shutil
import signal
import sys
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from vlmt_cli.base.collecting import gc_paused
from vlmt_cli.base.errors import DataError, VlmtError
from vlmt_cli.base.files import locked, remove_leftovers, write_bytes, write_parquet
from vlmt_cli.base.identity import LINKS
from vlmt_cli.base.opening import check_file
from vlmt_cli.base.origin import hash_examples, hash_strings
from vlmt_cli.base.processes import pool_of, send_to_children
from vlmt_cli.base.progress import Progress
from vlmt_cli.base.without_pandas import without_pandas
from vlmt_cli.datasets.official import (
    all_datasets,
    fingerprint,
    missing_files,
    raw_files,
    raw_folder,
    sha256_of,
    size_and_time,
)
from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.prepared import (
    ALONE,
    TEST_IMAGES,
    Manifest,
    Prepared,
    examples_folder,
    images_each,
    images_table,
    read_manifest,
)
from vlmt_cli.datasets.tables import note
from vlmt_cli.datasets.texts import tidy

EDITED = "has example tables that were edited"
NEXT = ".next"
"""Below ``examples/``: what ``vlmt clean`` has read anew and not yet put in the place of what was there."""
_WORTH_A_PROCESS = 64 << 20
_FORMAT = 7


@cache
def reader_hash(name: str) -> str:
    """Hash the source of a dataset's reader, of the rule for texts, and of the modules here that they use, and so on.

    Data files that these modules name as ``DATA_FILES`` count, and so do comments: reading once too often does no harm.
    """
    known: dict[str, ModuleType] = {}
    waiting = [all_datasets()[name].read.__module__, tidy.__module__]
    while waiting:
        module = sys.modules[waiting.pop()]
        if module.__name__ in known:
            continue
        known[module.__name__] = module
        for value in vars(module).values():
            part = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(part, str) and part.startswith(f"{__package__}."):
                waiting.append(part)
    digest = hashlib.sha256()
    for _, module in sorted(known.items()):
        digest.update(inspect.getsource(module).encode())
        for path in getattr(module, "DATA_FILES", ()):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def prepare(
    data: Path,
    names: Sequence[str],
    options: Options,
    progress: Progress | None = None,
    *,
    beside: Path | None = None,
    bound: Collection[str] | None = None,
    thorough: bool = False,
) -> dict[str, Prepared]:
    """Read the official files of datasets and crosswalks into ``data/examples``, or beside it.

    Args:
        data: the data folder; ``data/raw/<dataset>/`` holds the official files.
        names: keys of ``DATASETS`` or ``CROSSWALKS``.
        options: the readers' choices.
        progress: called with a dataset's name and the bytes read so far and in all.
        beside: a folder for what must be read again, so that ``data/examples`` stays as it is.
        bound: the datasets that must stay as they are; None for all of them.
        thorough: compare the contents of official files and example tables with the manifest, not sizes and times.

    Returns:
        The example files of each name, in the order given; those whose examples are
        current are not read again.

    Raises:
        DataError: an official file is damaged; nothing of its dataset is written.
    """
    size_of = {name: sum(size_and_time(path)[0] for path in raw_files(data, name)) for name in names}
    largest_first = sorted(names, key=lambda name: -size_of[name])
    with ThreadPoolExecutor(min(len(names), os.cpu_count() or 1) if thorough else 1) as pool:
        reasons = pool.map(
            lambda name: _stale(data, name, options, examples_folder(data, name), thorough), largest_first
        )
        found = dict(zip(largest_first, reasons, strict=True))
        stale = {name: reason for name in names if (reason := found[name])}
    folders = {
        name: beside / name
        if name in stale and beside is not None and (bound is None or name in bound)
        else examples_folder(data, name)
        for name in names
    }
    jobs = [(name, data, options, folders[name], thorough) for name in largest_first if name in stale]
    total, done = sum(size_of[name] for name in stale), 0
    workers = min(os.cpu_count() or 1, len(stale))
    for name in _each(jobs, workers if total >= _WORTH_A_PROCESS else 1):
        done += size_of[name]
        if progress:
            progress(name, done, total)
    return {
        name: Prepared(
            name, folder, read_manifest(folder), stale.get(name) if folder != examples_folder(data, name) else None
        )
        for name, folder in folders.items()
    }


def move_in(data: Path, examples: Iterable[Prepared]) -> None:
    """Put tables that were read beside in the place of those in ``data/examples``."""
    for example in examples:
        target = examples_folder(data, example.name)
        if example.folder == target:
            continue
        aside = example.folder.with_name(f"{example.name}.old")
        shutil.rmtree(aside, ignore_errors=True)
        if target.exists():
            os.replace(target, aside)
        os.replace(example.folder, target)
        shutil.rmtree(aside, ignore_errors=True)
    shutil.rmtree(data / "examples" / NEXT, ignore_errors=True)


_Job = tuple[str, Path, Options, Path, bool]
"""A dataset to read: its name, the data folder, the options, where to, and whether contents are compared."""


def _each(jobs: list[_Job], workers: int) -> Iterable[str]:
    """Read datasets, several at once, and yield each name when it is done."""
    if workers <= 1:
        for job in jobs:
            yield _read(*job)
        return
    with pool_of(workers, _leave_quietly) as pool:
        try:
            for future in as_completed([pool.submit(_read_in_worker, *job) for job in jobs]):
                yield future.result()
        except BrokenProcessPool as error:
            raise VlmtError("a process that reads annotations died", todo="memory may be short: free some") from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            send_to_children(signal.SIGINT)
            raise


def _leave_quietly() -> None:
    """Let an interrupted worker go without a traceback."""
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))


@without_pandas()
def _read_in_worker(*job: Any) -> str:
    try:
        return _read(*job)
    except SystemExit:  # interrupted: half-written files are removed by now, and no other dataset must be begun
        os._exit(130)


def _read(name: str, data: Path, options: Options, folder: Path, thorough: bool) -> str:
    with locked(folder):
        if _stale(data, name, options, folder, thorough):  # another process may have read it meanwhile
            _write(name, data, options, folder)
    return name


def _write(name: str, data: Path, options: Options, folder: Path) -> None:
    dataset, raw, paths = all_datasets()[name], fingerprint(data, name), raw_files(data, name)
    for path in paths:
        if not path.is_dir():
            check_file(path)
    # The one thread hashes what the other decodes, at the same time: a file comes from the disk once.
    with gc_paused(), ThreadPoolExecutor(1) as pool:
        hashing = pool.submit(lambda: {path.name: sha256_of(path) for path in paths})
        examples = dataset.read(raw_folder(data, name), options)
        tidy(examples)
        sha256 = hashing.result()
    if fingerprint(data, name) != raw:
        todo = "run the command again when they are complete"
        raise DataError(f"the files of {name} changed while they were read", where=raw_folder(data, name), todo=todo)
    alone = examples.images_alone()
    for split, keys in alone.items():
        note(examples.notes, f"{split} images without an example, whose copies are removed", len(keys))
    if dataset.group and not missing_files(data, name) and not (alone or any(map(len, examples.splits.values()))):
        raise DataError(
            f"the files of {name} hold no example", where=raw_folder(data, name), todo="download them again"
        )
    (folder / "manifest.json").unlink(missing_ok=True)
    remove_leftovers(folder)
    for old in folder.glob("*.parquet"):
        old.unlink()
    for split, table in examples.splits.items():
        write_parquet(folder / f"{split}.parquet", table, repeats=False)
    write_parquet(folder / "links.parquet", examples.links, repeats=False)
    if alone:
        write_parquet(folder / f"{TEST_IMAGES}.parquet", images_table(alone), repeats=False)
    if examples.answers is not None:
        write_bytes(folder / "answers.json", msgspec.json.format(msgspec.json.encode(examples.answers)))
    manifest = Manifest(
        _choices(name, options),
        raw,
        {split: len(table) for split, table in examples.splits.items()},
        len(examples.links),
        dict(sorted(examples.notes.items())),
        _FORMAT,
        reader_hash(name),
        sha256,
        {split: hash_examples(table["example_id"], table["images"]) for split, table in examples.splits.items()}
        | {f"{split}{ALONE}": hash_examples(keys, images_each(keys)) for split, keys in alone.items()},
        hash_strings(examples.links),
        {path.name: sha256_of(path) for path in sorted(folder.glob("*.parquet"))},
        {split: len(keys) for split, keys in alone.items()},
    )
    write_bytes(folder / "manifest.json", msgspec.json.format(msgspec.json.encode(manifest)))


def _stale(data: Path, name: str, options: Options, folder: Path, thorough: bool) -> str | None:
    """Say why the tables in a folder do not come from a dataset's official files as they are; None where they do."""
    if not (folder / "manifest.json").exists():
        return "was not read yet"
    manifest, raw = read_manifest(folder), fingerprint(data, name)
    if not all((folder / f"{part}.parquet").exists() for part in manifest.parts):
        return f"lacks a table in examples/{name}"
    if manifest.format != _FORMAT or manifest.reader != reader_hash(name):
        return "was read by another version of its reader"
    if manifest.options != _choices(name, options):
        return "was read with other options"
    if changed := sorted(set(manifest.raw) ^ set(raw)):
        return f"has official files added or removed ({', '.join(changed)})"
    for path in raw_files(data, name):
        size, time = raw[path.name]
        if size != manifest.raw[path.name][0]:
            return f"has another {path.name}"
        # Another time alone says nothing: a copy of a file is the same file.
        if (thorough or time != manifest.raw[path.name][1]) and sha256_of(path) != manifest.sha256.get(path.name):
            return f"has another {path.name}"
    if thorough and (edited := _edited(folder, manifest)):
        return f"{EDITED} ({edited})"
    return None


def _edited(folder: Path, manifest: Manifest) -> str | None:
    """Return the first table that is not what the manifest says; of an older vlmt's, that does not hold it."""
    if manifest.tables:
        names = (f"{part}.parquet" for part in manifest.parts)
        return next((name for name in names if manifest.tables.get(name) != sha256_of(folder / name)), None)
    try:
        for split, expected in manifest.example_hashes.items():
            table = pq.read_table(folder / f"{split}.parquet", columns=["example_id", "images"])
            if hash_examples(table["example_id"], table["images"]) != expected:
                return f"{split}.parquet"
        is_same = hash_strings(pq.read_table(folder / "links.parquet", schema=LINKS)) == manifest.links_hash
    except (OSError, pa.ArrowException) as error:
        return str(error).splitlines()[0]
    return None if is_same else "links.parquet"


def _choices(name: str, options: Options) -> str:
    section = getattr(options, name, None)
    return section.model_dump_json() if section is not None else "{}"
