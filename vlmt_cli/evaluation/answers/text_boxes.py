"""Boxes in what a model says, and the convention that they are in.

[x1, y1, x2, y2] of numbers from 0 to 1, 0 to 100 or 0 to 1000, or of pixels; {"bbox_2d": [135, 114, 1016, 672]};
<box>(102, 31), (344, 988)</box>; <loc0123><loc0045><loc0678><loc0999>, which is y1, x1, y2, x2 of 1024

A convention is a unit and an order: ``0-1000:xyxy``. Where it is to be told from the data, it is that under which the
boxes are likeliest: few leave the image or end before they begin, and together they reach over all of it. What is right
plays no part in it.
"""

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.words import count, listed, quoted

Unit = Literal["pixels", "0-1", "0-100", "0-1000", "loc1024"]
UNITS: dict[str, float | None] = {"pixels": None, "0-1": 1.0, "0-100": 100.0, "0-1000": 1000.0, "loc1024": 1024.0}
"""The largest number of a side; of pixels it is the image's own."""
ORDERS = ("xyxy", "xywh", "yxyx")
AUTO = "auto"

_NUMBER = r"([-+]?[0-9]{1,9}(?:\.[0-9]{0,20})?|[-+]?\.[0-9]{1,20})"
_BETWEEN = r"[\s,;()\[\]<>]{1,8}"
_FOUR = re.compile(
    rf"(?:^|[\[\](){{}}<>,:=\s]){_NUMBER}{_BETWEEN}{_NUMBER}{_BETWEEN}{_NUMBER}{_BETWEEN}{_NUMBER}(?![0-9A-Za-z.])"
)
_LOC = re.compile(r"<loc([0-9]{4})>\s*<loc([0-9]{4})>\s*<loc([0-9]{4})>\s*<loc([0-9]{4})>")
_LONGEST = 20_000
_TOLERANCE = 0.02
"""Of the image's side, by which a box may leave it."""
_NOISE = 0.02
"""What share of boxes may be anything."""
_FARTHEST = 2e3
"""How large numbers of such boxes are."""
_MARGIN = 15.0
"""By how much the logarithm of one unit's likelihood must exceed another's to be taken."""
_CLEARLY = 0.25
"""The same for each box, where another unit was stated: loc1024 is not clearly told from 0 to 1000."""


@dataclass(frozen=True)
class Read:
    """N boxes as they were read.

    Attributes:
        corners: (N, 4) x1, y1, x2, y2 in pixels, or in shares of the image where ``shares``; NaN where there is none.
        convention: ``0-1000:xyxy``.
        decided: whether it was told from the data.
        without: answers without a box.
        against: boxes that contradict the convention.
        shares: whether corners are shares of the image's sides.
        rather: the unit that the boxes would be told to be, where another was stated and contradicts them; else empty.
        within: how many boxes lie within that.
    """

    corners: NDArray[np.float64]
    convention: str
    decided: bool
    without: int
    against: int
    shares: bool
    rather: str = ""
    within: int = 0


def parse_convention(text: str) -> tuple[str, str | None]:
    """Return unit and order of ``0-1000:xywh``; the unit may be ``auto``, the order left out.

    Raises:
        UsageError: there is no such unit or order.
    """
    unit, _, order = text.partition(":")
    if unit not in (*UNITS, AUTO) or (order and order not in ORDERS):
        todo = f"take {listed([*UNITS, AUTO])}, followed by the order of boxes: :{', :'.join(ORDERS)}"
        raise UsageError(f"there is no convention {quoted(text)} of boxes", todo=todo)
    return unit, order or None


def boxes_in(answers: pa.Array) -> tuple[NDArray[np.float64], bool]:
    """Return the first four numbers that stand together in each of N answers, (N, 4), and whether they are ``<loc>``s.

    Each distinct answer is read once; NaN where there are none.
    """
    encoded = answers.dictionary_encode()
    is_loc = False
    boxes = np.full((len(encoded.dictionary) + 1, 4), np.nan)
    for number, text in enumerate(encoded.dictionary.to_pylist()):
        if match := _LOC.search(text, 0, _LONGEST):
            is_loc = True
        else:
            match = _FOUR.search(text, 0, _LONGEST)
        if match:
            boxes[number] = [float(each) for each in match.groups()]
    return boxes[encoded.indices.fill_null(len(encoded.dictionary)).to_numpy()], is_loc


