"""Opening files that others made: a pipe, a socket or a device in place of one is refused instead of blocking."""

import os
import stat
from io import BufferedReader
from pathlib import Path

from vlmt_cli.base.errors import DataError

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a folder"),
)


def check_file(path: Path | str) -> None:
    """Refuse a pipe, a socket, a device or a folder. A missing file is no error here: opening it raises.

    Raises:
        DataError: it is a pipe, a socket, a device or a folder.
    """
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return
    _refuse(path, mode)


def open_file(path: Path | str) -> BufferedReader:
    """Open a file for reading, without ever waiting for a writer.

    Raises:
        DataError: it is a pipe, a socket, a device or a folder.
        OSError: as ``open`` raises it.
    """
    check_file(path)  # opening some devices already does something
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _refuse(path, os.fstat(descriptor).st_mode)  # it may have changed since
    except DataError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def read_file(path: Path | str) -> bytes:
    """Read all of a file; see ``open_file``."""
    with open_file(path) as file:
        return file.read()


def _refuse(path: Path | str, mode: int) -> None:
    for is_kind, kind in _KINDS:
        if is_kind(mode):
            raise DataError(f"is {kind}, not a file", where=path, todo="give a regular file")
