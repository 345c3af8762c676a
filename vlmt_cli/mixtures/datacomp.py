"""Subsets of DataComp: the uids of the samples that stay, as its tools read them."""

import binascii
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import atomic
from vlmt_cli.base.words import quoted


def datacomp_subset(uids: Iterable[pa.Array], to: Path) -> int:
    """Write a subset file: a sorted ``.npy`` of dtype ``u8,u8``, the two halves of each uid.

    Args:
        uids: batches of strings of 32 hexadecimal digits.
        to: the file, written whole or not at all.

    Returns:
        How many uids were written.

    Raises:
        DataError: a uid is something else; nothing is written.
    """
    halves, first = [], 0
    for batch in uids:
        halves.append(_halves(batch, first))
        first += len(batch)
    high, low = np.concatenate([np.empty((0, 2), "u8"), *halves]).T
    order = np.lexsort((low, high))
    subset = np.empty(len(order), np.dtype("u8,u8"))
    subset["f0"], subset["f1"] = high[order], low[order]
    with atomic(to) as temporary, open(temporary, "wb") as file:
        np.save(file, subset)
    return len(subset)


def _halves(uids: pa.Array, first: int) -> NDArray[np.uint64]:
    """Return the upper and lower half of N uids, N x 2."""
    uids = uids.cast(pa.string())
    right = pc.match_substring_regex(uids, r"^[0-9a-fA-F]{32}\z").fill_null(False)
    if not pc.all(right, min_count=0).as_py():
        bad = right.index(False).as_py()
        todo = "take the uid column of DataComp's metadata"
        raise DataError(f"{quoted(uids[bad])} is not a uid", where=f"record {first + bad}", todo=todo)
    if not len(uids):
        return np.empty((0, 2), "u8")
    begin = np.frombuffer(uids.buffers()[1], np.int32)[uids.offset]
    digits = memoryview(uids.buffers()[2])[begin : begin + 32 * len(uids)]
    return np.frombuffer(binascii.unhexlify(digits), ">u8").astype("u8").reshape(-1, 2)
