"""The official files of datasets: which are there, where the others come from, and what tells a file from another."""

import hashlib
import mmap
import os
from pathlib import Path

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.folders import is_folder, open_folder
from vlmt_cli.base.opening import open_file
from vlmt_cli.base.packed import open_packed
from vlmt_cli.base.words import printable
from vlmt_cli.base.zips import archive_of, size_of_member
from vlmt_cli.datasets.source import READABLE, all_of, find
from vlmt_cli.datasets.table import CROSSWALKS, DATASETS, Dataset


def all_datasets() -> dict[str, Dataset]:
    """Return datasets and crosswalks in one dict."""
    return DATASETS | CROSSWALKS


def raw_folder(data: Path, name: str) -> Path:
    """Return the folder with a dataset's official files."""
    return data / "raw" / (all_datasets()[name].folder or name)


def raw_files(data: Path, name: str) -> list[Path]:
    """Return the official files of a dataset that are there."""
    dataset, folder = all_datasets()[name], raw_folder(data, name)
    return [path for names in (*dataset.files, *dataset.also) if (path := find(folder, *names.split("|")))]


def copies(data: Path, name: str) -> dict[Path, Path]:
    """Return what is passed over where several files are there under the names of one official file of a dataset: plain
    beside ``.gz``, another of its names, in a folder or an archive. By its path the one that is read in its stead."""
    dataset, folder = all_datasets()[name], raw_folder(data, name)
    read, passed = set(raw_files(data, name)), dict[Path, Path]()
    for names in (*dataset.files, *dataset.also):
        first, *others = list(all_of(folder, *names.split("|"))) or [folder]
        passed |= {path: first for path in others if path not in read}
    return passed


def missing_files(data: Path, name: str) -> list[str]:
    """List the official files of a dataset that are not in ``data/raw``, as paths below it."""
    folder = raw_folder(data, name)
    absent = (names for names in all_datasets()[name].files if not find(folder, *names.split("|")))
    return [f"{folder.name}/{names.partition('|')[0]}" for names in absent]


def addresses(data: Path, name: str) -> dict[str, str]:
    """Say where each official file of a dataset comes from, by its path below ``data/raw``; optional files, too."""
    dataset, folder = all_datasets()[name], raw_folder(data, name)
    return {
        f"{folder.name}/{names.partition('|')[0]}": address
        for names, address in {**dataset.files, **dataset.also}.items()
    }


def absent_tests(data: Path, name: str) -> list[str]:
    """List the official test files that a dataset can do without, and that are not there, as paths below ``raw``."""
    folder = raw_folder(data, name)
    absent = (names for names in all_datasets()[name].also_test if not find(folder, *names.split("|")))
    return [f"{folder.name}/{names.partition('|')[0]}" for names in absent]


def optional_files(data: Path, name: str) -> dict[str, bool]:
    """Say of each official file that a dataset can do without, as a path below ``data/raw``, whether it is there."""
    folder = raw_folder(data, name)
    return {f"{folder.name}/{file}": find(folder, file) is not None for file in all_datasets()[name].also}


def fingerprint(data: Path, name: str) -> dict[str, list[int]]:
    """Return size in bytes and time of change in nanoseconds of each official file of a dataset, by its name."""
    return {path.name: list(size_and_time(path)) for path in sorted(raw_files(data, name))}


def size_and_time(path: Path) -> tuple[int, int]:
    """Return the size and time of change of a file, in an archive or not, or of all files of a folder together."""
    if inside := archive_of(path):
        time = inside[0].stat().st_mtime_ns
        if not is_folder(path):
            return size_of_member(path), time
        with open_folder(path) as (sizes, _):
            return sum(sizes.values()), time
    try:
        stats = [entry.stat() for entry in (path.iterdir() if path.is_dir() else [path])]
    except OSError as error:
        what = f"a file of it cannot be read ({error.strerror}: {printable(Path(error.filename).name)})"
        raise DataError(what, where=path, todo="remove that file, or put it there again") from error
    return sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)


def sha256_of_packed(path: Path) -> str:
    """Return the SHA-256 of what a ``.gz``, or a file in an archive, unpacks to. Raises a DataError."""
    digest = hashlib.sha256()
    with open_packed(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of all files of a folder.

    Raises:
        DataError: it cannot be read.
    """
    digest = hashlib.sha256()
    if archive_of(path):
        if not is_folder(path):
            return sha256_of_packed(path)
        with open_folder(path) as (sizes, read):
            for name, size in sorted(sizes.items()):
                digest.update(f"{name}\0{size}\0".encode())
                digest.update(read(name))
        return digest.hexdigest()
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in files:
            if path.is_dir():
                digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
            with open_file(file) as opened:
                if os.fstat(opened.fileno()).st_size:
                    with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
                        digest.update(content)  # at once, as Python's other threads go on meanwhile
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", where=path, todo=READABLE) from error
    return digest.hexdigest()
