"""The region proposal network's anchors, and its proposals."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
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
    logits: Sequence[Tensor], deltas: Sequence[Tensor], frames: Sequence[tuple[int, int]], config: DetectorConfig
) -> list[tuple[Tensor, Tensor]]:
    """Turn what the network says of B photos into proposals.

    Args:
        logits: of each level, (B, A, H, W).
        deltas: of each level, (B, 4 * A, H, W).
        frames: widths and heights that proposals are clipped to, in pixels of the network's input.
        config: how many are kept, and when they overlap too much.

    Returns:
        For each photo its boxes (R, 4) and their objectness (R,), best first; of equal ones, those of the finer map
        first.
    """
    batch = len(frames)
    boxes, scores, is_large = [], [], []
    levels = zip(logits, deltas, config.anchor_strides, config.anchor_sizes, strict=True)
    for logit_BAHW, delta_BAHW, stride, size in levels:
        score = logit_BAHW.permute(0, 2, 3, 1).flatten(1).float().sigmoid()
        best = score.sort(dim=1, descending=True, stable=True).indices[:, : config.before_nms]
        anchors = grid_anchors(stride, size, config.aspect_ratios, *logit_BAHW.shape[2:]).to(score.device)
        all_moves = delta_BAHW.permute(0, 2, 3, 1).reshape(batch, -1, 4)
        moves = all_moves.gather(1, best[..., None].expand(-1, -1, 4)).float()
        box = clip(decode(anchors[best], moves), frames)
        padding = config.before_nms - best.shape[1]  # coarse maps have few anchors
        boxes.append(F.pad(box, (0, 0, 0, padding)))
        scores.append(F.pad(score.gather(1, best), (0, padding)))
        is_large.append(F.pad(torch.stack(sides(box), -1).amin(-1) >= config.smallest, (0, padding)))
    # All maps of all photos go through NMS together.
    kept = nms(torch.cat(boxes), torch.cat(is_large), config.rpn_overlap)
    kept &= kept.cumsum(1) <= config.after_nms
    kept_BR, box_BR4, score_BR = (torch.cat([*parts], 1) for parts in (kept.view(len(boxes), batch, -1), boxes, scores))
    score_BR = score_BR.masked_fill(~kept_BR, -1)  # behind all others
    best = score_BR.sort(dim=1, descending=True, stable=True).indices[:, : config.proposals]
    counts = kept_BR.sum(1).clamp(max=config.proposals).tolist()
    return [
        (box_R4[rows[:count]], score_R[rows[:count]])
        for box_R4, score_R, rows, count in zip(box_BR4, score_BR, best, counts, strict=True)
    ]
