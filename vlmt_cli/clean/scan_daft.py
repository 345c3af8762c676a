"""A scan on Daft: its native runner on this machine, or a Ray cluster; and its reader of object stores and hubs.

Daft hands units out to threads here, or to the cluster's machines, and takes what is in them. Whatever reports the use
of Daft or Ray to their makers is switched off, in this process before they are imported and in the processes on Ray.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from vlmt_cli.base import errors
from vlmt_cli.base.errors import DataError, UsageError, VlmtError
from vlmt_cli.base.file_systems import one_line
from vlmt_cli.base.words import printable
from vlmt_cli.clean.drivers import Driver, Units, Work, from_anywhere
from vlmt_cli.clean.scan_drive import Scanned
from vlmt_cli.clean.scan_kept import packed, unpacked
from vlmt_cli.mixtures.batch import Source

QUIET = {
    "DO_NOT_TRACK": "true",
    "SCARF_NO_ANALYTICS": "true",
    "DAFT_ANALYTICS_ENABLED": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "DAFT_PROGRESS_BAR": "0",
}
"""Environment variables that switch off what Daft and Ray tell their makers, and Daft's bar."""
_TASKS = 8
"""Tasks a core of a Ray cluster, at most; with each travels the index."""
_SCANNED, _FAILED = b"+", b"-"


def on_daft(ray: str | None = None, threads: int | None = None) -> Driver:
    """Return the driver that scans units on Daft, the same one for all of a process.

    Args:
        ray: a cluster's address, such as ``HOST:6379``; ``auto`` for the one of this machine; None for Daft's native
            runner in this process.
        threads: of the native runner; else as many as there are cores.
    """

    def drive(work: Work, units: Units) -> Iterator[tuple[int, Scanned]]:
        if not units:
            return
        daft, cores = _engine(ray, threads)
        if work.pictures is not None:
            work = replace(work, pictures=replace(work.pictures, workers=1))
        work, units = from_anywhere(replace(work, spans=False), units)
        given = dict(units)
        as_batch = daft.func.batch(return_dtype=daft.DataType.binary(), batch_size=1, use_process=False)
        function = as_batch(lambda numbers: [_scanned(work, given[number]) for number in numbers.to_pylist()])
        frame = daft.from_pydict({"unit": list(given)})
        if ray is not None:
            frame = frame.into_partitions(min(len(given), _TASKS * cores))
        rows = frame.select(daft.col("unit"), function(daft.col("unit")).alias("scanned")).iter_rows()
        while True:
            with _explained("Ray" if ray else "Daft"):
                row = next(rows, None)
            if row is None:
                return
            yield row["unit"], _opened(row["scanned"])

    return drive


def daft_sources(given: str, ray: str | None = None, threads: int | None = None) -> list[Source]:
    """Return the Parquet files that an address, of a file, a folder or a glob, stands for, for Daft's reader.

    Args:
        given: the address.
        ray, threads: as in ``on_daft``.

    Raises:
        DataError: it cannot be read, is not there, or has other files.
    """
    daft, _ = _engine(ray, threads)
    pattern = given if PurePosixPath(given).suffix or "*" in given else f"{given.rstrip('/')}/**/*.parquet"
    with one_line(given):
        files = sorted(daft.from_glob_path(pattern).to_pydict()["path"])
    if not files:
        raise DataError("there is no such file", where=given, todo="look at the address")
    if others := [file for file in files if not file.endswith(".parquet")]:
        todo = "leave --engine out, or copy it here"
        raise DataError("is not Parquet, which alone Daft reads elsewhere", where=others[0], todo=todo)
    return [Source(Path(file.partition("://")[2]), "parquet", origin=file, opens=open_with_daft) for file in files]


def open_with_daft(address: str) -> pa.NativeFile:
    """Open a file where it lies, with Daft's clients of object stores and hubs."""
    _daft()
    from daft.file.file_io import open_file

    return pa.PythonFile(open_file(address, "rb", buffering=0), mode="r")


def _daft() -> Any:
    os.environ.update(QUIET)
    try:
        import daft
    except ImportError as error:
        raise UsageError("--engine daft: Daft is not installed", todo="pip install 'vlmt[daft]'") from error
    return daft


@cache
def _engine(ray: str | None, threads: int | None) -> tuple[Any, int]:
    """Start Daft, which can be done once in a process, and return it with the cluster's cores."""
    daft = _daft()
    if ray is None:
        with _explained("Daft"):
            daft.set_runner_native(threads)
        return daft, 1
    try:
        import ray as cluster
    except ImportError as error:
        raise UsageError("--ray: Ray is not installed", todo="pip install 'vlmt[daft]'") from error
    with _explained("Ray"):
        cluster.init(ray, runtime_env={"env_vars": QUIET}, log_to_driver=False, logging_level="ERROR")
        daft.set_runner_ray(noop_if_initialized=True)
        return daft, max(1, int(cluster.cluster_resources().get("CPU", 1)))


def _scanned(work: Work, unit: Source) -> bytes:
    """Scan a unit; what is wrong with it travels as well, as an engine makes something else of an exception."""
    try:
        return _SCANNED + packed(work.scan(unit))
    except VlmtError as error:
        where = None if error.where is None else str(error.where)
        return _FAILED + json.dumps([type(error).__name__, error.what, where, error.todo]).encode()


def _opened(answer: bytes) -> Scanned:
    if answer[:1] == _SCANNED:
        return unpacked(answer[1:])
    kind, what, where, todo = json.loads(answer[1:])
    raise getattr(errors, kind)(what, where=where, todo=todo)


@contextmanager
def _explained(engine: str) -> Iterator[None]:
    """Turn what an engine raises into an error of one line."""
    try:
        yield
    except VlmtError:
        raise
    except Exception as error:
        todo = "run it again: it goes on with what is complete"
        raise VlmtError(f"{engine} failed ({printable(error, 200)})", todo=todo) from error
