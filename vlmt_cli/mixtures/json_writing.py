"""Writing records in JSON again without some of them; the others, and the space around them, stay byte for byte."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlmt_cli.mixtures.batch import Kept, Source
from vlmt_cli.mixtures.byte_ranges import merged, size_of, write_ranges
from vlmt_cli.mixtures.json_records import windows
from vlmt_cli.mixtures.json_values import Spans


def write(source: Source, kept: Kept, to: Path) -> None:
    """Write a file again without the records that are not kept.

    Raises:
        DataError: an array is damaged.
    """
    first = next(windows(source.path), None)
    spans = kept.spans
    if spans is None:
        parts = [window.spans for window in windows(source.path)]
        spans = np.concatenate(parts) if parts else np.empty((0, 2), np.int64)
    assert len(kept.records) == len(spans)
    ranges = ranges_of(spans, kept.records, size_of(source.path), first is None or not first.is_array)
    write_ranges(source.path, merged(ranges), to)


def ranges_of(spans: Spans, kept: NDArray[np.bool_], size: int, are_lines: bool) -> Spans:
    """Return which bytes stay, M x 2: what stands before and after all records, and each kept one's.

    A record takes the separator behind it along; in an array the last kept record leaves it.
    """
    if not len(spans):
        return np.array([[0, size]], np.int64)
    ends = np.append(spans[1:, 0], size if are_lines else spans[-1, 1])
    ranges = np.column_stack([spans[:, 0], ends])[kept]
    if not are_lines and len(ranges):
        ranges[-1, 1] = spans[np.flatnonzero(kept)[-1], 1]
    head = np.array([[0, spans[0, 0]]], np.int64)
    tail = np.empty((0, 2), np.int64) if are_lines else np.array([[spans[-1, 1], size]], np.int64)
    return np.concatenate([head, ranges, tail])
