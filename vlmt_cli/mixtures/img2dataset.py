"""What img2dataset leaves: shards of webdataset, and beside each a table of everything that was tried.

    00001.tar            000010005.jpg, 000010005.txt, 000010005.json of each image that could be downloaded
    00001.parquet        the columns given to it, and key, status, error_message, width, height, ..., sha256
    00001_stats.json     {"count": 10000, "successes": 9120, "failed_to_download": 871, "status_dict": {...}, ...}

The records are those of the tar file: nobody trains on what could not be downloaded. ``sha256`` is that of the file as
it was downloaded, before it was resized. All three are written, next to each other; the rows of failed downloads stay.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import write_text
from vlmt_cli.base.words import printable
from vlmt_cli.mixtures import parquet, webdataset
from vlmt_cli.mixtures.batch import Batch, Form, Kept, Source, Wanted

_COLUMNS = {"key", "status"}


def is_form(path: Path, head: bytes) -> bool:
    """Whether a file is a tar file with img2dataset's table beside it."""
    if not webdataset.is_form(path, head):
        return False
    if not _table(path).is_file():
        return False
    try:
        return set(pq.read_schema(_table(path)).names) >= _COLUMNS
    except (OSError, pa.ArrowException):
        return False


def companions(path: Path) -> list[Path]:
    """Return the files that belong to a shard and are not a mixture of their own."""
    return [file for file in (_table(path), _stats(path)) if file.exists()]


def read(source: Source, wanted: Wanted) -> Iterator[Batch]:
    """Read the records of a shard's tar file; its JSON members say what the table does."""
    return webdataset.read(source, wanted)


def write(source: Source, kept: Kept, to: Path) -> None:
    """Write a shard again without the records that are not kept: table and counts first, the tar file last."""
    table = _table(source.path)
    names = [key.rpartition("/")[2] for key in webdataset.keys(source.path)]
    dropped = [name for name, stays in zip(names, kept.records, strict=True) if not stays]
    with parquet.intact(table, 0):
        listed = pq.read_table(table, columns=["key"])["key"].cast(pa.string())
    stays = pc.invert(pc.is_in(listed, pa.array(dropped, pa.string()))).to_numpy()
    stats = _less(_stats(source.path), len(dropped)) if _stats(source.path).is_file() else None
    parquet.write(Source(table, "parquet"), Kept(np.asarray(stays, bool)), _table(to))
    if stats is not None:
        write_text(_stats(to), json.dumps(stats, indent=4))
    webdataset.write(source, kept, to)


def _less(path: Path, dropped: int) -> dict[str, Any]:
    """Return a shard's counts after some of its images were dropped."""
    try:
        stats = json.loads(path.read_bytes())
        if not isinstance(stats, dict):
            raise ValueError("it is not an object")
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON ({printable(error)})", where=path, todo="remove it, or get it again") from error
    by_status = stats["status_dict"] if isinstance(stats.get("status_dict"), dict) else {}
    for counts, name in ((stats, "count"), (stats, "successes"), (by_status, "success")):
        if isinstance(counts.get(name), int):
            counts[name] -= dropped
    return stats


def _table(path: Path) -> Path:
    return path.with_suffix(".parquet")


def _stats(path: Path) -> Path:
    return path.with_name(f"{path.stem}_stats.json")


IMG2DATASET = Form("img2dataset", is_form, read, write, companions=companions)
