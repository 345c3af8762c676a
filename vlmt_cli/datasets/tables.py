"""Example tables: what every reader makes of its official files.

One schema a task group. ``example_id`` is unique in a dataset and split;
``images`` holds image keys; ``text`` is what the model reads. Boxes are
``[x1, y1, x2, y2]`` in pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from vlmt_cli.base.boxes import sound_boxes
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.identity import LINKS
from vlmt_cli.base.keys import check_image_key
from vlmt_cli.base.words import printable, quoted

_COMMON: list[Any] = [("example_id", pa.string()), ("images", pa.list_(pa.string())), ("text", pa.string())]
BOX = pa.list_(pa.float32(), 4)
DROPPED = "boxes dropped: not finite, empty, inverted or outside the image"
CLIPPED = "boxes clipped to the image"
TARGET_DROPPED = "examples whose own box was dropped: neither trained on nor scored, and their images still count"
"""What readers note of boxes that are impossible (``base.boxes``)."""

Xywh = tuple[float, float, float, float]
"""A box as most official files have it: x, y, width, height in pixels."""

# Distinct normalised answers and how many of ten annotators gave each; empty where the answer is secret. Where all of
# VQA's annotators typed the same, ``unanimous`` has it as typed, as the official evaluation does not normalise it.
VQA = pa.schema(
    [*_COMMON, ("answers", pa.list_(pa.string())), ("counts", pa.list_(pa.int8())), ("unanimous", pa.string())]
)
RETRIEVAL = pa.schema(_COMMON)
# The right one of the candidates is candidates[target]; its box is repeated in box.
REFERRING = pa.schema(
    [*_COMMON, ("box", BOX), ("candidates", pa.list_(BOX)), ("target", pa.int32()), ("category", pa.string())]
)
# The label's index in the dataset's LABELS, -1 where it is unknown; the premise is SNLI-VE's caption.
VERIFICATION = pa.schema([*_COMMON, ("label", pa.int8()), ("premise", pa.string())])

_NULLABLE = {"unanimous"}
_NEVER_NULL = [name for name in VQA.names if name not in _NULLABLE]
_TYPES = {field.name: field.type for schema in (VQA, REFERRING, VERIFICATION) for field in schema}


def check_columns(table: pa.Table, path: Path) -> None:
    """Raise a DataError when a column of an example table holds something else than its schema says."""
    todo = f"delete {path.parent} and run vlmt clean again"
    for column in table.schema:
        expected = _TYPES.get(column.name, column.type)
        if column.type != expected or pa.types.is_null(column.type):
            what = f"is damaged (the column {quoted(column.name)} is {printable(column.type)})"
            raise DataError(what, where=path, todo=todo)
        if column.name in _NEVER_NULL and table[column.name].null_count:
            raise DataError(f"is damaged (the column {column.name} has empty cells)", where=path, todo=todo)


@dataclass
class Examples:
    """All that one dataset's official files hold.

    Attributes:
        splits: an example table a split: ``train``, ``val``, ``test``, ``testA``, ...
        links: identity links that these files give (see ``base.identity``).
        answers: the answer vocabulary, in label order, where this dataset defines one.
        notes: what was odd, and how often: ``{"gold label '-'": 12}``.
        test_images: the keys of all images that the files list for a test split, by its name, where examples may not
            show each of them: a test image is one whatever is said of it.
    """

    splits: dict[str, pa.Table] = field(default_factory=dict)
    links: pa.Table = field(default_factory=LINKS.empty_table)
    answers: list[str] | None = None
    notes: dict[str, int] = field(default_factory=dict)
    test_images: dict[str, pa.Array] = field(default_factory=dict)

    def images_alone(self) -> dict[str, pa.Array]:
        """Return the distinct keys of each test split's images that none of its examples shows, where there are any."""
        alone: dict[str, pa.Array] = {}
        for split, keys in self.test_images.items():
            keys = keys.unique()
            if split in self.splits:
                shown = pc.list_flatten(self.splits[split]["images"].combine_chunks())
                keys = keys.filter(pc.invert(pc.is_in(keys, value_set=shown)))
            alone |= {split: keys} if len(keys) else {}
        return alone


@dataclass(frozen=True)
class Submission:
    """The official form of a file of answers.

    Attributes:
        suffix: of the file.
        encode: turns N example ids, their N answers and the path, for errors, into the file's bytes. It raises a
            DataError for an id that is not one of the dataset's, or an answer that is not one of its labels.
    """

    suffix: str
    encode: Callable[[list[str], pa.Array, Path], bytes]


