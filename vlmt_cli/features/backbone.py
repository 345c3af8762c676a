"""Region features of a transformers vision backbone: the mean of its patch map over each box.

Any backbone whose last hidden state is a map (ResNet, ConvNeXt) or a sequence of patches behind some special tokens
(ViT, DINOv2, Swin, the vision tower of CLIP or SigLIP). The whole photo is resized to a square, without the cropping
that classifiers do.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vlmt_cli.base.errors import DataError
from vlmt_cli.features.networks import Network, load_network, resized, run_network

DEFAULT = "facebook/dinov2-base"
BINS = 7
"""Points a side that a box's mean is taken over."""
_WITHOUT_SIZE = 448  # pixels a side, for backbones that take any


def load_backbone(source: str, device: str) -> Network:
    """Load a backbone by hub id or folder. Raises a DataError when it cannot be had, or gives no patch map."""
    # A pooler stands behind the patch map.
    backbone = load_network("AutoModel", source, device, unneeded=("pooler", "vision_model.head"))
    problem = DataError("gives no map of patches", where=source, todo="take a backbone such as a ViT or DINOv2")
    if getattr(backbone.model.config, "is_encoder_decoder", False):  # such as a detector: its states are of queries
        raise problem
    try:
        feature_width(backbone)
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise problem from error
    return backbone


def feature_width(backbone: Network) -> int:
    """Return how many numbers a region's feature has."""
    pixels = side(backbone)
    black = np.zeros((3, pixels, pixels), np.uint8)
    return int(run_network(backbone, [black], 1, lambda batch: patch_maps(backbone, batch))[0].shape[0])


def side(backbone: Network) -> int:
    """Return the pixels a side that the backbone was trained on."""
    config = backbone.model.config
    size = getattr(getattr(config, "vision_config", config), "image_size", None) or _WITHOUT_SIZE
    return int(size if isinstance(size, int) else size[0])


def squeeze(processor: Any, side: int, image: Image.Image) -> NDArray[np.uint8]:
    """Resize a photo to a square of the backbone's processor, (3, S, S) bytes."""
    return resized(processor, image, do_resize=True, size={"height": side, "width": side}, do_center_crop=False)


def region_features(
    backbone: Network,
    pixels: Sequence[NDArray[np.uint8]],
    sizes: Sequence[tuple[int, int]],
    boxes: Sequence[NDArray[np.float32]],
    together: int = 1,
) -> list[NDArray[np.float32]]:
    """Compute the features of the boxes of N photos.

    Args:
        backbone: from ``load_backbone``.
        pixels: the photos as ``squeeze`` made them.
        sizes: the photos' own widths and heights.
        boxes: each photo's boxes in its own pixels, (R, 4).
        together: photos at once.

    Returns:
        For each photo its regions' features, (R, F).
    """
    maps = run_network(backbone, pixels, together, lambda pixels_B3SS: patch_maps(backbone, pixels_B3SS))
    results = []
    for map_FHW, (width, height), image_boxes in zip(maps, sizes, boxes, strict=True):
        shares = torch.from_numpy(image_boxes / np.array([width, height, width, height], np.float32))
        results.append(region_means(map_FHW, shares.to(map_FHW)).cpu().numpy())
    return results


def patch_maps(backbone: Network, pixels_B3SS: Tensor) -> list[Tensor]:
    """Return the patch map, (F, H, W), of each square of a batch."""
    model = getattr(backbone.model, "vision_model", backbone.model)  # of CLIP and the like
    hidden: Tensor = model(pixel_values=pixels_B3SS).last_hidden_state
    if hidden.ndim == 4:
        return list(hidden)
    # The special tokens (CLS, registers) stand first and are far fewer than a row and column more would be.
    side = math.isqrt(hidden.shape[1])
    return [patches.reshape(side, side, -1).permute(2, 0, 1) for patches in hidden[:, -side * side :]]


def region_means(map_FHW: Tensor, boxes_R4: Tensor) -> Tensor:
    """Average a map over boxes: RoI-align (He et al., 2017) of 7 x 7 bilinear points, then their mean.

    Args:
        map_FHW: the map, which covers the whole photo.
        boxes_R4: ``[x1, y1, x2, y2]`` as shares of the photo.

    Returns:
        (R, F); a point beyond the middle of the outermost patches takes their value.
    """
    steps = (torch.arange(BINS, device=boxes_R4.device) + 0.5) / BINS
    start_R2, extent_R2 = boxes_R4[:, :2], boxes_R4[:, 2:] - boxes_R4[:, :2]
    x_RB, y_RB = (start_R2[:, i, None] + extent_R2[:, i, None] * steps for i in (0, 1))
    shape = (len(boxes_R4), BINS, BINS)
    points = torch.stack([x_RB[:, None].expand(shape), y_RB[:, :, None].expand(shape)], -1)
    grid = (2 * points - 1).reshape(1, len(boxes_R4), BINS * BINS, 2)
    sampled = F.grid_sample(map_FHW[None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled[0].mean(-1).T.contiguous()
