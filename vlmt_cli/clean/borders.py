"""Borders and bars of one colour around a picture, so that a framed or letterboxed copy is compared without them."""

from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels of the grey picture, which may be fractions of one."""

_FRAME = 8.0
"""Grey levels that a frame's pixels are apart at most; JPEG leaves some noise."""
_MARGINS = (6.0, 12.0, 24.0)
"""The same for margins that belong to the picture, such as paper; encoded anew, these may end elsewhere."""
_COLOURS = 4
"""Borders within each other that are taken away."""
_LEAST = 0.1
"""Share of the picture that must be left."""
_ALIKE = 0.004
"""Boxes that differ by less, of the picture's size, are one."""
_FEWEST = 8
"""Pixels of width and height that must be left."""


def has_border(picture: Image.Image, width: float, height: float) -> bool:
    """Whether an outermost line of a grey picture is of one colour; most photos have none, which is soon seen."""
    right, bottom = int(width), int(height)
    lines = ((0, 0, right, 1), (0, bottom - 1, right, bottom), (0, 0, 1, bottom), (right - 1, 0, right, bottom))
    extrema = (cast(tuple[int, int], picture.crop(line).getextrema()) for line in lines)
    return any(highest - lowest <= max(_MARGINS) for lowest, highest in extrema)


def boxes(grey: NDArray[np.uint8], width: float, height: float, blur: int) -> list[Box]:
    """Return the parts of a picture that could be all of a copy: the whole first, and what borders enclose.

    Args:
        grey: rows x columns.
        width, height: how much of ``grey`` is the picture; less than its size where a decoder rounded up.
        blur: pixels over which a border's edge may be smeared: the blocks of JPEG.
    """
    whole = (0.0, 0.0, width, height)
    pixels = grey.astype(np.float32)
    kept = [whole]
    candidates = [box for box in [_inside(pixels, whole, _FRAME, blur)] if box]
    if candidates:
        # Bars are alike on both sides; what a dark picture adds to one of them is not.
        left, top, right, bottom = candidates[0]
        x, y = min(left, width - right), min(top, height - bottom)
        candidates.append((x, y, width - x, height - y))
    for tolerance in _MARGINS:
        box: Box | None = whole
        for _ in range(_COLOURS):
            inner = _inside(pixels, box, tolerance, blur) if box else None
            if inner is None or inner == box:
                break
            box = inner
        candidates += [box] if box else []
    size = np.array([width, height, width, height])
    for box in candidates:
        is_large = (box[2] - box[0]) * (box[3] - box[1]) >= _LEAST * width * height
        if is_large and all(np.abs((np.array(box) - other) / size).max() > _ALIKE for other in kept):
            kept.append(box)
    return kept


def _inside(pixels: NDArray[np.float32], box: Box, tolerance: float, blur: int) -> Box | None:
    """Take one border away from each side of a box; None where nothing would be left."""
    left, top, right, bottom = box
    first_row, first_column, end_row, end_column = int(np.ceil(top)), int(np.ceil(left)), int(bottom), int(right)
    part = pixels[first_row:end_row, first_column:end_column]
    if min(part.shape) < _FEWEST:
        return None
    above, below = _border(part, tolerance, blur), _border(part[::-1], tolerance, blur)
    before, behind = _border(part.T, tolerance, blur), _border(part.T[::-1], tolerance, blur)
    if above + below >= part.shape[0] - _FEWEST or before + behind >= part.shape[1] - _FEWEST:
        return None
    return (
        first_column + before if before else left,
        first_row + above if above else top,
        end_column - behind if behind else right,
        end_row - below if below else bottom,
    )


def _border(lines: NDArray[np.float32], tolerance: float, blur: int) -> float:
    """Return how many lines of one colour stand before the others, to a fraction of a line.

    Where the colour ends, JPEG smears the edge over its blocks: there each line counts as border by how much darker or
    lighter it is than the lines behind.
    """
    outermost = lines[0]
    if outermost.max() - outermost.min() > tolerance:
        return 0.0
    away = np.abs(lines - np.median(outermost))
    is_border = away.max(axis=1) <= tolerance
    if is_border.all():
        return float(len(lines))
    count = int(np.argmin(is_border))
    edge = away[count : count + blur + 3].mean(axis=1)
    if len(edge) <= blur:
        return float(count)
    behind = float(np.median(edge[blur:]))
    if behind <= 2:  # hardly different: a dark picture with a black border
        return float(count)
    return count + blur - float(np.minimum(edge[:blur] / behind, 1).sum())
