"""Writing a file again without some of its bytes; a packed file stays packed, and its content counts."""

import gzip
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from vlmt_cli.base.files import atomic
from vlmt_cli.base.opening import open_file
from vlmt_cli.base.packed import open_packed

PACKED = (".gz", ".tgz")
_CHUNK = 1 << 20


def write_ranges(path: Path, ranges: Iterable[tuple[int, int]], to: Path, end: bytes = b"") -> None:
    """Copy ranges of an unpacked file's bytes, in ascending order, and then ``end``; whole or not at all."""
    if path.suffix not in PACKED and hasattr(os, "sendfile"):
        with open_file(path) as file, atomic(to) as temporary, open(temporary, "wb") as copy:
            to_file, from_file = copy.fileno(), file.fileno()
            for start, stop in ranges:
                while start < stop:
                    sent = os.sendfile(to_file, from_file, start, stop - start)
                    assert sent, "the file became shorter while it was read"
                    start += sent
            copy.write(end)
        return
    with open_packed(path) as file, _packing(to, path.suffix in PACKED) as copy:
        at = 0
        for start, stop in ranges:
            if path.suffix not in PACKED:
                at = file.seek(start)
            for is_kept, goal in ((False, start), (True, stop)):
                while at < goal:
                    chunk = file.read(min(_CHUNK, goal - at))
                    assert chunk, "the file became shorter while it was read"
                    at += len(chunk)
                    if is_kept:
                        copy.write(chunk)
        copy.write(end)


def merged(bounds: NDArray[np.int64] | Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges that touch each other, N x 2."""
    bounds = np.asarray(bounds, np.int64).reshape(-1, 2)
    if not len(bounds):
        return []
    is_new = np.concatenate([[True], bounds[1:, 0] != bounds[:-1, 1]])
    return list(zip(bounds[is_new, 0].tolist(), bounds[np.roll(is_new, -1), 1].tolist(), strict=True))


def size_of(path: Path) -> int:
    """Return how many bytes a file unpacks to."""
    if path.suffix not in PACKED:
        return path.stat().st_size
    size = 0
    with open_packed(path) as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
    return size


@contextmanager
def _packing(to: Path, is_packed: bool) -> Iterator[BinaryIO]:
    with atomic(to) as temporary, open(temporary, "wb") as plain:
        if not is_packed:
            yield plain
            return
        with gzip.GzipFile("", "wb", 6, plain, mtime=0) as packed:  # equal content is packed into equal bytes
            yield cast(BinaryIO, packed)
