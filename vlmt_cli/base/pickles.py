"""Pickles from elsewhere, read without running anything that they name.

A pickle is a program: it may import any function and call it. The official
RefCOCO files are pickles of lists, dicts, strings and numbers, which need no
import at all; whoever must read more names exactly what may be imported.
"""

import codecs
import gzip
import io
import pickle
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core import multiarray as numpy_core
from numpy._core.numeric import _frombuffer  # type: ignore[attr-defined]

from vlmt_cli.base.errors import DataError

# What a pickle of numpy arrays and scalars imports, under the names that old and new versions of numpy give.
NUMPY = {
    **{(f"numpy.{core}.multiarray", name): value for core in ("core", "_core")
       for name, value in (("_reconstruct", numpy_core._reconstruct), ("scalar", numpy_core.scalar))},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,
}  # fmt: skip
Allowed = Mapping[tuple[str, str], Any]


class _Restricted(pickle.Unpickler):
    def __init__(self, file: Any, where: object, allowed: Allowed) -> None:
        super().__init__(file, encoding="latin1")  # Python 2 wrote many of them
        self.where, self.allowed = where, allowed

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.allowed[module, name]
        except KeyError:
            raise DataError(
                f"the pickle asks to import {module}.{name}, which plain data never needs; nothing was run",
                where=self.where,
                todo="download the official file again, and distrust whoever gave you this one",
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        raise DataError("the pickle refers to objects outside itself", where=self.where)


def read_pickle(path: Path, allowed: Allowed | None = None) -> Any:
    """Read a pickle of plain data from a file, plain or ``.gz``.

    Args:
        path: the file.
        allowed: what the pickle may import, by (module, name), such as ``NUMPY``; nothing by default.

    Raises:
        DataError: the pickle imports anything else, is cut short, or is no pickle.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _load(file, path, allowed)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be read ({error})", where=path) from error


def loads(data: bytes, where: object, allowed: Allowed | None = None) -> Any:
    """Read a pickle of plain data from memory; see ``read_pickle``. ``where`` names it in errors."""
    return _load(io.BytesIO(data), where, allowed)


def _load(file: Any, where: object, allowed: Allowed | None) -> Any:
    try:
        return _Restricted(file, where, allowed or {}).load()
    except (DataError, OSError):
        raise
    except Exception as error:  # a damaged pickle raises whatever its opcodes run into
        raise DataError(
            f"is no intact pickle ({type(error).__name__}: {error})",
            where=where,
            todo="download the official file again",
        ) from error
