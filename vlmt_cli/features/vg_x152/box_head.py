"""From boxes to their features and class scores."""

import math
from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor

from vlmt_cli.features.vg_x152.config import DetectorConfig
from vlmt_cli.features.vg_x152.operations import levels, roi_align
from vlmt_cli.features.vg_x152.weights import BOX, Layer


def pool(maps: Sequence[Tensor], boxes_R4: Tensor, config: DetectorConfig) -> Tensor:
    """Pool each box from the map of its size.

    Args:
        maps: of one photo, (C, H, W) each, from P2 on.
        boxes_R4: in pixels of the network's input.
        config: says which scales the maps have.

    Returns:
        (R, bins, bins, C), float32.
    """
    scales = config.pool_scales
    first, last = (round(-math.log2(scale)) for scale in (scales[0], scales[-1]))
    level_R = levels(boxes_R4, first, last) - first
    pooled = boxes_R4.new_zeros(len(boxes_R4), config.pool_size, config.pool_size, maps[0].shape[0])
    for level, (map_CHW, scale) in enumerate(zip(maps, scales, strict=False)):
        rows = (level_R == level).nonzero()[:, 0]
        if len(rows):
            pooled[rows] = roi_align(map_CHW, boxes_R4[rows], scale, config.pool_size, config.pool_samples)
    return pooled


def describe(pooled: Tensor, layers: Mapping[str, Layer]) -> tuple[Tensor, Tensor]:
    """Return features (R, F), those behind the first ReLU, and class logits (R, K), both float32."""
    fc6, fc7 = layers[f"{BOX}feature_extractor.fc6"], layers[f"{BOX}feature_extractor.fc7"]
    features_RF = F.linear(pooled.flatten(1).to(fc6.weight.dtype), *fc6).relu_()
    hidden_RF = F.linear(features_RF, *fc7).relu_()
    return features_RF.float(), F.linear(hidden_RF, *layers[f"{BOX}predictor.cls_score"]).float()
