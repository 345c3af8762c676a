"""Example tables: what every reader makes of its official files.

One schema a task group. ``example_id`` is unique in a dataset and split;
``images`` holds image keys; ``text`` is what the model reads. Boxes are
``[x1, y1, x2, y2]`` in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.identity import LINKS

_COMMON = [("example_id", pa.string()), ("images", pa.list_(pa.string())), ("text", pa.string())]
BOX = pa.list_(pa.float32(), 4)

Xywh = tuple[float, float, float, float]
"""A box as most official files have it: x, y, width, height in pixels."""

SCHEMAS = {
    # Distinct normalised answers and how many of ten annotators gave each; empty where the answer is secret.
    "vqa": pa.schema([*_COMMON, ("answers", pa.list_(pa.string())), ("counts", pa.list_(pa.int8()))]),
    "retrieval": pa.schema(_COMMON),
    # The right one of the candidates is candidates[target]; its box is repeated in box.
    "referring": pa.schema(
        [*_COMMON, ("box", BOX), ("candidates", pa.list_(BOX)), ("target", pa.int32()), ("category", pa.string())]
    ),
    # The label's place in the dataset's LABELS, -1 where there is none; the premise is SNLI-VE's caption.
    "verification": pa.schema([*_COMMON, ("label", pa.int8()), ("premise", pa.string())]),
}


@dataclass
class Examples:
    """All that one dataset's official files hold.

    Attributes:
        splits: an example table a split: ``train``, ``val``, ``test``, ``testA``, ...
        links: identity links that these files give (see ``base.identity``).
        answers: the answer vocabulary, in label order, where this dataset defines one.
        notes: what was odd, and how often: ``{"gold label '-'": 12}``.
    """

    splits: dict[str, pa.Table] = field(default_factory=dict)
    links: pa.Table = field(default_factory=LINKS.empty_table)
    answers: list[str] | None = None
    notes: dict[str, int] = field(default_factory=dict)


def example_table(group: str, where: object, **columns: Any) -> pa.Table:
    """Put columns into the schema of a task group.

    Args:
        group: a key of ``SCHEMAS``.
        where: the official file, for the error.
        columns: one value, array or list a field, N each; ``images`` may be N single keys.

    Raises:
        DataError: an example id occurs twice.
    """
    schema = SCHEMAS[group]
    images = columns["images"]
    if isinstance(images, pa.Array) and pa.types.is_string(images.type):
        columns["images"] = pa.ListArray.from_arrays(np.arange(len(images) + 1, dtype=np.int32), images)
    arrays = [pa.array(columns[name], type_) if not isinstance(columns[name], pa.Array) else columns[name].cast(type_)
              for name, type_ in zip(schema.names, schema.types, strict=True)]  # fmt: skip
    table = pa.Table.from_arrays(arrays, schema=schema)
    check_unique(table["example_id"], where)
    return table


def check_unique(ids: pa.ChunkedArray | pa.Array, where: object) -> None:
    """Raise a DataError that names the first id that occurs twice."""
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    twice = next(entry["values"] for entry in pc.value_counts(ids).to_pylist() if entry["counts"] > 1)
    records = [i for i, value in enumerate(ids.to_pylist()) if value == twice][:2]
    raise DataError(
        f"id {twice!r} occurs twice (records {records[0]} and {records[1]})",
        where=where,
        todo="remove one of them, or download the official file again",
    )


def boxes_xyxy(xywh: Sequence[Sequence[float]] | NDArray[np.float32]) -> pa.Array:
    """Turn N boxes ``[x, y, width, height]`` into N boxes ``[x1, y1, x2, y2]``, all in pixels."""
    boxes = np.asarray(xywh, dtype=np.float32).reshape(-1, 4).copy()
    boxes[:, 2:] += boxes[:, :2]
    return pa.FixedSizeListArray.from_arrays(pa.array(boxes.ravel()), 4)


def lists(lengths: Sequence[int] | NDArray[Any], values: pa.Array) -> pa.ListArray:
    """Cut ``values`` into N lists of the given lengths, in order."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    assert offsets[-1] == len(values), "lengths do not add up to the values"
    return pa.ListArray.from_arrays(offsets, values)
