"""One example of the masking picture: its photo with boxes, and its caption below."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vlmt_cli.base.images import read_image
from vlmt_cli.features.record import Regions
from vlmt_cli.training.masking import MaskedRegions

SAMPLED, NEIGHBOUR, VISIBLE = "#d55e00", "#0072b2", "#8c8c8c"  # told apart by the colour-blind, too
VISIBLE_ON_DARK = "#d4d4d4"
INK, FAINT, CARD, GROUND = "#222222", "#666666", "#ffffff", "#ececec"
SAMPLED_TINT, NEIGHBOUR_TINT = 64, 36  # of 255
TEXT, SMALL = 16, 13  # pixels, as all sizes
PHOTO, MOST_HEIGHT = 440, 400
PAD, HEAD, CAPTION_LINE = 14, 48, 42
WIDTH = PHOTO + 2 * PAD
"""Of a card."""
FEW = 40  # regions that leave room for broad lines


@dataclass(frozen=True)
class Example:
    """One card of the picture.

    Attributes:
        image: the image key.
        text: the caption.
        regions: the image's.
        photo: the file that shows it, or None for boxes on grey.
    """

    image: str
    text: str
    regions: Regions
    photo: Path | None = None


class Word(NamedTuple):
    """A word as it is read, what stood there where that is to be said, and its colour where it was sampled."""

    read: str
    was: str = ""
    colour: str | None = None


def draw_card(example: Example, masked: MaskedRegions, caption: Sequence[Word]) -> Image.Image:
    """Draw one example: its key, its shares, the photo with boxes, the caption."""
    photo = _photo(example)
    _draw_boxes(photo, example.regions, masked)
    lines = _wrapped(caption)
    below = PAD + HEAD + photo.height + 12
    card = Image.new("RGB", (WIDTH, below + CAPTION_LINE * len(lines) + 4), CARD)
    draw = ImageDraw.Draw(card)
    draw.text((PAD, PAD - 2), example.image, INK, font(TEXT, bold=True))
    draw.text((PAD, PAD + 22), _counts(masked), FAINT, font(SMALL))
    card.paste(photo, (PAD + (PHOTO - photo.width) // 2, PAD + HEAD))
    for number, line in enumerate(lines):
        x = float(PAD)
        for word in line:
            _draw_word(draw, x, below + number * CAPTION_LINE, word)
            x += _word_width(word)
    return card


def _counts(masked: MaskedRegions) -> str:
    sampled, zeroed, visible = masked
    kept = int((sampled & ~zeroed).sum())
    return (
        f"{int(sampled.sum())} of {len(sampled)} regions sampled{f' ({kept} kept)' if kept else ''},"
        f" {int((zeroed & ~sampled).sum())} neighbours, {int(visible.sum())} visible"
    )


def _photo(example: Example) -> Image.Image:
    """Return the photo at its size in the picture, paler than it is so that boxes stand out, or plain grey."""
    width, height = example.regions.width, example.regions.height
    scale = min(PHOTO / width, MOST_HEIGHT / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    photo = read_image(str(example.photo)) if example.photo else "no photo"
    if isinstance(photo, str):
        return Image.new("RGB", size, GROUND)
    photo = photo.resize(size, Image.Resampling.LANCZOS)
    photo = Image.blend(photo, photo.convert("L").convert("RGB"), 0.35)
    return Image.blend(photo, Image.new("RGB", size, "white"), 0.2)


def _draw_boxes(photo: Image.Image, regions: Regions, masked: MaskedRegions) -> None:
    """Draw the visible boxes, over them the neighbours, over these the sampled ones."""
    sampled, zeroed, visible = masked
    scale = np.array([photo.width / regions.width, photo.height / regions.height] * 2)
    last = np.array([photo.width - 1, photo.height - 1] * 2)
    boxes = np.clip(np.round(regions.boxes * scale), 0, last)
    is_dark = np.asarray(photo.convert("L")).mean() < 140
    line = 3 if len(boxes) <= FEW else 2
    for chosen, colour, width, tint in (
        (visible, VISIBLE_ON_DARK if is_dark else VISIBLE, 1, 0),
        (zeroed & ~sampled, NEIGHBOUR, line - 1, NEIGHBOUR_TINT),
        (sampled & zeroed, SAMPLED, line, SAMPLED_TINT),
        (sampled & ~zeroed, SAMPLED, line, 0),
    ):
        _draw_kind(photo, boxes[chosen.numpy()].tolist(), colour, width, tint)


def _draw_kind(photo: Image.Image, boxes: list[list[float]], colour: str, line: int, tint: int) -> None:
    """Outline boxes, ``line`` pixels wide, and tint what is in any of them by ``tint`` of 255."""
    mask = Image.new("L", photo.size)
    inside, draw = ImageDraw.Draw(mask), ImageDraw.Draw(photo)
    for box in boxes:
        inside.rectangle(box, tint)
    photo.paste(colour, (0, 0), mask)
    for x1, y1, x2, y2 in boxes:
        if line > 1:  # a white edge, for things of the box's own colour
            draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), None, "white", line + 2)
        draw.rectangle((x1, y1, x2, y2), None, colour, line)


def _wrapped(words: Sequence[Word]) -> list[list[Word]]:
    """Break a caption into lines that fit."""
    lines: list[list[Word]] = [[]]
    room: float = PHOTO
    for word in words:
        width = _word_width(word)
        if lines[-1] and width > room:
            lines.append([])
            room = PHOTO
        lines[-1].append(word)
        room -= width
    return lines


def _word_width(word: Word) -> float:
    width = max(font(TEXT).getlength(word.read), font(SMALL).getlength(word.was))
    return width + (18 if word.colour else 6)


def _draw_word(draw: ImageDraw.ImageDraw, x: float, y: float, word: Word) -> None:
    """Draw a word, on its colour where it was sampled, and below it what it was."""
    if word.colour is None:
        draw.text((x, y), word.read, INK, font(TEXT))
        return
    right = x + _word_width(word) - 6
    draw.rounded_rectangle((x, y - 2, right, y + TEXT + 5), 4, word.colour)
    draw.text(((x + right) / 2, y), word.read, "white", font(TEXT), anchor="ma")
    draw.text(((x + right) / 2, y + TEXT + 6), word.was, word.colour, font(SMALL), anchor="ma")


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the font that comes with matplotlib, which has Latin, Greek and Cyrillic letters."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)
