"""A photo with the boxes that texts were found to mean, drawn on it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

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
    """A box to draw: what stands on it, its colour, and whether it is a best one."""

    box: tuple[float, float, float, float]
    label: str
    colour: str
    best: bool


def marks(found: Sequence[Boxes]) -> list[Mark]:
    """Choose the boxes to draw on one photo.

    Of one text, all of its boxes, numbered from the best; of several, the best of each, numbered as the texts.
    """
    if len(found) == 1:
        boxes = found[0].boxes
        return [Mark(one.box, str(n), OTHER if n > 1 else COLOURS[0], n == 1) for n, one in enumerate(boxes, 1)]
    return [Mark(one.boxes[0].box, str(n), colour_of(n), True) for n, one in enumerate(found, 1)]


def colour_of(number: int) -> str:
    """Return the colour of the n-th text, counted from 1."""
    return COLOURS[(number - 1) % len(COLOURS)]


def draw_boxes(path: Path, view: View, found: Sequence[Boxes]) -> None:
    """Draw boxes on a photo.

    Args:
        path: the PNG to write.
        view: the photo; boxes are drawn on plain grey where it is not at hand.
        found: the boxes of each text about it.

    Raises:
        VlmtError: the file cannot be written.
    """
    enlarged = max(1.0, SMALL / max(view.width, view.height))
    width, height = (max(1, round(side * enlarged)) for side in (view.width, view.height))
    if view.picture is None:
        picture = Image.new("RGB", (width, height), "#ececec")
    else:
        picture = view.picture.resize((width, height), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    line = max(2, round(max(width, height) / 250))
    font = ImageFont.load_default(7 * line)
    for mark in reversed(marks(found)):
        x1, y1, x2, y2 = (
            side * scale for side, scale in zip(mark.box, (width / view.width, height / view.height) * 2, strict=True)
        )
        thick = line if mark.best else max(1, line // 2)
        draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), None, "white", thick + 2)
        draw.rectangle((x1, y1, x2, y2), None, mark.colour, thick)
        room = round(font.getlength(mark.label)) + 3 * line, 8 * line
        left, upper = min(max(x1, 0), width - room[0]), max(y1 - room[1], 0)
        draw.rectangle((left, upper, left + room[0], upper + room[1]), mark.colour)
        draw.text((left + room[0] / 2, upper + room[1] / 2), mark.label, "white", font, anchor="mm")
    with atomic(path) as temporary:
        picture.save(temporary, "PNG")
