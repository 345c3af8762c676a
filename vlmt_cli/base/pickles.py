"""Pickles from elsewhere, read without running anything that they name.

``pickle_machine`` reads them; what it makes is then checked for its size when it is gone through.
"""

import gzip
import struct
import zlib
from itertools import chain, compress
from pathlib import Path
from typing import Any

import numpy as np

from vlmt_cli.base.collecting import gc_paused
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.opening import open_file
from vlmt_cli.base.pickle_machine import run
from vlmt_cli.base.plain_pickles import MISSING, read_plain
from vlmt_cli.base.words import printable
from vlmt_cli.base.zips import archive_of, open_member

_AGAIN = "download the official file again"
_DEEPEST = 100
_LARGEST_FILE, _LARGEST_UNPACKED = 1 << 30, 1 << 28
_MOST_SHARED = 32  # times the length of the pickle: what it says by naming again and again what it said once
_CONTAINERS, _TEXTS = frozenset((list, tuple, dict, np.ndarray)), frozenset((str, bytes))


def read_pickle(path: Path) -> Any:
    """Read a pickle of plain data from a file, plain, ``.gz`` or in a zip archive.

    Numbers and texts of numpy become Python's; arrays stay arrays, which cannot be written to.

    Raises:
        DataError: the pickle asks to import anything but what plain data needs, is cut short, or is not a pickle.
    """
    most = _LARGEST_UNPACKED if path.suffix == ".gz" else _LARGEST_FILE
    try:
        with open_member(path) if archive_of(path) else open_file(path) as file:
            data = (gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file).read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be read ({printable(error)})", where=path, todo=_AGAIN) from error
    if len(data) > most:
        what = f"is longer than {most:,} bytes, which a pickle of plain data never is"
        raise DataError(what, where=path, todo=_AGAIN)
    return loads(data, path)


def loads(data: bytes, where: object) -> Any:
    """Read a pickle of plain data from memory; see ``read_pickle``. ``where`` names it in errors."""
    try:
        with gc_paused():
            value = read_plain(data)
            if value is MISSING:
                value = run(data, where)
            _check_size(value, _MOST_SHARED * len(data) + 10_000)
    except DataError:
        raise
    # What a damaged pickle runs into: an empty stack, a missing mark, an index beyond the end, bytes that are not text.
    except (ValueError, LookupError, TypeError, struct.error, MemoryError) as error:
        is_said = isinstance(error, ValueError) and "subsection" not in str(error)
        what = printable(error) if is_said else "it ends too early, or takes what is not there"
        raise DataError(f"is not an intact pickle ({what})", where=where, todo=_AGAIN) from error
    return value


def _check_size(value: Any, most: int) -> None:
    """Refuse what is far larger when it is gone through than it is as a pickle, nested very deeply, or in itself."""
    level: list[Any] = [[value]]
    size = 0
    for _ in range(_DEEPEST):
        lists = [each.values() if type(each) is dict else each for each in level if type(each) is not np.ndarray]
        arrays = [each for each in level if type(each) is np.ndarray] if len(lists) < len(level) else []
        lists += [array.ravel().tolist() if array.dtype == object else [] for array in arrays]
        size += sum(map(len, lists))
        if size > most:
            raise ValueError("it refers to the same values too often")
        parts = list(chain.from_iterable(lists))
        kinds = list(map(type, parts))
        size += sum(map(len, compress(parts, map(_TEXTS.__contains__, kinds))))
        level = list(compress(parts, map(_CONTAINERS.__contains__, kinds)))
        if not level and size <= most:
            return
    raise ValueError("it is nested too deeply, or in itself")
