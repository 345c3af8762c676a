"""Files that are never half-written.

Everything is written under a temporary name beside its place, synced and renamed when it is complete, so that a crash,
a full disk, Ctrl-C or a power cut leaves what was there before. A rename survives a power cut once the directory is
synced as well.
"""

import contextlib
import errno
import fcntl
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vlmt_cli.base.errors import VlmtError


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block succeeds.

    Parent folders are created. On any exception the temporary file is removed and
    ``path`` stays as it was. When the block has ended, the new file survives a power cut.
    What killed processes left of the same file is removed; those that still write it are left alone.

    Raises:
        VlmtError: the disk is full or the folder cannot be written.
    """
    temporary = _beside(path)
    with explained(path):
        try:
            _make_folder(path.parent)
            _remove_dead(path)
            with _held(temporary):
                yield temporary
                sync(temporary)
                os.replace(temporary, path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _held(temporary: Path) -> Iterator[None]:
    """Create a temporary file and hold a lock on it, which ends with the process that holds it."""
    with open(temporary, "wb") as file:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_dead(path: Path) -> None:
    """Remove the temporary files of a path that nobody holds."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.????????.partial"):
        with contextlib.suppress(OSError), open(leftover, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            leftover.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of ``folder`` when the block succeeds.

    Entries of other names in ``folder`` stay. On any exception ``folder`` stays as it was; what a process that was
    killed in between left aside is put back by the next. The old entries are removed once the new ones would survive a
    power cut.

    Raises:
        VlmtError: the disk is full or the folder cannot be written.
    """
    temporary = _beside(folder)
    aside = temporary.with_suffix(".old")
    with explained(folder):
        put_back(folder)
        try:
            _make_folder(folder.parent)
            temporary.mkdir()
            yield temporary
            _sync_tree(temporary)
            if folder.exists():
                os.replace(folder, aside)
            os.replace(temporary, folder)
            sync(folder.parent)
        finally:
            put_back(folder)
            shutil.rmtree(temporary, ignore_errors=True)


def is_left_aside(folder: Path) -> bool:
    """Whether a process was killed while it put a new ``folder`` in the place of the old one."""
    return any(folder.parent.glob(f".{glob.escape(folder.name)}.????????.old"))


def bring_back(folder: Path) -> None:
    """Bring a folder back that a killed process took aside, unless somebody holds the lock of the folder around it."""
    if is_left_aside(folder):
        with contextlib.suppress(OSError), open(folder.parent / ".lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            put_back(folder)


def put_back(folder: Path) -> None:
    """Bring back what a killed process left aside of ``folder``: all of it, or what the new one does not have.

    What was to take its place and is not complete is removed.
    """
    beside = f".{glob.escape(folder.name)}.????????"
    for leftover in folder.parent.glob(f"{beside}.partial"):
        shutil.rmtree(leftover, ignore_errors=True)
    for aside in folder.parent.glob(f"{beside}.old"):
        if not folder.exists():
            os.replace(aside, folder)
            sync(folder.parent)
            continue
        for entry in aside.iterdir():
            if not (folder / entry.name).exists():
                os.replace(entry, folder / entry.name)
        sync(folder)
        shutil.rmtree(aside)


def sync(path: Path) -> None:
    """Make the content of a file, or the names in a directory, survive a power cut."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        # Some network file systems cannot sync a directory; they keep its names safe in their own way.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(number)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left of ``atomic`` writes into ``folder``."""
    for leftover in folder.glob(".*.partial"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of ``folder``, which is created, until the block ends; waits for those that are in."""
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / ".lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, whole or not at all."""
    write_bytes(path, text.encode())


def write_parquet(path: Path, table: pa.Table, repeats: bool = True) -> None:
    """Write an Arrow table to ``path``, whole or not at all.

    Args:
        path: where to.
        table: what.
        repeats: whether its values repeat so often that looking for repetitions pays.
    """
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", compression_level=1, use_dictionary=repeats)


def _sync_tree(folder: Path) -> None:
    """Sync all files in a folder, and then the folders that name them."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(Path(parent, name))
        sync(Path(parent))


def _make_folder(folder: Path) -> None:
    """Create a folder and its parents so that their names survive a power cut."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for parent in missing:
        sync(parent.parent)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what goes wrong while ``path`` is written into a VlmtError of one line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            todo = "free some space and run the command again"
            raise VlmtError("no space left on the disk", where=path, todo=todo) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR):
            raise VlmtError(f"cannot be written ({error.strerror})", where=path) from error
        raise
