"""What pre-training hides: words, regions, and the regions that would give those away (sections 3.1 and 8.2).

A word or region is *sampled* with a probability of 15%, each by itself, and the loss asks for it. A sampled word
becomes [MASK] in 80% of cases, a random word in 10%, and stays in 10%; a sampled region's feature becomes zero in 90%
and stays in 10%, in which it is called *kept*.

Detectors box one thing many times, so "any visual embedding that overlaps a masked region by 40% IOU or more is also
masked": the *neighbours* of sampled regions. What the paper leaves open:

- Neighbours are always zeroed, and the loss asks for sampled regions only, so that its share stays 15%.
- One hop: a neighbour's neighbours stay, unless they overlap a sampled region themselves.
- A kept region has neighbours like any other sampled one: otherwise zeros around a region would tell which case it is.
- A sampled region that is the neighbour of another is always zeroed. It would give the other away if it were kept.
- IMG is the mean of what is neither sampled nor a neighbour. A kept region is seen at its own place, and not in IMG.

Draws come from a ``RandomSource``: a ``torch.Generator`` seeded for batch k masks it the same way every time. They
are made where the generator lives, so that masking on a GPU with a CPU's generator gives what the CPU gives. A function
that gives numbers for a shape stands in for it where several processes share a batch.

Shapes: B batch, T tokens, V regions without IMG, F region features.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vlmt_cli.features.overlap import pairwise_iou

SHARE = 0.15
"""Of words and regions that are sampled (section 3.1)."""
OVERLAP = 0.4
"""The IoU above which a region is masked with a sampled one (section 3.1)."""
_AS_MASK, _AS_RANDOM = 0.8, 0.1  # of sampled words
_AS_ZERO = 0.9  # of sampled regions
RandomSource = torch.Generator | Callable[[torch.Size], Tensor]
"""What draws: numbers from 0 to 1, float32, for a shape."""
NO_WORD = -1
"""The label of a word that the loss does not ask for."""


class MaskedRegions(NamedTuple):
    """What became of a batch's regions; padding is in none of the three.

    Attributes:
        sampled_BV: the loss asks for it.
        zeroed_BV: its feature is zero in the input: most of the sampled, and all neighbours.
        visible_BV: neither; IMG is the mean of these.
    """

    sampled_BV: Tensor
    zeroed_BV: Tensor
    visible_BV: Tensor


def mask_words(
    tokens_BT: Tensor,
    maskable_BT: Tensor,
    mask_token: int,
    vocabulary: int,
    generator: RandomSource,
    share: float = SHARE,
) -> tuple[Tensor, Tensor]:
    """Mask words.

    Args:
        tokens_BT: token ids, (B, T) int64.
        maskable_BT: whether a token may be sampled: false for CLS, SEP and padding.
        mask_token: the id of [MASK].
        vocabulary: how many ids there are to draw random words from.
        generator: decides.
        share: of maskable tokens, to be sampled; as each is by itself, a short caption may have none.

    Returns:
        The tokens to be read, and the labels: the token that was there, ``NO_WORD`` where none was sampled; both
        (B, T) int64.
    """
    sampled = (_uniform(tokens_BT, generator) < share) & maskable_BT.bool()
    case = _uniform(tokens_BT, generator)
    random = (_uniform(tokens_BT, generator) * vocabulary).long()
    masked = torch.where(sampled & (case < _AS_MASK), mask_token, tokens_BT)
    masked = torch.where(sampled & (case >= _AS_MASK) & (case < _AS_MASK + _AS_RANDOM), random, masked)
    return masked, torch.where(sampled, tokens_BT, NO_WORD)


def mask_regions(
    boxes_BV4: Tensor,
    region_mask_BV: Tensor,
    generator: RandomSource,
    share: float = SHARE,
    overlap: float = OVERLAP,
    neighbours: bool = True,
) -> MaskedRegions:
    """Choose regions to mask.

    Args:
        boxes_BV4: (B, V, 4) in pixels; as shares of an image's sides they have the same overlap.
        region_mask_BV: which regions are real, not padding; IMG is not one of them.
        generator: decides; it samples the same regions with and without ``neighbours``.
        share: of regions, to be sampled.
        overlap: the IoU above which a region is a neighbour.
        neighbours: whether these are masked, too; without them this is ViLBERT's masking.
    """
    present = region_mask_BV.bool()
    sampled = (_uniform(present, generator) < share) & present
    zeroed = sampled & (_uniform(present, generator) < _AS_ZERO)
    if neighbours:
        overlaps = pairwise_iou(boxes_BV4) > overlap
        overlaps.diagonal(dim1=1, dim2=2).fill_(False)  # a region is not a neighbour of its own
        zeroed = zeroed | ((overlaps & sampled[:, None, :]).any(2) & present)
    return MaskedRegions(sampled, zeroed, present & ~sampled & ~zeroed)


def img_feature(features_BVF: Tensor, visible_BV: Tensor) -> Tensor:
    """Pool IMG from the regions that may be seen.

    Args:
        features_BVF: the regions' features, masked or not.
        visible_BV: ``MaskedRegions.visible_BV``, or all real regions where nothing is masked.

    Returns:
        Their mean, (B, F), of the features' type; zero where none may be seen, as for any feature that is not.
    """
    visible = visible_BV.to(torch.float32)
    weights = visible / visible.sum(1, keepdim=True).clamp(min=1)
    mean = torch.bmm(weights[:, None], features_BVF.float())  # float16 could not hold the sum
    return mean.squeeze(1).to(features_BVF.dtype)


def masked_shares(masked: MaskedRegions, region_mask_BV: Tensor) -> dict[str, Tensor]:
    """Return which shares of a batch's regions came to be ``sampled``, ``zeroed``, and either (``masked``), to log.

    Each is a scalar on the batch's device, so that logging decides when to wait for it.
    """
    regions = region_mask_BV.bool().sum().clamp(min=1)
    counts = {
        "sampled": masked.sampled_BV.sum(),
        "zeroed": masked.zeroed_BV.sum(),
        "masked": (masked.sampled_BV | masked.zeroed_BV).sum(),
    }
    return {name: count / regions for name, count in counts.items()}


def _uniform(like: Tensor, source: RandomSource) -> Tensor:
    """Draw a number from 0 to 1 for every place of a tensor, float32."""
    if not isinstance(source, torch.Generator):
        return source(like.shape).to(like.device)
    return torch.rand(like.shape, generator=source, device=source.device).to(like.device)
