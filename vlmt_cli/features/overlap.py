"""How much boxes ``[x1, y1, x2, y2]`` overlap, in torch."""

import torch
from torch import Tensor


def iou_of_tensors(a_N4: Tensor, b_M4: Tensor) -> Tensor:
    """Return the intersection over union of every box of one set with every box of another.

    A box is x2 - x1 wide, without the extra pixel of older detectors. Equal boxes overlap wholly even where they have
    no area: they are the same region.

    Args:
        a_N4: (..., N, 4) floating, in any unit.
        b_M4: (..., M, 4), in the same unit; dimensions before the last two broadcast.

    Returns:
        (..., N, M), from 0 to 1.
    """
    ax1, ay1, ax2, ay2 = a_N4.unsqueeze(-2).unbind(-1)
    bx1, by1, bx2, by2 = b_M4.unsqueeze(-3).unbind(-1)
    width = torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)
    height = torch.minimum(ay2, by2) - torch.maximum(ay1, by1)
    shared = width.clamp(min=0) * height.clamp(min=0)
    union = _area(ax1, ay1, ax2, ay2) + _area(bx1, by1, bx2, by2) - shared
    same = (ax1 == bx1) & (ay1 == by1) & (ax2 == bx2) & (ay2 == by2)
    return torch.where(same, 1.0, shared / torch.where(union > 0, union, 1.0))


def pairwise_iou(boxes_BV4: Tensor) -> Tensor:
    """Return the overlap of every two boxes of an image, (B, V, V).

    Rows of padding are equal, and so overlap wholly with each other.
    """
    return iou_of_tensors(boxes_BV4, boxes_BV4)


def _area(x1: Tensor, y1: Tensor, x2: Tensor, y2: Tensor) -> Tensor:
    return (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0)
