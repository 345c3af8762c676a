"""Turn official files into example tables, once.

``examples/<dataset>/`` holds a Parquet a split, ``links.parquet``, ``answers.json`` where
the dataset has a vocabulary, and ``manifest.json``, which is written last: its existence
means that the folder is complete, and what it says of the official files (size and
time of change) and the options decides whether they must be read again.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from vlmt_cli.base.errors import DataError, VlmtError
from vlmt_cli.base.files import locked, remove_leftovers, write_bytes, write_parquet
from vlmt_cli.base.identity import LINKS
from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.source import find
from vlmt_cli.datasets.table import CROSSWALKS, DATASETS, Dataset

Progress = Callable[[str, int, int], None]

# Raised whenever a reader makes other examples of the same files.
READERS_VERSION = 1
_WORTH_A_PROCESS = 64 << 20


class Manifest(msgspec.Struct, frozen=True):
    """What ``manifest.json`` says of a prepared dataset."""

    version: int
    options: str
    raw: dict[str, list[int]]
    splits: dict[str, int]
    links: int
    notes: dict[str, int]


@dataclass(frozen=True)
class Prepared:
    """One dataset's example files.

    Attributes:
        name: the dataset.
        folder: where they are.
        manifest: the splits and their lengths, and what was odd.
    """

    name: str
    folder: Path
    manifest: Manifest

    def path(self, split: str) -> Path:
        """Return the Parquet file of a split."""
        return self.folder / f"{split}.parquet"

    def links(self) -> pa.Table:
        """Read the identity links that the dataset's files give."""
        return pq.read_table(self.folder / "links.parquet", schema=LINKS)


def missing_files(data: Path, name: str) -> list[str]:
    """List the official files of a dataset that are not in ``data/raw``, as paths below it."""
    folder = raw_folder(data, name)
    absent = (names for names in all_datasets()[name].files if not find(folder, *names.split("|")))
    return [f"{folder.name}/{names.partition('|')[0]}" for names in absent]


def optional_files(data: Path, name: str) -> dict[str, bool]:
    """Say of each official file that a dataset can do without, as a path below ``data/raw``, whether it is there."""
    folder = raw_folder(data, name)
    return {f"{folder.name}/{file}": find(folder, file) is not None for file in all_datasets()[name].also}


def prepare(
    data: Path,
    names: Sequence[str],
    options: Options,
    progress: Progress | None = None,
) -> dict[str, Prepared]:
    """Read the official files of datasets and crosswalks into ``data/examples``.

    Args:
        data: the data folder; ``data/raw/<dataset>/`` holds the official files.
        names: keys of ``DATASETS`` or ``CROSSWALKS``.
        options: the readers' choices.
        progress: called with a dataset's name and the bytes read so far and in all.

    Returns:
        The example files of each name, in the order given; those whose examples are
        current are not read again.

    Raises:
        DataError: an official file is damaged; nothing of its dataset is written.
    """
    stale = {name: _raw_files(data, name) for name in names if not _current(data, name, options)}
    sizes = {name: sum(_size_and_time(path)[0] for path in paths) for name, paths in stale.items()}
    total, done = sum(sizes.values()), 0
    workers = min(os.cpu_count() or 1, len(stale))
    largest_first = sorted(stale, key=lambda name: -sizes[name])
    for name in _each(largest_first, data, options, workers if total >= _WORTH_A_PROCESS else 1):
        done += sizes[name]
        if progress:
            progress(name, done, total)
    return {name: Prepared(name, _folder(data, name), _manifest(data, name)) for name in names}


def prepared(data: Path, name: str) -> Prepared | None:
    """Return a dataset's example files as they are, or None when it was never read."""
    if not (_folder(data, name) / "manifest.json").exists():
        return None
    return Prepared(name, _folder(data, name), _manifest(data, name))


def all_datasets() -> dict[str, Dataset]:
    """Return datasets and crosswalks in one dict."""
    return DATASETS | CROSSWALKS


def raw_folder(data: Path, name: str) -> Path:
    """Return the folder with a dataset's official files."""
    return data / "raw" / (all_datasets()[name].folder or name)


