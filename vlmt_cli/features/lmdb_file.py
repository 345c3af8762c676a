"""Opening somebody's LMDB, for reading."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb

from vlmt_cli.base.errors import DataError

_MAGIC = 0xBEEFC0DE
# The description at the beginning of each of the first two pages; the one of the latest transaction counts. After the
# page's header: magic, version, address, map size, page size, the rest of two trees' roots, last page, transaction.
_DESCRIPTION = struct.Struct("<16xII8x8xI92xQQ")


def is_lmdb(path: Path) -> bool:
    """Whether this is an LMDB: a folder with ``data.mdb``, or such a file under any name."""
    file = _file(path)
    return file.is_file() and _described(file, 0) is not None


def check_length(path: Path) -> None:
    """Raise a DataError when an LMDB is cut short: to read beyond its end kills the process."""
    first = _described(_file(path), 0)
    if first is None:
        raise DataError("is not an LMDB", where=path)
    page_size = first[0]
    second = _described(_file(path), page_size) or first
    last_page = max(first, second, key=lambda meta: meta[2])[1]
    size, needed = _file(path).stat().st_size, (last_page + 1) * page_size
    if size < needed:
        raise DataError(f"is cut short: {size:,} of {needed:,} bytes", where=path, todo="download or copy it again")


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Yield a transaction to read with. Raises a DataError when the file cannot be read, or is cut short."""
    check_length(path)
    try:
        environment = lmdb.open(str(path), readonly=True, lock=False, readahead=True, subdir=path.is_dir())
    except lmdb.Error as error:
        raise DataError(f"cannot be opened as an LMDB ({error})", where=path) from error
    try:
        with environment.begin() as transaction:
            yield transaction
    except lmdb.Error as error:
        raise DataError(f"is damaged ({error})", where=path, todo="download it again") from error
    finally:
        environment.close()


def _file(path: Path) -> Path:
    return path / "data.mdb" if path.is_dir() else path


def _described(file: Path, start: int) -> tuple[int, int, int] | None:
    """Return page size, last page and transaction of the description at ``start``, or None where there is none."""
    with file.open("rb") as stream:
        stream.seek(start)
        data = stream.read(_DESCRIPTION.size)
    if len(data) < _DESCRIPTION.size:
        return None
    magic, _, page_size, last_page, transaction = _DESCRIPTION.unpack(data)
    return (page_size, last_page, transaction) if magic == _MAGIC else None
