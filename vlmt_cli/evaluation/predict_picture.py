"""A photo with the boxes that the model chose for texts, drawn on it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vlmt_cli.base.files import atomic
from vlmt_cli.evaluation.predictions import Boxes

COLOURS = ("#d55e00", "#0072b2", "#00856a", "#b0508c", "#8a6d00", "#2f8fc4")  # told apart by the colour-blind, too
OTHER = "#6b6b70"
SMALL = 800  # pixels a side, below which a picture is enlarged so that lines and labels are fine on it


class View(NamedTuple):
    """How a photo is shown: its picture, where it is at hand, and the size that boxes are of."""

    picture: Image.Image | None
    width: int
    height: int


class Mark(NamedTuple):
    """A box to draw.

    Attributes:
        box: corners in pixels of the photo.
        number: what stands on it.
        colour: of box and number.
        best: whether it is a best one.
    """

    box: tuple[float, float, float, float]
    number: int
    colour: str
    best: bool


def label_corners(
    marks: Sequence[Mark], sizes: Sequence[tuple[float, float]], width: float, height: float
) -> list[tuple[float, float]]:
    """Return the upper left corner of each number's ground, (width, height) in size: no two of them overlap.

    A number stands at a corner of its box, above or below it, where that is free; else within the box's corner, else at
    the free position nearest to the box. Where a photo has no room left, it covers as little as possible of others.
    """
    placed: list[tuple[float, float, float, float]] = []
    for mark, (wide, high) in zip(marks, sizes, strict=True):
        x1, y1, x2, y2 = mark.box
        own = [(x, y) for y in (y1 - high, y2, y1, y2 - high) for x in (x1, x2 - wide)]
        grid = [(x, y) for x in np.arange(0, width - wide + 1, wide) for y in np.arange(0, height - high + 1, high)]
        grid.sort(key=lambda corner: (corner[0] - x1) ** 2 + (corner[1] - y1) ** 2)
        corners = [(min(max(x, 0), width - wide), min(max(y, 0), height - high)) for x, y in [*own, *grid]]
        grounds = [(x, y, x + wide, y + high) for x, y in corners]
        placed.append(min(grounds, key=lambda ground: sum(_shared(ground, other) for other in placed)))
    return [(left, upper) for left, upper, _, _ in placed]


def _shared(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Return the area that two boxes share."""
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def marks(predictions: Sequence[Boxes]) -> list[Mark]:
    """Choose the boxes to draw on one photo.

    Of one text, all of its boxes, numbered from the best; of several, the best of each, numbered as the texts.
    """
    if len(predictions) == 1:
        boxes = predictions[0].boxes
        return [
            Mark(prediction.box, n, COLOURS[0] if n == 1 else OTHER, n == 1) for n, prediction in enumerate(boxes, 1)
        ]
    return [Mark(prediction.boxes[0].box, n, colour_of(n), True) for n, prediction in enumerate(predictions, 1)]


def colour_of(number: int) -> str:
    """Return the colour of the n-th text, counted from 1."""
    return COLOURS[(number - 1) % len(COLOURS)]


def draw_boxes(path: Path, view: View, predictions: Sequence[Boxes]) -> None:
    """Draw boxes on a photo.

    Args:
        path: the PNG to write.
        view: the photo; boxes are drawn on plain grey where it is not at hand.
        predictions: the boxes of each text about it.

    Raises:
        VlmtError: the file cannot be written.
    """
    scale = max(1.0, SMALL / max(view.width, view.height))
    width, height = (max(1, round(side * scale)) for side in (view.width, view.height))
    if view.picture is None:
        picture = Image.new("RGB", (width, height), "#ececec")
    else:
        picture = view.picture.resize((width, height), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    line = max(2, round(max(width, height) / 250))
    font = ImageFont.load_default(7 * line)
    drawn = []
    for small in marks(predictions):
        x1, y1, x2, y2 = (side * scale for side in small.box)
        drawn.append(small._replace(box=(x1, y1, x2, y2)))
    sizes = [(font.getlength(str(mark.number)) + 3 * line, 8.0 * line) for mark in drawn]
    for mark in reversed(drawn):
        x1, y1, x2, y2 = mark.box
        thick = line if mark.best else max(1, line // 2)
        draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), None, "white", thick + 2)
        draw.rectangle((x1, y1, x2, y2), None, mark.colour, thick)
    # Numbers come last, so that no box crosses them.
    corners = label_corners(drawn, sizes, width, height)
    for mark, (wide, high), (left, upper) in zip(drawn, sizes, corners, strict=True):
        draw.rectangle((left, upper, left + wide, upper + high), mark.colour)
        draw.text((left + wide / 2, upper + high / 2), str(mark.number), "white", font, anchor="mm")
    with atomic(path) as temporary:
        picture.save(temporary, "PNG")
