"""Files in zip archives, read as they are: ``raw/vqa/v2_Questions_Val_mscoco.zip/name.json`` is such a file's path.

Nothing is ever unpacked to disk. A file that would unpack to far more than official files do is refused, and so is a
name that would climb out of the folder of whoever unpacks the archive.
"""

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.opening import open_file
from vlmt_cli.base.words import printable, quoted

MOST_GROWTH = 100
"""How many times its packed size a file may have; those of the datasets here have 3 to 20."""
ALWAYS_ALLOWED = 64 << 20
"""Bytes that any file may unpack to."""
_MOST_MEMBERS = 2_000_000
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


def archive_of(path: Path) -> tuple[Path, str] | None:
    """Return the archive in which a path leads, and the name there; None for a path of the file system."""
    for parent in path.parents:
        if parent.suffix.lower() == ".zip" and parent.is_file():
            return parent, path.relative_to(parent).as_posix()
    return None


def files_in(archive: Path) -> dict[str, str]:
    """Return the files of an archive: their names, by the last part of these; the first of a name counts.

    An archive that cannot be read has none.
    """
    try:
        stat = archive.stat()
        return _files(archive, stat.st_size, stat.st_mtime_ns)
    except OSError:
        return {}


def folders_in(archive: Path) -> dict[str, str]:
    """Return the folders of an archive that hold a file: their names, by the last part; the first of a name counts."""
    try:
        stat = archive.stat()
        return _folders(archive, stat.st_size, stat.st_mtime_ns)
    except OSError:
        return {}


@contextmanager
def open_member(path: Path) -> Iterator[BinaryIO]:
    """Open a file in an archive for reading.

    Raises:
        DataError: the archive or the file is damaged, packed in a way that is not read, or unpacks to more than
            ``MOST_GROWTH`` times its size; or its name climbs.
    """
    inside = archive_of(path)
    assert inside is not None, path
    archive, name = inside
    parts = PurePosixPath(name).parts
    if ".." in parts or name.startswith("/") or "\\" in name:
        what = f"holds a file whose name climbs out of its folder, {quoted(name)}"
        raise DataError(what, where=archive, todo="do not trust where it came from")
    try:
        with open_file(archive) as file, zipfile.ZipFile(file) as opened:
            member = opened.getinfo(name)
            check_growth(member, path)
            with opened.open(member) as stream:
                yield cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, stream), 1 << 20))
    except KeyError as error:
        raise DataError(f"holds no file {quoted(name)}", where=archive) from error
    except DAMAGE as error:
        todo = "download the official file again, or unpack it"
        raise DataError(f"cannot be read from its archive ({printable(error)})", where=path, todo=todo) from error


def check_growth(member: zipfile.ZipInfo, path: Path) -> None:
    """Raise a DataError where a file in an archive would unpack to far more than its size there."""
    if member.file_size > max(ALWAYS_ALLOWED, MOST_GROWTH * member.compress_size):
        todo = "do not trust where it came from; if you do, unpack it"
        what = f"unpacks to more than {MOST_GROWTH} times its size; annotation files unpack to 3 to 20 times"
        raise DataError(what, where=path, todo=todo)


def size_of_member(path: Path) -> int:
    """Return the size of a file in an archive, unpacked. Raises a DataError when the archive is damaged."""
    inside = archive_of(path)
    assert inside is not None, path
    archive, name = inside
    try:
        with open_file(archive) as file, zipfile.ZipFile(file) as opened:
            return opened.getinfo(name).file_size
    except (*DAMAGE, KeyError) as error:
        todo = "download the official file again"
        raise DataError(f"is not an intact zip archive ({printable(error)})", where=archive, todo=todo) from error


@lru_cache(maxsize=64)
def _folders(archive: Path, size: int, time: int) -> dict[str, str]:
    folders: dict[str, str] = {}
    for name in _names(archive):
        folder = name.rpartition("/")[0]
        folders.setdefault(folder.rpartition("/")[2], folder)
    return folders


@lru_cache(maxsize=64)
def _files(archive: Path, size: int, time: int) -> dict[str, str]:
    files: dict[str, str] = {}
    for name in _names(archive):
        files.setdefault(name.replace("\\", "/").rpartition("/")[2], name)
    return files


def _names(archive: Path) -> list[str]:
    """Return the names of an archive's files; none where it cannot be read."""
    try:
        with open_file(archive) as file, zipfile.ZipFile(file) as opened:
            names = opened.namelist()[:_MOST_MEMBERS]
    except (*DAMAGE, DataError):
        return []
    return [name for name in names if not name.endswith("/") and not name.startswith("__MACOSX/")]
