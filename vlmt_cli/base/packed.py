"""Files that are packed with gzip or in a zip archive, unpacked in a stream: a decompression bomb is refused early."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from isal import igzip, isal_zlib

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.opening import open_file
from vlmt_cli.base.zips import ALWAYS_ALLOWED, MOST_GROWTH, archive_of, open_member

_DAMAGED = cast(type[Exception], isal_zlib.error)  # which its stubs take for an exception, not for a class of them


@contextmanager
def open_packed(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading; one named ``.gz`` or ``.tgz`` is unpacked while it is read.

    Raises:
        DataError: it is a pipe or a device, a ``.gz`` that is damaged, or one that unpacks to more than
            ``MOST_GROWTH`` times its size.
        OSError: it cannot be opened.
    """
    if archive_of(path):
        with open_member(path) as member:
            yield member
        return
    with open_file(path) as file:
        if path.suffix not in (".gz", ".tgz"):
            yield file
            return
        try:
            yield cast(BinaryIO, io.BufferedReader(_Unpacked(file, path), 1 << 20))
        except (EOFError, _DAMAGED, igzip.BadGzipFile) as error:
            raise _damaged(path, file, error) from error


def _damaged(path: Path, file: BinaryIO, error: Exception) -> DataError:
    """Say what is wrong with a file that is named as a packed one."""
    file.seek(0)
    if not b"\x1f\x8b".startswith(file.read(2)):  # of a file that was cut, no byte or one may be left
        name = path.name.removesuffix(".gz") if path.suffix == ".gz" else f"{path.stem}.tar"
        return DataError("is not packed with gzip, as its name says", where=path, todo=f"name it {name}")
    todo = "get the file again, or pack it again where it was made"
    return DataError(f"is not an intact {path.suffix} file ({error})", where=path, todo=todo)


class _Unpacked(io.RawIOBase):
    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._packed = igzip.IGzipFile(fileobj=file)  # type: ignore[no-untyped-call]
        self._path, self._done = path, 0
        self._most = max(ALWAYS_ALLOWED, MOST_GROWTH * os.fstat(file.fileno()).st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self._packed.readinto(buffer)
        self._done += count
        if self._done > self._most:
            todo = "do not trust where it came from; if you do, unpack it with gunzip"
            what = f"unpacks to more than {MOST_GROWTH} times its size; annotation files unpack to 3 to 20 times"
            raise DataError(what, where=self._path, todo=todo)
        return count
