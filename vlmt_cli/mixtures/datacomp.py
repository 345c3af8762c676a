"""Subsets of DataComp: the uids of the samples that stay, as its tools read them."""

import binascii
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.files import atomic
from vlmt_cli.mixtures.batch import Source
from vlmt_cli.mixtures.parquet import intact, opened

SUBSET = "subset.npy"
"""Written beside the tables of a mixture that are DataComp's metadata."""
_COLUMNS = {"uid", "url", "text"}


def uids_of(source: Source) -> NDArray[np.uint64] | None:
    """Return the upper and lower half of each uid in a Parquet file, N x 2; None where it is not DataComp's metadata.

    A uid is a string of 32 hexadecimal digits.

    Raises:
        DataError: it is damaged.
    """
    with opened(source) as file, intact(source.name, 0):
        if not set(file.schema_arrow.names) >= _COLUMNS:
            return None
        parts = [np.empty((0, 2), np.uint64)]
        for batch in file.iter_batches(columns=["uid"]):
            halves = _halves(batch.column(0))
            if halves is None:
                return None
            parts.append(halves)
    return np.concatenate(parts)


def write_subset(uids: Sequence[NDArray[np.uint64]], to: Path) -> None:
    """Write a subset file: a sorted ``.npy`` of dtype ``u8,u8``, the two halves of each uid; whole or not at all."""
    high, low = np.concatenate([np.empty((0, 2), np.uint64), *uids]).T
    order = np.lexsort((low, high))
    subset = np.empty(len(order), np.dtype("u8,u8"))
    subset["f0"], subset["f1"] = high[order], low[order]
    with atomic(to) as temporary, open(temporary, "wb") as file:
        np.save(file, subset)


def _halves(uids: pa.Array) -> NDArray[np.uint64] | None:
    """Return the upper and lower half of N uids, N x 2; None where one is something else."""
    try:
        uids = uids.cast(pa.string())
    except pa.ArrowException:
        return None
    is_uid = pc.match_substring_regex(uids, r"^[0-9a-fA-F]{32}\z").fill_null(False)
    if not pc.all(is_uid, min_count=0).as_py():
        return None
    if not len(uids):
        return np.empty((0, 2), np.uint64)
    begin = np.frombuffer(uids.buffers()[1], np.int32)[uids.offset]
    digits = memoryview(uids.buffers()[2])[begin : begin + 32 * len(uids)]
    return np.frombuffer(binascii.unhexlify(digits), ">u8").astype(np.uint64).reshape(-1, 2)
