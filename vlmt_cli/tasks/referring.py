"""G3, referring expressions: which region does the text mean? (equation 3)

One head for phrases, questions and dialogues. RefCOCO* ranks region proposals, Visual7W and GuessWhat the given
candidates.

Shapes: B batch, V regions, C candidates, D width, N real rows of regions.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from vlmt_cli.model.config import ViLBERTConfig
from vlmt_cli.model.rows import Rows

IOU = 0.5
PADDING = -10_000.0
"""The score of a region that is not there."""


class RegionScore(nn.Module):
    """W_r, which maps a region's final state to a score."""

    def __init__(self, config: ViLBERTConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.vision.dropout)
        self.weight = nn.Linear(config.vision.width, 1)

    def forward(self, vision_ND: Tensor, rows: Rows) -> Tensor:
        """Score N regions; returns (B, V), ``PADDING`` where there is none."""
        scores = rows.pad(self.weight(self.dropout(vision_ND))).squeeze(-1)
        return scores if rows.mask_BL is None else scores.masked_fill(~rows.mask_BL, PADDING)


def make_head(config: ViLBERTConfig) -> nn.Module:
    """Make the region scorer."""
    return RegionScore(config)


def loss(scores_BV: Tensor, ious_BV: Tensor) -> Tensor:
    """Binary cross-entropy against each region's IoU with the right one, summed over regions, averaged over the batch.

    ``ious_BV`` holds zero where the IoU is below 0.5, and for padding.
    """
    return F.binary_cross_entropy_with_logits(scores_BV, ious_BV, reduction="sum") / len(scores_BV)


def choose(scores_BV: Tensor, candidates_BC: Tensor) -> Tensor:
    """Take the scores of given candidates, (B, C), by their places among the regions."""
    return scores_BV.gather(1, candidates_BC)


def score(scores_BV: Tensor, ious_BV: Tensor) -> Tensor:
    """Return whether the region with the highest score overlaps the right one by IoU > 0.5, (B,)."""
    return (ious_BV.gather(1, scores_BV.argmax(1, keepdim=True)).squeeze(1) > IOU).float()