def read_boxes(
    numbers: NDArray[np.float64],
    sizes: NDArray[np.float64] | None,
    convention: str,
    where: object,
    is_loc: bool = False,
) -> Read:
    """Read N boxes by a convention, or by that which the data show.

    Args:
        numbers: (N, 4) as they stand there; NaN for none.
        sizes: (N, 2) width and height of the images in pixels; None where they are not known.
        convention: as ``parse_convention`` takes it; ``auto`` to decide by the data.
        where: the file, for the error.
        is_loc: whether the numbers were ``<loc>``s.

    Raises:
        DataError: the data do not tell the convention.
    """
    unit, order = parse_convention(convention)
    known = np.asarray(np.isfinite(numbers).all(1))
    decided = unit == AUTO
    if decided:
        unit, order = (
            ("loc1024", order or "yxyx") if is_loc else _decide(numbers[known], _some(sizes, known), order, where)
        )
    order = order or ("yxyx" if unit == "loc1024" else "xyxy")
    of_sizes = _some(sizes, known)
    shares = of_sizes is None and unit != "pixels"
    if of_sizes is None:
        of_sizes = np.ones((int(known.sum()), 2)) if shares else np.full((int(known.sum()), 2), np.inf)
    corners = np.full(numbers.shape, np.nan)
    corners[known] = _corners(numbers[known], unit, order, of_sizes)
    against = int(_contradict(corners[known], of_sizes).sum())
    rather, within = ("", 0) if decided else _rather(numbers[known], _some(sizes, known), unit, order)
    return Read(corners, f"{unit}:{order}", decided, int((~known).sum()), against, shares, rather, within)


def in_words(read: Read, total: int) -> str:
    """Say by which convention boxes were read, and how many contradict it."""
    how = "Told from the boxes, they are" if read.decided else "Boxes are read as"
    against = count(read.against, "box contradicts it", "boxes contradict it")
    said = f"{how} {read.convention.replace(':', ', ')}; {against}"
    said += f", and {read.without:,} of {total:,} answers have no box and count as wrong." if read.without else "."
    if not read.rather:
        return said
    where = "in their images" if read.rather == "pixels" else f"within {read.rather.replace('-', ' to ')}"
    todo = f"if that is what they are, give --boxes {read.rather}"
    return f"Warning: {read.within:,} of {total - read.without:,} boxes lie {where}: {todo}. {said}"


