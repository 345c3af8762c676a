"""What turns photos into regions: the pair of functions that ``extract`` drives, and their names and hashes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmt_cli.base.boxes import BoxArray
from vlmt_cli.features import backbone as backbones
from vlmt_cli.features import detector as detectors
from vlmt_cli.features.networks import Network, resized
from vlmt_cli.features.record import Regions

REGIONS = 100
"""Boxes a photo, as in the paper (section 3.2)."""


@dataclass(frozen=True)
class Extractor:
    """Photos to regions, in two steps.

    Attributes:
        name: for people.
        hash: two parts with a dash between them. Where the first is equal, equal boxes have equal features (but cells
            of a map, whose means are exact); where both are, boxes and class scores come from the same source too.
        feature_width, classes: F and C of the regions; 0 classes without class scores.
        prepare: what can be done in another process than the network's; its result goes between processes.
        regions: from what ``prepare`` made of N photos, and of each the boxes that were given (else None), to each
            one's regions, or a string that says why there are none.
        batch_matters: whether photos that are given to ``regions`` together change each other's regions.
        clips_boxes: whether given boxes are clipped to the photo before.
        cells: a side of the grid whose cells are its regions; 0 where it finds or takes boxes.
    """

    name: str
    hash: str
    feature_width: int
    classes: int
    prepare: Callable[[Image.Image], Any]
    regions: Callable[[Sequence[Any], Sequence[BoxArray | None]], list[Regions | str]]
    batch_matters: bool = False
    clips_boxes: bool = True
    cells: int = 0


class Photo(NamedTuple):
    """A photo, resized for both networks: (3, H, W) bytes each."""

    size: tuple[int, int]
    for_detector: NDArray[np.uint8] | None
    for_backbone: NDArray[np.uint8]


def network_extractor(
    device: str,
    detector: str | None = detectors.DEFAULT,
    backbone: str = backbones.DEFAULT,
    max_regions: int = REGIONS,
    batch: int = 1,
) -> Extractor:
    """Load a detector for boxes and a backbone for their features.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        detector: hub id or folder; None for boxes that are given.
        backbone: hub id or folder.
        max_regions: boxes a photo.
        batch: photos at once on a GPU; a CPU takes one by one, which is as fast and the same for every batch size.

    Raises:
        DataError: a network cannot be had.
    """
    detector_network = detectors.load_detector(detector, device) if detector else None
    backbone_network = backbones.load_backbone(backbone, device)
    together = 1 if backbone_network.device.type == "cpu" else batch
    return Extractor(
        name=f"{detector_network.name if detector_network else 'given'}+{backbone_network.name}",
        hash=f"{backbone_network.hash}-{f'{detector_network.hash}.{max_regions}' if detector_network else 'given'}",
        feature_width=backbones.feature_width(backbone_network),
        classes=int(detector_network.model.config.num_labels) if detector_network else 0,
        prepare=partial(
            _prepare,
            detector_network.processor if detector_network else None,
            backbone_network.processor,
            backbones.side(backbone_network),
        ),
        regions=partial(_regions, detector_network, backbone_network, max_regions, together),
    )


def _prepare(for_detector: Any, for_backbone: Any, side: int, image: Image.Image) -> Photo:
    pixels = resized(for_detector, image) if for_detector else None
    return Photo(image.size, pixels, backbones.squeeze(for_backbone, side, image))


def _regions(
    detector_network: Network | None,
    backbone_network: Network,
    max_regions: int,
    together: int,
    photos: Sequence[Photo],
    given: Sequence[BoxArray | None],
) -> list[Regions | str]:
    sizes = [photo.size for photo in photos]
    detections: list[tuple[BoxArray, NDArray[np.float32] | None]] = [
        (boxes, None) for boxes in given if boxes is not None
    ]
    if detector_network:
        pixels = [photo.for_detector for photo in photos if photo.for_detector is not None]
        detections = [*detectors.detect(detector_network, pixels, sizes, max_regions, together)]
    boxes = [image_boxes for image_boxes, _ in detections]
    features = backbones.region_features(
        backbone_network, [photo.for_backbone for photo in photos], sizes, boxes, together
    )
    return [
        Regions(image_boxes, feature, *size, scores) if len(image_boxes) else "no box was found"
        for (image_boxes, scores), feature, size in zip(detections, features, sizes, strict=True)
    ]
