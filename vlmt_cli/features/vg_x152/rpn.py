"""The region proposal network's anchors, and its proposals."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vlmt_cli.features.vg_x152.config import DetectorConfig
from vlmt_cli.features.vg_x152.operations import clip, decode, nms, sides


def cell_anchors(stride: int, size: int, ratios: Sequence[float]) -> Tensor:
    """Return the anchors of a map's first cell, (A, 4): one a ratio of height to width."""
    # The area is that of a window of one stride, whose sides are rounded before they grow to the size.
    width = np.round(stride / np.sqrt(np.array(ratios, float)))
    height = np.round(width * np.array(ratios, float))
    half = (np.stack([width, height], 1) * (size / stride) - 1) / 2
    centre = (stride - 1) / 2
    return torch.from_numpy(np.concatenate([centre - half, centre + half], 1)).float()


def grid_anchors(stride: int, size: int, ratios: Sequence[float], height: int, width: int) -> Tensor:
    """Return the anchors of all cells of a map, (H * W * A, 4), by row, column and ratio."""
    cell = cell_anchors(stride, size, ratios)
    y, x = torch.meshgrid(torch.arange(height) * stride, torch.arange(width) * stride, indexing="ij")
    shift = torch.stack([x, y, x, y], -1).view(-1, 1, 4)
    return (shift + cell).view(-1, 4)


def propose(
    logits: Sequence[Tensor], deltas: Sequence[Tensor], width: int, height: int, config: DetectorConfig
) -> tuple[Tensor, Tensor]:
    """Turn what the network says of one photo into proposals.

    Args:
        logits: of each level, (A, H, W).
        deltas: of each level, (4 * A, H, W).
        width, height: proposals are clipped to them, in pixels of the network's input.
        config: how many are kept, and when they overlap too much.

    Returns:
        Boxes (R, 4) and their objectness (R,), best first; of equal ones, those of the finer map first.
    """
    boxes, scores = [], []
    levels = zip(logits, deltas, config.anchor_strides, config.anchor_sizes, strict=True)
    for logit_AHW, delta_AHW, stride, size in levels:
        score = logit_AHW.permute(1, 2, 0).flatten().float().sigmoid()
        best = score.sort(descending=True, stable=True).indices[: config.before_nms]
        anchors = grid_anchors(stride, size, config.aspect_ratios, *logit_AHW.shape[1:]).to(score.device)
        moves = delta_AHW.permute(1, 2, 0).reshape(-1, 4)[best].float()
        box, score = clip(decode(anchors[best], moves), width, height), score[best]
        is_large = torch.stack(sides(box), 1).amin(1) >= config.smallest
        box, score = box[is_large], score[is_large]
        kept = nms(box, score, config.rpn_overlap)[: config.after_nms]
        boxes.append(box[kept])
        scores.append(score[kept])
    score = torch.cat(scores)
    best = score.sort(descending=True, stable=True).indices[: config.proposals]
    return torch.cat(boxes)[best], score[best]
