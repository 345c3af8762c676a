"""Boxes and class scores of a transformers object detector: RT-DETR, DETR and their families.

These detectors give a fixed number of queries, each with a box and class logits. Some have a last class "no object"
and a softmax (DETR, YOLOS), the others a sigmoid a class (RT-DETR, Deformable and Conditional DETR, D-FINE); the
number of logits tells them apart.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlmt_cli.base.boxes import BoxArray
from vlmt_cli.base.errors import DataError
from vlmt_cli.features.networks import Network, load_network, run_network

DEFAULT = "PekingU/rtdetr_r50vd"
SMALLEST = 1.0  # pixels, a box's width and height

ClassScores = NDArray[np.float32]


def load_detector(source: str, device: str) -> Network:
    """Load a detector by hub id or folder. Raises a DataError when it cannot be had, or is none of a kind we read."""
    detector = load_network("AutoModelForObjectDetection", source, device)
    if not getattr(detector.model.config, "num_labels", 0):
        raise DataError("its config does not say how many classes it has", where=source)
    return detector


def detect(
    detector: Network,
    pixels: Sequence[NDArray[np.uint8]],
    sizes: Sequence[tuple[int, int]],
    max_regions: int,
    together: int = 1,
) -> list[tuple[BoxArray, ClassScores]]:
    """Find the objects of N photos.

    Args:
        detector: from ``load_detector``.
        pixels: the photos as ``resized`` made them, (3, H, W) each.
        sizes: the photos' own widths and heights.
        max_regions: keep that many boxes a photo, those of the highest score of any class.
        together: photos at once.

    Returns:
        For each photo its boxes in its own pixels, clipped to it and best first, (R, 4), and their distributions over
        the detector's classes, (R, C), which sum to one: a softmax over the logits of real classes.
    """

    def run(pixels_B3HW: Tensor) -> list[tuple[Tensor, Tensor]]:
        outputs = detector.model(pixel_values=pixels_B3HW)
        return list(zip(outputs.logits.float().cpu(), outputs.pred_boxes.float().cpu(), strict=True))

    outputs = run_network(detector, pixels, together, run)
    classes = detector.model.config.num_labels
    return [best(*output, size, classes, max_regions) for output, size in zip(outputs, sizes, strict=True)]


def best(
    logits_QL: Tensor, boxes_Q4: Tensor, size: tuple[int, int], classes: int, max_regions: int
) -> tuple[BoxArray, ClassScores]:
    """Choose among one photo's queries.

    Args:
        logits_QL: of Q queries; L is ``classes``, or one more where the last is "no object".
        boxes_Q4: centre, width and height as shares of the photo.
        size: the photo's width and height.
        classes: C.
        max_regions: how many boxes to keep.

    Returns:
        Boxes (R, 4) in pixels and class distributions (R, C), best first.
    """
    has_no_object = logits_QL.shape[1] == classes + 1
    score_Q = (logits_QL.softmax(-1)[:, :-1] if has_no_object else logits_QL.sigmoid()).amax(-1)
    centre, extent = boxes_Q4[:, :2], boxes_Q4[:, 2:]
    width_height = torch.tensor([*size, *size], dtype=torch.float32)
    corners = torch.cat([centre - extent / 2, centre + extent / 2], -1) * width_height
    corners = torch.minimum(corners.clamp(min=0), width_height)
    is_sound = ((corners[:, 2:] - corners[:, :2]) >= SMALLEST).all(-1) & score_Q.isfinite()
    order = score_Q.masked_fill(~is_sound, -1).sort(descending=True, stable=True).indices
    kept = order[: min(max_regions, int(is_sound.sum()))]
    return corners[kept].numpy(), logits_QL[kept, :classes].softmax(-1).numpy()
