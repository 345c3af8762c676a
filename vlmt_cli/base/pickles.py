"""Pickles from elsewhere, read without running anything that they name.

A pickle is a program: it may import any function and call it. The official
RefCOCO files are pickles of lists, dicts, strings and numbers, which need no
import at all; whoever must read more names exactly what may be imported.
"""

import gzip
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlmt_cli.base.errors import DataError


class _Restricted(pickle.Unpickler):
    def __init__(self, file: Any, path: Path, allowed: Mapping[tuple[str, str], Any]) -> None:
        super().__init__(file, encoding="latin1")  # Python 2 wrote many of them
        self.path, self.allowed = path, allowed

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.allowed[module, name]
        except KeyError:
            raise DataError(
                f"the pickle asks to import {module}.{name}, which plain data never needs; nothing was run",
                where=self.path,
                todo="download the official file again, and distrust whoever gave you this one",
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        raise DataError("the pickle refers to objects outside itself", where=self.path)


def read_pickle(path: Path, allowed: Mapping[tuple[str, str], Any] | None = None) -> Any:
    """Read a pickle of plain data, plain or ``.gz``.

    Args:
        path: the file.
        allowed: what the pickle may import, by (module, name); nothing by default.

    Raises:
        DataError: the pickle imports anything else, is cut short, or is no pickle.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _Restricted(file, path, allowed or {}).load()
    except DataError:
        raise
    except (OSError, MemoryError) as error:
        raise DataError(f"cannot be read ({error})", where=path) from error
    except Exception as error:  # a damaged pickle raises whatever its opcodes run into
        raise DataError(
            f"is no intact pickle ({type(error).__name__}: {error})",
            where=path,
            todo="download the official file again",
        ) from error
