"""Boxes, ``[x1, y1, x2, y2]``: which of them are possible, and how much they overlap, in numpy.

One rule holds for the boxes of all files. A box that is not finite, or that is empty or inverted once it is clipped to
its image, is dropped. A box that crosses the image's border is clipped. Both are counted. Where the size of the image
is not known, nothing is known of its right and lower border.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlmt_cli.base.words import count

BoxArray = NDArray[np.float32]
"""N boxes, (N, 4)."""


class SoundBoxes(NamedTuple):
    """What the rule makes of N boxes.

    Attributes:
        boxes: all of them, clipped, (N, 4).
        is_sound: which stay, (N,).
        is_clipped: which stay and are not as they were, (N,).
    """

    boxes: NDArray[np.floating]
    is_sound: NDArray[np.bool_]
    is_clipped: NDArray[np.bool_]


def sound_boxes(boxes_N4: NDArray[np.floating], width: ArrayLike = np.inf, height: ArrayLike = np.inf) -> SoundBoxes:
    """Apply the rule for impossible boxes.

    Args:
        boxes_N4: in pixels, of any values.
        width, height: of the image, or (N,) of each box's image; infinite where it is not known.
    """
    sides = np.broadcast_to(np.stack([width, height] * 2, axis=-1), boxes_N4.shape)
    with np.errstate(invalid="ignore"):
        clipped = np.clip(boxes_N4, 0, sides).astype(boxes_N4.dtype)
        is_sound = np.isfinite(boxes_N4).all(1) & (clipped[:, 2:] > clipped[:, :2]).all(1)
        return SoundBoxes(clipped, is_sound, is_sound & (clipped != boxes_N4).any(1))


def changes(dropped: int, clipped: int) -> list[str]:
    """Say how many boxes the rule dropped, and how many it clipped; nothing where it changed none."""
    said = []
    if dropped:
        said.append(f"{count(dropped, 'box', 'boxes')} dropped: not finite, empty, inverted or outside the image")
    if clipped:
        said.append(f"{count(clipped, 'box', 'boxes')} clipped to the image")
    return said


def iou_of_arrays(a_N4: NDArray[np.floating], b_M4: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the intersection over union of N boxes with M others, (N, M); equal boxes overlap wholly.

    It is what ``features.overlap.iou`` is in torch, and quicker for a few boxes.
    """
    sides = np.minimum(a_N4[:, None, 2:], b_M4[None, :, 2:]) - np.maximum(a_N4[:, None, :2], b_M4[None, :, :2])
    shared = sides.clip(0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(1) for boxes in (a_N4, b_M4)]
    union = areas[0][:, None] + areas[1] - shared
    same = (a_N4[:, None] == b_M4[None]).all(2)
    return np.where(same, 1.0, shared / np.where(union > 0, union, 1))
