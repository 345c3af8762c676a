"""Are two stores' features the same? Boxes are matched by overlap, then the features of matched regions compared."""

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from vlmt_cli.base.boxes import iou_of_arrays
from vlmt_cli.features.record import Regions
from vlmt_cli.features.store import FeatureStore

Verdict = Literal["same features", "same boxes, other features", "different", "no shared images"]

MATCHED = 0.5  # the IoU from which two boxes may be the same
_SAMPLE = 1000
_SAME_BOXES = 0.95
_SAME_COSINE = 0.999
_SAME_SCALE = 0.01


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What two stores have in common.

    Attributes:
        shared, only_here, only_there: images.
        compared: shared images that were looked at, evenly spaced.
        matched: the share of regions that have a partner, of the store with fewer an image.
        iou: mean overlap of partners.
        cosine, lowest_cosine: mean and least cosine of partners' features; None where widths differ.
        scale: mean length of the other's features as a multiple of this one's; None where widths differ.
        verdict: in words.
    """

    shared: int
    only_here: int
    only_there: int
    compared: int
    matched: float | None = None
    iou: float | None = None
    cosine: float | None = None
    lowest_cosine: float | None = None
    scale: float | None = None
    verdict: Verdict


def compare_stores(store: FeatureStore, other_store: FeatureStore, damaged: set[str]) -> Comparison:
    """Compare two stores on up to 1,000 of the images that both have, without the ``damaged`` ones.

    Same boxes means that 95% of regions have a partner of IoU 0.5 or more, and partners overlap by 0.95 on average;
    same features means that these also have a mean cosine of 0.999 or more, and lengths within 1%.

    Raises:
        DataError: a record of ``there`` is damaged.
    """
    own_keys, other_keys = set(store.keys()), set(other_store.keys())
    shared = sorted((own_keys & other_keys) - damaged)
    places = np.unique(np.linspace(0, len(shared) - 1, min(len(shared), _SAMPLE)).round().astype(int))
    counts = {
        "shared": len(own_keys & other_keys),
        "only_here": len(own_keys - other_keys),
        "only_there": len(other_keys - own_keys),
        "compared": len(places),
    }
    if not shared:
        return Comparison(**counts, verdict="no shared images")
    regions, overlaps, cosines, scales = 0, [], [], []
    for key in (shared[number] for number in places):
        own, other_regions = store.read(key), other_store.read(key, verify=True)
        rows, partners, iou = match(own, other_regions)
        regions += min(len(own.boxes), len(other_regions.boxes))
        overlaps.append(iou)
        if own.features.shape[1] == other_regions.features.shape[1]:
            a, b = own.features[rows].astype(np.float32), other_regions.features[partners].astype(np.float32)
            lengths = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
            cosines.append((a * b).sum(1) / np.maximum(lengths[0] * lengths[1], 1e-12))
            scales.append(lengths[1] / np.maximum(lengths[0], 1e-12))
    iou, cosine, scale = (np.concatenate(values) if values else np.empty(0) for values in (overlaps, cosines, scales))
    matched = len(iou) / regions if regions else 0.0
    is_same = matched >= _SAME_BOXES and iou.mean() >= _SAME_BOXES
    has_same_features = (
        is_same and len(cosine) > 0 and cosine.mean() >= _SAME_COSINE and abs(scale.mean() - 1) <= _SAME_SCALE
    )
    return Comparison(
        **counts,
        matched=matched,
        iou=_mean(iou),
        cosine=_mean(cosine),
        lowest_cosine=float(cosine.min()) if len(cosine) else None,
        scale=_mean(scale),
        verdict="same features" if has_same_features else "same boxes, other features" if is_same else "different",
    )


def match(regions: Regions, other: Regions) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.floating]]:
    """Pair the boxes of an image that choose each other: of N and M boxes, P pairs of rows, and their IoU.

    Boxes are compared as shares of their image, which two extractors may have resized differently.
    """
    iou = iou_of_arrays(_shares(regions), _shares(other))
    # Of equal boxes the one in the same place is the partner.
    preferred = iou + 1e-6 * np.eye(*iou.shape)
    best, best_back = preferred.argmax(1), preferred.argmax(0)
    rows = np.arange(len(iou))
    pairs = (best_back[best] == rows) & (iou[rows, best] >= MATCHED)
    return rows[pairs], best[pairs], iou[rows, best][pairs]


def _shares(regions: Regions) -> NDArray[np.float64]:
    low, high = np.split(regions.boxes.astype(float), 2, axis=1)
    # A box of less than a pixel is one: rounding would decide whether two of them overlap.
    corners = np.concatenate([low, np.maximum(high, low + 1)], axis=1)
    return np.asarray(corners / np.array([regions.width, regions.height] * 2, float))


def _mean(values: NDArray[np.floating]) -> float | None:
    return float(values.mean()) if len(values) else None
