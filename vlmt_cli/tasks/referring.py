"""G3, referring expressions: which region does the text mean? (equation 3)

One head for phrases, questions and dialogues. RefCOCO* ranks region proposals, Visual7W and GuessWhat the given
candidates.

Shapes: B batch, V regions, C candidates, D width, N real rows of regions.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vlmt_cli.base.boxes import iou
from vlmt_cli.datasets.table import AMONG_CANDIDATES
from vlmt_cli.features.reader import RegionBatch
from vlmt_cli.model.config import ViLBERTConfig
from vlmt_cli.model.rows import Rows
from vlmt_cli.tasks.examples import Batch, Columns, Examples, Inputs, Lists

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


def loss(scores_BC: Tensor, ious_BC: Tensor) -> Tensor:
    """Binary cross-entropy against each choice's IoU with the right one, summed over choices, averaged over the batch.

    Args:
        scores_BC: of what may be chosen, from ``choices``.
        ious_BC: zero where the IoU is below 0.5, and for what is no choice.
    """
    return F.binary_cross_entropy_with_logits(scores_BC, ious_BC, reduction="sum") / len(scores_BC)


def choices(scores_BV: Tensor, targets: dict[str, Tensor]) -> Tensor:
    """Return the scores of what may be chosen: regions but for IMG, (B, V), or candidates, (B, C)."""
    if "places" in targets:
        return scores_BV.gather(1, targets["places"]).masked_fill(~targets["there"], PADDING)
    return scores_BV.index_fill(1, torch.zeros(1, dtype=torch.long, device=scores_BV.device), PADDING)


def score(scores_BV: Tensor, targets: dict[str, Tensor]) -> Tensor:
    """Return whether the best region overlaps the right one by IoU > 0.5, or the best candidate is it, (B,)."""
    best = choices(scores_BV, targets).argmax(1)
    if "places" in targets:
        return (best == targets["right"]).float()
    return (targets["ious"].gather(1, best[:, None]).squeeze(1) > IOU).float()


def columns(table: pa.Table) -> tuple[Columns, NDArray[np.bool_]]:
    """Return N right boxes, (N, 4), each example's candidates and which of them is right; all can be trained on.

    ``given`` says whose candidates are shown although they are not chosen among, (N,).
    """
    candidates = table["candidates"].combine_chunks()
    offsets = candidates.offsets.to_numpy().astype(np.int64)
    flat = candidates.flatten().flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
    found = {
        "box": table["box"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, 4),
        "candidates": Lists(flat, offsets - offsets[0]),
        "right": table["target"].fill_null(-1).to_numpy().astype(np.int64),
        "given": np.zeros(len(table), bool),
    }
    return found, np.ones(len(table), bool)


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
        ious, there = iou(boxes, right).squeeze(-1), regions.candidates_BC
        return {
            "ious": _soft(ious, there),
            "places": regions.places_BC,
            "there": there,
            "right": torch.from_numpy(examples.columns["right"][which]),
        }
    is_region = regions.mask_BV.clone()
    is_region[:, 0] = False
    return {"ious": _soft(iou(regions.pixels_BV4, right).squeeze(-1), is_region)}


def decode(scores_BV: Tensor, batch: Batch, labels: Sequence[str]) -> dict[str, list[Any]]:
    """Return each text's best box in pixels, its probability among the choices, and its IoU with the right one.

    Of given candidates also ``choice``, the best one's place among them.
    """
    chosen = choices(scores_BV, batch.targets).float().cpu()
    best = chosen.argmax(1)
    among = "places" in batch.targets
    rows = batch.targets["places"].cpu().gather(1, best[:, None]).squeeze(1) if among else best
    return {
        **({"choice": best.tolist()} if among else {}),
        "box": batch.pixels_BV4[torch.arange(len(best)), rows].tolist(),
        "confidence": chosen.softmax(1).gather(1, best[:, None]).squeeze(1).tolist(),
        "iou": batch.targets["ious"].cpu().gather(1, best[:, None]).squeeze(1).tolist(),
    }


def _soft(ious: Tensor, there: Tensor) -> Tensor:
    return torch.where(there & (ious >= IOU), ious, 0.0)
