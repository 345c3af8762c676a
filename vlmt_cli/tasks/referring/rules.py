"""What is right in referring expressions: the region that overlaps the right box, or the right one of the candidates.

Shapes: B batch, O options (regions, or candidates), V regions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.boxes import iou_of_arrays
from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.table import AMONG_CANDIDATES
from vlmt_cli.tasks import scoring
from vlmt_cli.tasks.examples import Columns, Examples, Lists, Part
from vlmt_cli.tasks.probabilities import softmax
from vlmt_cli.tasks.scoring import Column, Judged, ScoreColumn, check_lengths, one_array

if TYPE_CHECKING:
    from vlmt_cli.tasks.groups import BoxesOf

COLUMNS = ("box", "candidates", "target")
CHANCE = "random box"
PREDICTS = "boxes"
IOU = 0.5
GIVEN = "given boxes"
"""The protocol where ground-truth boxes are among the regions of a test, as with a grid."""
_NONE = np.empty((0, 4), np.float32)


def known(task: str, table: pa.Table) -> NDArray[np.bool_]:
    """Say which of N examples have a right box, and a right candidate where candidates are chosen among."""
    has_box = scoring.mask(pc.is_valid(table["box"]))
    if task not in AMONG_CANDIDATES:
        return has_box
    target: NDArray[np.int64] = table["target"].fill_null(-1).to_numpy()
    return has_box & (target >= 0)


def columns(part: Part) -> tuple[Columns, NDArray[np.bool_]]:
    """Return N right boxes, (N, 4), each example's candidates and which of them is right; and which can be trained on.

    ``given`` says whose candidates are shown although they are not chosen among, (N,).
    """
    candidates = part.table["candidates"].combine_chunks()
    offsets = candidates.offsets.to_numpy().astype(np.int64)
    flat = candidates.flatten().flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
    is_boxed = np.isin(part.names.astype(str), list(part.boxed)) if len(part.boxed) else np.zeros(len(part.names), bool)
    made = {
        "box": _corners(part.table["box"]),
        "candidates": Lists(flat, offsets - offsets[0]),
        "right": part.table["target"].fill_null(-1).to_numpy().astype(np.int64),
        "given": is_boxed[part.codes],
    }
    return made, known(part.task, part.table)


def _corners(boxes: pa.ChunkedArray) -> NDArray[np.float32]:
    """Return N boxes, (N, 4); not a number where there is none."""
    corners = np.full((len(boxes), 4), np.nan, np.float32)
    corners[scoring.mask(pc.is_valid(boxes))] = boxes.combine_chunks().flatten().to_numpy(False).reshape(-1, 4)
    return corners


def decode(
    options: NDArray[np.float32], given: Mapping[str, NDArray[Any]], labels: Sequence[str]
) -> dict[str, list[Any]]:
    """Return each text's best box in pixels, its probability among the options, and its IoU with the right one.

    Of given candidates also ``choice``, the best one's index among them.

    Args:
        options: the scores of what may be chosen, (B, O).
        given: ``pixels``, the boxes of all regions (B, V, 4); ``ious``, each option's with the right box (B, O); of
            candidates ``rows``, where they are among the regions (B, O).
        labels: none.
    """
    best = options.argmax(1)
    each = np.arange(len(best))
    rows = given["rows"][each, best] if "rows" in given else best
    return {
        **({"choice": best.tolist()} if "rows" in given else {}),
        "box": given["pixels"][each, rows].tolist(),
        "confidence": softmax(options)[each, best].tolist(),
        "iou": given["ious"][each, best].tolist(),
    }


def judge(task: str, split: str, table: pa.Table, predicted: Mapping[str, Any], protocol: str = "") -> Judged:
    """Score boxes by IoU > 0.5 with the right one, or chosen candidates by being it."""
    part = scoring.asked(table, predicted, known(task, table))
    overlap = np.full(len(table), np.nan)
    overlap[part.counted] = iou(part.predicted["box"], part.truth["box"])
    part.columns["iou"] = pa.array(overlap, pa.float32(), from_pandas=True)
    if task in AMONG_CANDIDATES:
        scores = scoring.accuracy(part.predicted["choice"], part.truth["target"])
    else:
        scores = localised(part.predicted["box"], part.truth["box"])
    return replace(scoring.judged(split, table, part, scores), protocol=protocol)


def chance(train: Examples, test: Examples, boxes_of: "BoxesOf") -> float:
    """Return how often a random candidate is the right one, or a random region overlaps it by IoU > 0.5."""
    if test.task in AMONG_CANDIDATES:
        sizes = np.diff(test.columns["candidates"].offsets)
        return float((1 / sizes[sizes > 0]).mean())
    rows = np.flatnonzero(~np.isnan(test.columns["box"][:, 0]))
    total = 0.0
    for row, image in zip(rows, test.images(rows), strict=True):
        shown = test.columns["candidates"].take(np.array([row]))[0] if test.columns["given"][row] else _NONE
        ious = iou_of_arrays(np.concatenate([boxes_of(image), shown]), test.columns["box"][row : row + 1])
        total += float((ious > IOU).mean())
    return total / len(rows)


def iou(a_N4: Column, b_N4: Column, plus_one: bool = False) -> ScoreColumn:
    """Return the intersection over union of N boxes and N others, ``[x1, y1, x2, y2]`` in pixels.

    Equal boxes overlap wholly even where they have no area.

    Args:
        a_N4, b_N4: arrays, or columns of an example table.
        plus_one: whether a box is x2 - x1 + 1 wide, as in the authors' code.

    Raises:
        DataError: a box is missing or no number, or the columns differ in length.
    """
    a, b = _boxes(a_N4), _boxes(b_N4)
    check_lengths(boxes=a, others=b)
    extra = 1.0 if plus_one else 0.0

    def area(corners: NDArray[np.float64]) -> ScoreColumn:
        sides: ScoreColumn = (corners[:, 2:] - corners[:, :2] + extra).clip(0).prod(1)
        return sides

    shared = area(np.hstack([np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])]))
    union = area(a) + area(b) - shared
    return np.where((a == b).all(1), 1.0, np.minimum(shared / np.where(union > 0, union, 1.0), 1.0))


def localised(predicted_N4: Column, right_N4: Column, plus_one: bool = False) -> ScoreColumn:
    """Return whether each of N boxes overlaps the right one by IoU > 0.5; arguments and errors are ``iou``'s."""
    return (iou(predicted_N4, right_N4, plus_one) > IOU).astype(np.float64)


def _boxes(column: Column) -> NDArray[np.float64]:
    if isinstance(column, pa.Array | pa.ChunkedArray):
        array = one_array(column)
        if array.null_count:
            raise DataError(
                f"{array.null_count:,} of {len(array):,} examples have no box", todo="score the others only"
            )
        column = array.flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
    boxes: NDArray[np.float64] = np.asarray(column, np.float64).reshape(-1, 4)
    if not np.isfinite(boxes).all():
        row = int(np.flatnonzero(~np.isfinite(boxes).all(1))[0])
        raise DataError(f"box {row} is {boxes[row].tolist()}, which is not a box")
    return boxes
