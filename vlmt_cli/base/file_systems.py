"""File systems elsewhere, object stores and hubs: whatever pyarrow opens, or fsspec."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from pyarrow import fs

from vlmt_cli.base.errors import DataError, VlmtError
from vlmt_cli.base.words import printable

_PATIENCE = 30
"""Seconds for which Google's storage is tried; its own default is a quarter of an hour."""
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://")


def is_elsewhere(given: str) -> bool:
    """Whether an address such as ``s3://bucket/file`` is given, not a path."""
    return _ADDRESS.match(given) is not None


def system_of(address: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of an address, and the path there.

    Raises:
        DataError: fsspec is needed, and is not installed.
        Exception: whatever the file system's library raises; see ``one_line``.
    """
    waits = address.startswith(("gs://", "gcs://")) and "retry_limit_seconds" not in address
    options = f"{'&' if '?' in address else '?'}retry_limit_seconds={_PATIENCE}" if waits else ""
    try:
        system, path = fs.FileSystem.from_uri(address + options)
        return system, path
    except pa.ArrowInvalid:  # a scheme that pyarrow does not know
        pass
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        todo = "pip install fsspec, or copy the file here"
        raise DataError("is opened with fsspec, which is not installed", where=address, todo=todo) from error
    system, path = url_to_fs(address)
    return fs.PyFileSystem(fs.FSSpecHandler(system)), path


def open_elsewhere(address: str) -> pa.NativeFile:
    """Open a file for reading here and there.

    Raises:
        DataError: it cannot be opened.
    """
    with one_line(address):
        system, path = system_of(address)
        return system.open_input_file(path)


@contextmanager
def one_line(address: str) -> Iterator[None]:
    """Turn whatever a file system's library raises into an error of one line."""
    try:
        yield
    except VlmtError:
        raise
    except Exception as error:
        todo = "look at the address, and at what gives access to it; or copy the file here"
        raise DataError(f"cannot be read there ({printable(error, 200)})", where=address, todo=todo) from error
