"""The model's side of referring expressions: a score for every region.

Shapes: B batch, V regions, C candidates, O options (V or C), D width, N real rows of regions.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vlmt_cli.datasets.table import AMONG_CANDIDATES
from vlmt_cli.features.overlap import iou_of_tensors
from vlmt_cli.features.reader import RegionBatch
from vlmt_cli.tasks.examples import Examples, Inputs
from vlmt_cli.tasks.referring.rules import IOU
from vlmt_cli.trunks.config import TrunkConfig
from vlmt_cli.trunks.rows import Rows

if TYPE_CHECKING:
    from vlmt_cli.tasks.config import ModelConfig

READS_REGIONS = True
draw = None
rank = None
PADDING = -10_000.0
"""The score of a region that is not there."""


class RegionScore(nn.Module):
    """W_r, which maps a region's final state to a score."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.region_dropout)
        self.weight = nn.Linear(config.region_width, 1)

    def forward(self, vision_ND: Tensor, rows: Rows) -> Tensor:
        """Score N regions; returns (B, V), ``PADDING`` where there is none."""
        scores = rows.pad(self.weight(self.dropout(vision_ND))).squeeze(-1)
        return scores if rows.mask_BL is None else scores.masked_fill(~rows.mask_BL, PADDING)


def make_head(config: "ModelConfig", head: str) -> nn.Module:
    """Make the region scorer."""
    return RegionScore(config.trunk)


def inputs(examples: Examples, which: NDArray[np.int64], drawn: NDArray[np.int64] | None = None) -> Inputs:
    """Take each text with its image; with its candidates where they are chosen among, or shown while training."""
    shown = examples.columns["given"][which] | (examples.task in AMONG_CANDIDATES)
    boxes = examples.columns["candidates"].take(which)
    candidates = [own if is_shown else own[:0] for own, is_shown in zip(boxes, shown, strict=True)]
    return Inputs(which, examples.images(which), candidates=candidates if shown.any() else None)


def targets(examples: Examples, which: NDArray[np.int64], regions: RegionBatch) -> dict[str, Tensor]:
    """Return what the loss and the score take: of regions, ``ious`` (B, V); of candidates, these (B, C) and more."""
    right = torch.from_numpy(examples.columns["box"][which])[:, None]
    if examples.task in AMONG_CANDIDATES:
        boxes = regions.pixels_BV4.gather(1, regions.places_BC[..., None].expand(-1, -1, 4))
        ious, candidates = iou_of_tensors(boxes, right).squeeze(-1), regions.candidates_BC
        return {
            "ious": _soft(ious, candidates),
            "rows": regions.places_BC,
            "there": candidates,
            "right": torch.from_numpy(examples.columns["right"][which]),
        }
    is_region = regions.mask_BV.clone()
    is_region[:, 0] = False
    return {"ious": _soft(iou_of_tensors(regions.pixels_BV4, right).squeeze(-1), is_region)}


def options(output_BV: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """Return the scores of what may be chosen: candidates, (B, C), or regions but for IMG, (B, V)."""
    if "rows" in targets:
        return output_BV.gather(1, targets["rows"]).masked_fill(~targets["there"], PADDING)
    return output_BV.index_fill(1, torch.zeros(1, dtype=torch.long, device=output_BV.device), PADDING)


def loss(options_BO: Tensor, targets: Mapping[str, Tensor], form: str = "") -> Tensor:
    """Binary cross-entropy against each option's IoU with the right box, summed over options, averaged over the batch.

    The targets are zero where the IoU is below 0.5, and for what is not an option.
    """
    return F.binary_cross_entropy_with_logits(options_BO, targets["ious"], reduction="sum") / len(options_BO)


def score(options_BO: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """Return whether the best region overlaps the right box by IoU > 0.5, or the best candidate is it, (B,)."""
    best = options_BO.argmax(1)
    if "rows" in targets:
        return (best == targets["right"]).float()
    return (targets["ious"].gather(1, best[:, None]).squeeze(1) > IOU).float()


def _soft(ious: Tensor, candidates: Tensor) -> Tensor:
    return torch.where(candidates & (ious >= IOU), ious, 0.0)
