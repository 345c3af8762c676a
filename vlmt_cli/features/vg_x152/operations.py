"""Boxes, NMS and RoIAlign as the detector was trained with them.

Boxes are ``[x1, y1, x2, y2]`` of pixels that count themselves: a box is x2 - x1 + 1 wide. RoIAlign alone takes them as
x2 - x1 wide. Both are conventions of the code before 2019, which the weights depend on.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_MOST_GROWTH = math.log(1000 / 16)  # of a side's logarithm, at most: what an exponential may do to a box


def sides(boxes_R4: Tensor) -> tuple[Tensor, Tensor]:
    """Return widths and heights, (..., R) each."""
    return boxes_R4[..., 2] - boxes_R4[..., 0] + 1, boxes_R4[..., 3] - boxes_R4[..., 1] + 1


def overlaps(boxes_R4: Tensor) -> Tensor:
    """Return the IoU of every two boxes of a set, (..., R, R)."""
    width_R, height_R = sides(boxes_R4)
    area_R = width_R * height_R
    low = torch.maximum(boxes_R4[..., :, None, :2], boxes_R4[..., None, :, :2])
    high = torch.minimum(boxes_R4[..., :, None, 2:], boxes_R4[..., None, :, 2:])
    shared = (high - low + 1).clamp(min=0).prod(-1)
    return shared / (area_R[..., :, None] + area_R[..., None, :] - shared)


def nms(boxes_GR4: Tensor, is_there_GR: Tensor, most_overlap: float) -> Tensor:
    """Suppress boxes that overlap a better one by more than ``most_overlap``, in G sets at once.

    The greedy rule says: a box survives if no better box that survives suppresses it. Which boxes survive is therefore
    the one answer that agrees with itself. It is found by asking again with the last answer: the first box is right at
    once, and every box one step after those that it depends on, so that a chain of boxes takes as many steps as it is
    long, and there is no walk from box to box.

    An IoU of exactly ``most_overlap`` does not suppress, as in the CUDA form of the original, which made the released
    features; its CPU form suppresses there.

    Args:
        boxes_GR4: of each set, best first.
        is_there_GR: False for padding.
        most_overlap: IoU.

    Returns:
        Which survive, (G, R).
    """
    on_gpu = boxes_GR4.is_cuda
    suppresses_GRR = (overlaps(boxes_GR4) > most_overlap).triu(1).to(torch.float16 if on_gpu else torch.float32)
    survives_GR = is_there_GR
    while True:
        before = survives_GR
        for _ in range(8 if on_gpu else 1):  # looking whether it is over makes a GPU wait
            rivals_GR = torch.bmm(survives_GR[:, None].to(suppresses_GRR.dtype), suppresses_GRR)[:, 0]
            before, survives_GR = survives_GR, is_there_GR & (rivals_GR == 0)
        if torch.equal(before, survives_GR):
            return survives_GR


def decode(boxes_R4: Tensor, deltas_R4: Tensor) -> Tensor:
    """Move and scale boxes by what a network predicts, (..., R, 4): dx, dy as shares of a side; dw, dh as logs."""
    width_R, height_R = sides(boxes_R4)
    size_R2 = torch.stack([width_R, height_R], -1)
    centre_R2 = boxes_R4[..., :2] + size_R2 / 2
    moved_R2 = deltas_R4[..., :2] * size_R2 + centre_R2
    half_R2 = deltas_R4[..., 2:].clamp(max=_MOST_GROWTH).exp() * size_R2 / 2
    return torch.cat([moved_R2 - half_R2, moved_R2 + half_R2 - 1], -1)


def clip(boxes_BR4: Tensor, frames: Sequence[tuple[int, int]]) -> Tensor:
    """Bring the corners of boxes of B pictures to pixels of these, whose widths and heights are ``frames``."""
    last = boxes_BR4.new_tensor([[width - 1, height - 1] * 2 for width, height in frames])
    return torch.minimum(boxes_BR4.clamp(min=0), last[:, None])


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
