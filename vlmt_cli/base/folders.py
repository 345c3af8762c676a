"""Folders of many small files, in the file system or in a zip archive, which is opened once for all of them."""

import errno
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.opening import open_file, read_file
from vlmt_cli.base.words import printable
from vlmt_cli.base.zips import DAMAGE, archive_of, check_growth, folders_in


def is_folder(path: Path) -> bool:
    """Whether a path is a folder, or leads to one in a zip archive."""
    inside = archive_of(path)
    return path.is_dir() if inside is None else folders_in(inside[0]).get(path.name) == inside[1]


@contextmanager
def open_folder(path: Path) -> Iterator[tuple[dict[str, int], Callable[[str], bytes]]]:
    """Open a folder.

    Yields:
        The sizes of its files in bytes, by their names, and what reads one of them by its name. That raises an OSError
        where there is no such file, and a DataError where the archive is damaged.
    """
    inside = archive_of(path)
    if inside is None:
        yield {each.name: each.lstat().st_size for each in path.iterdir()}, lambda name: read_file(path / name)
        return
    archive, folder = inside
    todo = "download the official file again, or unpack it"
    try:
        with open_file(archive) as file, zipfile.ZipFile(file) as opened:
            members = {
                each.filename[len(folder) + 1 :]: each
                for each in opened.infolist()
                if each.filename.startswith(f"{folder}/") and not each.is_dir()
            }

            def read(name: str) -> bytes:
                if (member := members.get(name)) is None:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
                check_growth(member, path / name)
                try:
                    return opened.read(member)
                except DAMAGE as error:
                    what = f"cannot be read from its archive ({printable(error)})"
                    raise DataError(what, where=path / name, todo=todo) from error

            yield {name: member.file_size for name, member in members.items()}, read
    except zipfile.BadZipFile as error:
        raise DataError(f"is not an intact zip archive ({printable(error)})", where=archive, todo=todo) from error