def _each(names: list[str], data: Path, options: Options, workers: int) -> Iterable[str]:
    """Read datasets, several at once, and yield each name when it is done."""
    if workers <= 1:
        for name in names:
            yield _read(name, data, options)
        return
    context = multiprocessing.get_context("spawn")  # forking a process with Arrow's threads can hang it
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_quietly) as pool:
        try:
            for future in as_completed([pool.submit(_read_in_worker, name, data, options) for name in names]):
                yield future.result()
        except BrokenProcessPool as error:
            raise VlmtError("a process that reads annotations died", todo="memory may be short: free some") from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                if process.pid:
                    os.kill(process.pid, signal.SIGINT)
            raise


def _leave_quietly() -> None:
    """Let an interrupted worker go without a traceback."""
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))


def _read_in_worker(name: str, data: Path, options: Options) -> str:
    try:
        return _read(name, data, options)
    except SystemExit:  # interrupted: half-written files are removed by now, and no other dataset must be begun
        os._exit(130)


def _read(name: str, data: Path, options: Options) -> str:
    folder = _folder(data, name)
    with locked(folder):
        if not _current(data, name, options):  # another process may have read it meanwhile
            _write(name, data, options, folder)
    return name


def _write(name: str, data: Path, options: Options, folder: Path) -> None:
    dataset, raw = all_datasets()[name], _fingerprint(data, name)
    examples = dataset.read(raw_folder(data, name), options)
    if dataset.group and not missing_files(data, name) and not any(map(len, examples.splits.values())):
        raise DataError(
            f"the files of {name} hold no example", where=raw_folder(data, name), todo="download them again"
        )
    (folder / "manifest.json").unlink(missing_ok=True)
    remove_leftovers(folder)
    for old in folder.glob("*.parquet"):
        old.unlink()
    for split, table in examples.splits.items():
        write_parquet(folder / f"{split}.parquet", table)
    write_parquet(folder / "links.parquet", examples.links)
    if examples.answers is not None:
        write_bytes(folder / "answers.json", msgspec.json.format(msgspec.json.encode(examples.answers)))
    lengths = {split: len(table) for split, table in examples.splits.items()}
    manifest = Manifest(
        READERS_VERSION,
        _choices(name, options),
        raw,
        lengths,
        len(examples.links),
        dict(sorted(examples.notes.items())),
    )
    write_bytes(folder / "manifest.json", msgspec.json.format(msgspec.json.encode(manifest)))


def _current(data: Path, name: str, options: Options) -> bool:
    """Whether a dataset's examples come from the official files as they are, and from these options."""
    if not (_folder(data, name) / "manifest.json").exists():
        return False
    manifest = _manifest(data, name)
    if not all((_folder(data, name) / f"{part}.parquet").exists() for part in (*manifest.splits, "links")):
        return False
    return (manifest.version, manifest.options, manifest.raw) == (
        READERS_VERSION,
        _choices(name, options),
        _fingerprint(data, name),
    )


def _manifest(data: Path, name: str) -> Manifest:
    path = _folder(data, name) / "manifest.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise DataError(f"is damaged ({error})", where=path, todo="delete it and run the command again") from error


def _choices(name: str, options: Options) -> str:
    section = getattr(options, name, None)
    return section.model_dump_json() if section is not None else "{}"


def _raw_files(data: Path, name: str) -> list[Path]:
    dataset, folder = all_datasets()[name], raw_folder(data, name)
    return [path for names in (*dataset.files, *dataset.also) if (path := find(folder, *names.split("|")))]


def _fingerprint(data: Path, name: str) -> dict[str, list[int]]:
    return {path.name: list(_size_and_time(path)) for path in sorted(_raw_files(data, name))}


def _size_and_time(path: Path) -> tuple[int, int]:
    """The size and time of change of a file, or of all files of a folder together."""
    stats = [entry.stat() for entry in os.scandir(path)] if path.is_dir() else [path.stat()]
    return sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)


def _folder(data: Path, name: str) -> Path:
    return data / "examples" / name
