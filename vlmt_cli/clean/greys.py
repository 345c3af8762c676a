"""What pictures look like, from the files that hold them, decoded no finer than that needs."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmt_cli.base.images import Grey, open_grey, reduced, why_unreadable
from vlmt_cli.clean.borders import boxes, has_border
from vlmt_cli.clean.looks import GREY, WORDS, looks_of

_Box = tuple[float, float, float, float]
_Part = tuple[Image.Image, _Box]
"""A grey picture, and which part of it a look is of."""
_COARSE, _FINE = 96, 192
"""Pixels of the shorter side that are enough for a look, and for the edges of a border."""
_GAP = 3.0
"""How many times larger than a look a picture may stay after pixels were averaged, before the filter."""


class Looks(NamedTuple):
    """What N pictures look like.

    Attributes:
        words: L x 8, the looks (``clean.looks``): of each whole picture, and of what is inside its borders.
        owner: L, which picture each look is of, ascending. A picture with too little in it has none.
        problems: N, why a picture could not be decoded; None where it could.
    """

    words: NDArray[np.uint64]
    owner: NDArray[np.int64]
    problems: list[str | None]


def looks_of_files(files: Sequence[bytes]) -> Looks:
    """Decode N image files, and say what they look like."""
    problems: list[str | None] = []
    parts: list[_Part] = []
    owner: list[int] = []
    for number, data in enumerate(files):
        try:
            found = _parts(partial(open_grey, data))
        except Exception as error:  # on damaged files decoders raise nearly anything
            problems.append(why_unreadable(error, ""))
            continue
        problems.append(None)
        parts += found
        owner += [number] * len(found)
    words, is_enough = _looks_of(parts)
    return Looks(words[is_enough], np.array(owner, np.int64)[is_enough], problems)


def looks_of_image(image: Image.Image) -> NDArray[np.uint64]:
    """Return the looks of a decoded picture, L x 8."""
    words, is_enough = _looks_of(_parts(lambda side: reduced(Grey(image, *image.size, 1), side)))
    return words[is_enough]


def _parts(decoded: Callable[[int], Grey]) -> list[_Part]:
    """Return a picture, and what is inside its borders, decoded as finely as its borders need."""
    grey = decoded(_COARSE)
    found = _boxes(grey)
    if len(found) > 1:
        grey = decoded(_FINE)
        found = _boxes(grey)
    return [(grey.image, box) for box in found]


def _boxes(grey: Grey) -> list[_Box]:
    if not has_border(grey.image, grey.width, grey.height):
        return [(0.0, 0.0, grey.width, grey.height)]
    return boxes(np.asarray(grey.image), grey.width, grey.height, grey.blur)


def _looks_of(parts: list[_Part]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    if not parts:
        return np.empty((0, WORDS), np.uint64), np.empty(0, bool)
    return looks_of(_resized(parts))


def _resized(parts: list[_Part]) -> NDArray[np.uint8]:
    """Resize parts of N pictures to N x 64 x 64, those of one size together.

    Half the time that Pillow takes for a small picture goes into the filter's weights, which depend on its size alone.
    """
    greys = np.empty((len(parts), GREY, GREY), np.uint8)
    alike = defaultdict(list)
    for number, (image, box) in enumerate(parts):
        alike[image.size, box].append(number)
    for (size, box), numbers in alike.items():
        if len(numbers) > 1 and (rows_first := _order(size, box)) is not None:
            pictures = np.stack([np.asarray(parts[number][0]) for number in numbers])
            greys[numbers] = _resized_together(pictures, box, rows_first)
        else:
            for number in numbers:
                greys[number] = _resize(parts[number][0], (GREY, GREY), box)
    return greys


def _resized_together(pictures: NDArray[np.uint8], box: _Box, rows_first: bool) -> NDArray[np.uint8]:
    """Resize N pictures along one axis and then along the other, each time all of their lines as one picture."""
    left, top, right, bottom = box
    axes = ((left, right), (top, bottom)) if rows_first else ((top, bottom), (left, right))
    if not rows_first:
        pictures = pictures.transpose(0, 2, 1)
    for begin, end in axes:
        lines = pictures.reshape(-1, pictures.shape[2])
        resized = _resize(Image.fromarray(lines), (GREY, len(lines)), (begin, 0, end, len(lines)))
        pictures = resized.reshape(len(pictures), -1, GREY).transpose(0, 2, 1)
    return pictures if rows_first else pictures.transpose(0, 2, 1)


@lru_cache(1024)
def _order(size: tuple[int, int], box: _Box) -> bool | None:
    """Try which axis Pillow resizes first, as it rounds between; None where it does something else."""
    left, top, right, bottom = box
    if max(right - left, bottom - top) >= 2 * _GAP * GREY:  # it averages pixels of large ones before
        return None
    noise = np.random.default_rng(0).integers(0, 256, size[::-1], np.uint8)
    whole = _resize(Image.fromarray(noise), (GREY, GREY), box)
    for rows_first in (True, False):
        if (_resized_together(noise[None], box, rows_first)[0] == whole).all():
            return rows_first
    return None


def _resize(image: Image.Image, size: tuple[int, int], box: _Box) -> NDArray[np.uint8]:
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=_GAP))