def example_rows(schema: pa.Schema, where: object, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Make an example table of one dict an example: simple, and fast enough for up to some hundred thousand.

    Args:
        schema: as ``example_table``.
        where: the official file, for the error.
        rows: N dicts; fields of the schema that they lack are null.

    Raises:
        DataError: an example id occurs twice, or an image key names no image.
    """
    checked: set[str] = set()
    for number, row in enumerate(rows):
        for key in row["images"]:
            if key not in checked:
                checked.add(check_image_key(key, f"{where}: record {number}"))
    table = pa.Table.from_pylist(list(rows), schema=schema)
    check_unique(table["example_id"], where)
    return table


def check_labels(labels: pa.Array, known: Sequence[str], where: object) -> None:
    """Raise a DataError that names the first label that is not a known one."""
    wrong = labels.filter(pc.invert(pc.is_in(labels, value_set=pa.array(known))))
    if len(wrong):
        raise DataError(f"{quoted(wrong[0])} is not a label", where=where, todo=f"write {', '.join(known)}")


def example_table(schema: pa.Schema, where: object, **columns: Any) -> pa.Table:
    """Put columns into the schema of example tables.

    Args:
        schema: a task group's above, or a new one that begins with the same three columns.
        where: the official file, for the error.
        columns: one value, array or list a field, N each; ``images`` may be N single keys, and ``unanimous`` left out.

    Raises:
        DataError: an example id occurs twice.
    """
    images = columns["images"]
    if isinstance(images, pa.Array) and pa.types.is_string(images.type):
        columns["images"] = pa.ListArray.from_arrays(np.arange(len(images) + 1, dtype=np.int32), images)
    if missing := _NULLABLE & set(schema.names) - columns.keys():
        columns |= {name: pa.nulls(len(columns["images"]), schema.field(name).type) for name in missing}
    arrays = [pa.array(columns[name], type_) if not isinstance(columns[name], pa.Array) else columns[name].cast(type_)
              for name, type_ in zip(schema.names, schema.types, strict=True)]  # fmt: skip
    table = pa.Table.from_arrays(arrays, schema=schema)
    check_unique(table["example_id"], where)
    return table


def check_unique(ids: pa.ChunkedArray | pa.Array, where: object) -> None:
    """Raise a DataError that names the first id that occurs twice."""
    if _are_distinct_numbers(ids) or len(ids.unique()) == len(ids):
        return
    twice = next(entry["values"] for entry in pc.value_counts(ids).to_pylist() if entry["counts"] > 1)
    records = [i for i, value in enumerate(ids.to_pylist()) if value == twice][:2]
    raise DataError(
        f"id {twice if isinstance(twice, int) else quoted(twice)} occurs twice (records {records[0]} and {records[1]})",
        where=where,
        todo="remove one of them, or download the official file again",
    )


def _are_distinct_numbers(ids: pa.ChunkedArray | pa.Array) -> bool:
    """Whether ids are numbers, or written as such, and no two are equal: sorting numbers is ten times as fast."""
    try:
        numbers = np.sort(ids.cast(pa.int64()).to_numpy())
    except (pa.ArrowException, ValueError):
        return False
    return ids.null_count == 0 and bool((numbers[1:] != numbers[:-1]).all())


def corners_of(xywh: Sequence[Sequence[float]] | NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn N boxes ``[x, y, width, height]`` into (N, 4) corners ``[x1, y1, x2, y2]``; too large is infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        boxes = np.fromiter(chain.from_iterable(xywh), np.float64, 4 * len(xywh)).astype(np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
    return boxes


def box_array(corners: NDArray[np.float32]) -> pa.Array:
    """Turn (N, 4) corners into N boxes."""
    return pa.FixedSizeListArray.from_arrays(pa.array(corners.ravel()), 4)


def target_columns(
    boxes: pa.Array, meant: NDArray[np.int64], positions: NDArray[np.int64], is_sound: NDArray[np.bool_]
) -> dict[str, pa.Array]:
    """Make the columns ``box`` and ``target`` of N examples; both are null where the box was dropped.

    Args:
        boxes: all of the file.
        meant: the row among them of each example's right box, (N,).
        positions: where that is among the example's candidates, (N,).
        is_sound: which examples' right boxes stay, (N,).
    """
    return {
        "box": boxes.take(pa.array(meant, mask=~is_sound)),
        "target": pa.array(positions, pa.int32(), mask=~is_sound),
    }


def sound_corners(
    corners: NDArray[np.float32], notes: dict[str, int], width: ArrayLike = np.inf, height: ArrayLike = np.inf
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Apply ``base.boxes``' rule to the boxes of a file, and note how many it changes.

    Args:
        corners: (N, 4).
        notes: where they are counted.
        width, height: of the images, one number or N; what is not above zero is not known.

    Returns:
        The corners, clipped, and which of them stay, (N,).
    """
    sides = [np.where(np.greater(side, 0), side, np.inf) for side in (width, height)]
    boxes, is_sound, is_clipped = sound_boxes(corners, *sides)
    note(notes, DROPPED, int((~is_sound).sum()))
    note(notes, CLIPPED, int(is_clipped.sum()))
    return boxes.astype(np.float32), is_sound


def note(notes: dict[str, int], what: str, number: int) -> None:
    """Count something odd; nothing where there is none of it."""
    if number:
        notes[what] = notes.get(what, 0) + number


def lists(lengths: Sequence[int] | NDArray[Any], values: pa.Array) -> pa.ListArray:
    """Cut ``values`` into N lists of the given lengths, in order."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    assert offsets[-1] == len(values), "lengths do not add up to the values"
    return pa.ListArray.from_arrays(offsets, values)
