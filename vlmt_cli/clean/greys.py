"""What pictures look like, from the files that hold them, decoded no finer than that needs."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmt_cli.base.images import Grey, open_grey, reduced, why_unreadable
from vlmt_cli.clean.borders import boxes, has_border
from vlmt_cli.clean.looks import GREY, WORDS, looks_of

_COARSE, _FINE = 96, 192
"""Pixels of the shorter side that are enough for a look, and for the edges of a border."""


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
    greys: list[NDArray[np.uint8]] = []
    owner: list[int] = []
    for number, data in enumerate(files):
        try:
            versions = _versions(partial(open_grey, data))
        except Exception as error:  # on damaged files decoders raise nearly anything
            problems.append(why_unreadable(error, ""))
            continue
        problems.append(None)
        greys += versions
        owner += [number] * len(versions)
    words, is_enough = _looks_of(greys)
    return Looks(words[is_enough], np.array(owner, np.int64)[is_enough], problems)


def looks_of_image(image: Image.Image) -> NDArray[np.uint64]:
    """Return the looks of a decoded picture, L x 8."""
    words, is_enough = _looks_of(_versions(lambda side: reduced(Grey(image, *image.size, 1), side)))
    return words[is_enough]


def _versions(decoded: Callable[[int], Grey]) -> list[NDArray[np.uint8]]:
    """Return a picture, and what is inside its borders, in the size that looks are taken of."""
    grey = decoded(_COARSE)
    parts = _boxes(grey)
    if len(parts) > 1:
        grey = decoded(_FINE)
        parts = _boxes(grey)
    return [
        np.asarray(grey.image.resize((GREY, GREY), Image.Resampling.LANCZOS, box=part, reducing_gap=3.0))
        for part in parts
    ]


def _boxes(grey: Grey) -> list[tuple[float, float, float, float]]:
    if not has_border(grey.image, grey.width, grey.height):
        return [(0.0, 0.0, grey.width, grey.height)]
    return boxes(np.asarray(grey.image), grey.width, grey.height, grey.blur)


def _looks_of(greys: list[NDArray[np.uint8]]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    if not greys:
        return np.empty((0, WORDS), np.uint64), np.empty(0, bool)
    return looks_of(np.stack(greys))