def _some(sizes: NDArray[np.float64] | None, known: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    if sizes is None or not known.any() or not (np.isfinite(sizes[known]) & (sizes[known] > 0)).all():
        return None
    return sizes[known]


def _corners(numbers: NDArray[np.float64], unit: str, order: str, sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    boxes = numbers[:, [1, 0, 3, 2]] if order == "yxyx" else numbers
    most = UNITS[unit]
    with np.errstate(over="ignore"):
        if order == "xywh":
            boxes = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
        return boxes if most is None else boxes / most * np.tile(sizes, 2)


def _contradict(corners: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which boxes leave their image, or end before they begin."""
    beyond = (corners > np.tile(sizes, 2) * (1 + _TOLERANCE) + 1e-9).any(1) | (corners < -_TOLERANCE * np.tile(
        np.where(np.isfinite(sizes), sizes, 1), 2)).any(1)  # fmt: skip
    return np.asarray(beyond | (corners[:, 2:] < corners[:, :2]).any(1))


def _decide(
    numbers: NDArray[np.float64], sizes: NDArray[np.float64] | None, order: str | None, where: object
) -> tuple[str, str]:
    """Return the unit and order under which N boxes are likeliest.

    Under each, corners lie anywhere in the image, and ``_NOISE`` of the boxes anywhere at all. So a unit is unlikely
    where boxes leave the image, and where they fill only a part of it, as pixels do that are read as thousandths.
    """
    if not len(numbers):
        raise DataError("has no boxes", where=where, todo="look at its answers")
    spaces = _spaces(len(numbers), sizes)
    orders = {unit: order or _order(numbers, space) for unit, space in spaces.items()}
    likely = {unit: _likelihood(numbers, space, orders[unit]) for unit, space in spaces.items()}
    best = max(likely, key=lambda unit: likely[unit])
    if sizes is None and best != "0-1":
        # More than noise lies beyond 1000: these are pixels.
        if (numbers.max(1) > 1000 * (1 + _TOLERANCE)).mean() > _NOISE:
            return "pixels", order or _order(numbers, np.full((len(numbers), 2), np.inf))
        unit = best.replace("-", " to ")
        what = f"has boxes of pixels or of {unit}, which cannot be told apart without the images' sizes"
        raise DataError(what, where=where, todo=f"say it with --boxes pixels or --boxes {best}")
    close = [unit for unit, value in likely.items() if value > likely[best] - _MARGIN]
    if len(close) > 1:
        what = f"has boxes that may be {listed(close)}: {count(len(numbers), 'box does', 'boxes do')} not tell"
        raise DataError(what, where=where, todo=f"say it with --boxes {' or --boxes '.join(close)}")
    return best, orders[best]


def _rather(numbers: NDArray[np.float64], sizes: NDArray[np.float64] | None, unit: str, order: str) -> tuple[str, int]:
    """Return the unit that N boxes are likelier to be in than in the one that is stated, and how many lie within it."""
    if not len(numbers):
        return "", 0
    spaces = _spaces(len(numbers), sizes)
    sides = UNITS[unit] or _FARTHEST  # pixels of images whose sizes are not known
    stated = spaces.get(unit, np.full((len(numbers), 2), sides))
    orders = {other: order if other == unit else _order(numbers, space) for other, space in spaces.items()}
    likely = {other: _likelihood(numbers, space, orders[other]) for other, space in spaces.items()}
    best = max(likely, key=lambda other: likely[other])
    if best == unit or likely[best] <= _likelihood(numbers, stated, order) + max(_MARGIN, _CLEARLY * len(numbers)):
        return "", 0
    if unit == "pixels" and sizes is None and best == "0-1000":
        return "", 0  # so pixels of most images do
    space = spaces[best]
    return best, int((~_contradict(_corners(numbers, "pixels", orders[best], space), space)).sum())


def _spaces(count: int, sizes: NDArray[np.float64] | None) -> dict[str, NDArray[np.float64]]:
    """Return by unit the width and height of the space that N boxes lie in."""
    sides = (("0-1", 1.0), ("0-100", 100.0), ("0-1000", 1000.0))
    spaces = {unit: np.full((count, 2), side) for unit, side in sides}
    if sizes is not None and (sizes > 1).any():  # else right boxes are shares, and pixels mean nothing
        spaces["pixels"] = sizes
    return spaces


def _order(numbers: NDArray[np.float64], space: NDArray[np.float64]) -> str:
    """Return xywh where at most half as many boxes contradict it as contradict xyxy."""
    corners, sides = (
        int(_contradict(_corners(numbers, "pixels", order, space), space).sum()) for order in ("xyxy", "xywh")
    )
    return "xywh" if 2 * sides <= corners and corners else "xyxy"


def _likelihood(numbers: NDArray[np.float64], space: NDArray[np.float64], order: str) -> float:
    """Return the logarithm of how likely boxes are whose corners lie anywhere in spaces of some width and height."""
    fits = ~_contradict(_corners(numbers, "pixels", order, space), space)
    anywhere = np.where(fits, (1 - _NOISE) * 4 / space.prod(1) ** 2, 0)
    return float(np.log(anywhere + _NOISE / _FARTHEST**4).sum())
