"""Boxes, NMS and RoIAlign as the detector was trained with them.

Boxes are ``[x1, y1, x2, y2]`` of pixels that count themselves: a box is x2 - x1 + 1 wide. RoIAlign alone takes them as
x2 - x1 wide. Both are conventions of the code before 2019, which the weights depend on.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_MOST_GROWTH = math.log(1000 / 16)  # of a side's logarithm, at most: what an exponential may do to a box


def sides(boxes_R4: Tensor) -> tuple[Tensor, Tensor]:
    """Return widths and heights, (R,) each."""
    return boxes_R4[:, 2] - boxes_R4[:, 0] + 1, boxes_R4[:, 3] - boxes_R4[:, 1] + 1


def overlaps(boxes_R4: Tensor) -> Tensor:
    """Return the IoU of every two boxes, (R, R)."""
    width_R, height_R = sides(boxes_R4)
    area_R = width_R * height_R
    low = torch.maximum(boxes_R4[:, None, :2], boxes_R4[:, :2])
    high = torch.minimum(boxes_R4[:, None, 2:], boxes_R4[:, 2:])
    shared = (high - low + 1).clamp(min=0).prod(-1)
    return shared / (area_R[:, None] + area_R - shared)


def nms(boxes_R4: Tensor, scores_R: Tensor, most_overlap: float) -> Tensor:
    """Suppress boxes that overlap a better one by more than ``most_overlap``, greedily.

    Of equal scores the first is the better one. An IoU of exactly ``most_overlap`` does not suppress, as in the CUDA
    form of the original, which made the released features; its CPU form suppresses there.

    Returns:
        The places of the survivors, rising, not by score.
    """
    order = scores_R.sort(descending=True, stable=True).indices
    # Compared where the boxes are; the greedy walk is one for a CPU.
    suppresses = (overlaps(boxes_R4[order]) > most_overlap).cpu().numpy()
    is_alive = np.ones(len(order), bool)
    for rank in range(len(order)):
        if is_alive[rank]:
            is_alive[rank + 1 :] &= ~suppresses[rank, rank + 1 :]
    return order[torch.from_numpy(is_alive).to(order.device)].sort().values


def decode(boxes_R4: Tensor, deltas_R4: Tensor) -> Tensor:
    """Move and scale boxes by what a network predicts, (R, 4): dx, dy as shares of a side, dw, dh as logarithms."""
    width_R, height_R = sides(boxes_R4)
    size_R2 = torch.stack([width_R, height_R], 1)
    centre_R2 = boxes_R4[:, :2] + size_R2 / 2
    moved_R2 = deltas_R4[:, :2] * size_R2 + centre_R2
    half_R2 = deltas_R4[:, 2:].clamp(max=_MOST_GROWTH).exp() * size_R2 / 2
    return torch.cat([moved_R2 - half_R2, moved_R2 + half_R2 - 1], 1)


def clip(boxes_R4: Tensor, width: int, height: int) -> Tensor:
    """Bring corners to pixels of a picture."""
    limit = boxes_R4.new_tensor([width - 1, height - 1, width - 1, height - 1])
    return torch.minimum(boxes_R4.clamp(min=0), limit)


def levels(boxes_R4: Tensor, first: int, last: int) -> Tensor:
    """Choose the map that each box is pooled from, (R,): equation 1 of the FPN paper (Lin et al., 2017)."""
    width_R, height_R = sides(boxes_R4)
    size_R = (width_R * height_R).sqrt()
    return (4 + (size_R / 224 + 1e-6).log2()).floor().clamp(first, last).to(torch.int64)


def roi_align(map_CHW: Tensor, boxes_R4: Tensor, scale: float, bins: int, samples: int) -> Tensor:
    """Average a map over the bins of boxes (He et al., 2017, without the half pixel of later versions).

    A bin is the mean of ``samples`` x ``samples`` bilinear points, each a weighted sum of four of the map's pixels:
    so it is a weighted sum of pixels, which is what an embedding bag computes without writing the points down.

    Args:
        map_CHW: best where it lies in memory as (H, W, C).
        boxes_R4: in pixels of the network's input.
        scale: the map's pixels by the input's.
        bins: a side.
        samples: a side of a bin.

    Returns:
        (R, bins, bins, C), float32.
    """
    channels, height, width = map_CHW.shape
    table_PC = map_CHW.permute(1, 2, 0).reshape(height * width, channels).float()
    row_RBS, row_weight_RBS = _taps(boxes_R4[:, 1], boxes_R4[:, 3], scale, height, bins, samples)
    column_RBS, column_weight_RBS = _taps(boxes_R4[:, 0], boxes_R4[:, 2], scale, width, bins, samples)
    cell = row_RBS[:, :, None, :, None] * width + column_RBS[:, None, :, None, :]
    weight = row_weight_RBS[:, :, None, :, None] * column_weight_RBS[:, None, :, None, :]
    bags = len(boxes_R4) * bins * bins
    pooled = F.embedding_bag(cell.reshape(bags, -1), table_PC, per_sample_weights=weight.reshape(bags, -1), mode="sum")
    return pooled.view(-1, bins, bins, channels)


def _taps(start_R: Tensor, end_R: Tensor, scale: float, size: int, bins: int, samples: int) -> tuple[Tensor, Tensor]:
    """Say which pixels of one axis the bins take, and with which weights: (R, bins, 2 * samples) each."""
    start_R, end_R = start_R * scale, end_R * scale
    bin_R = (end_R - start_R).clamp(min=1) / bins
    steps_BS = torch.arange(bins * samples, device=start_R.device).view(bins, samples) + 0.5
    point_RBS = start_R[:, None, None] + bin_R[:, None, None] * (steps_BS / samples)
    is_inside = (point_RBS >= -1) & (point_RBS <= size)
    point_RBS = point_RBS.clamp(0, size - 1)
    low = point_RBS.floor()
    share = point_RBS - low
    weight = torch.cat([1 - share, share], -1) * torch.cat([is_inside, is_inside], -1) / samples
    return torch.cat([low, (low + 1).clamp(max=size - 1)], -1).to(torch.int64), weight
