"""Are two stores' features the same? Boxes are matched by overlap, then the features of matched regions compared."""

from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from vlmt_cli.base.boxes import iou_of_arrays
from vlmt_cli.features.record import Regions
from vlmt_cli.features.store import FeatureStore

Verdict = Literal[
    "same features",
    "same features of nearly all regions",
    "same features of the regions in both",
    "same boxes, other features",
    "different",
    "no shared images",
]

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
        matched, matched_there: the share of this store's regions, and of the other's, that have a partner.
        regions, regions_there: of an image, on average.
        other_counts: compared images of which the two have another number of regions.
        classes, classes_there: class scores a region.
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
    matched_there: float | None = None
    regions: float | None = None
    regions_there: float | None = None
    other_counts: int = 0
    classes: int = 0
    classes_there: int = 0
    iou: float | None = None
    cosine: float | None = None
    lowest_cosine: float | None = None
    scale: float | None = None
    verdict: Verdict


def compare_stores(store: FeatureStore, other_store: FeatureStore, damaged: set[str]) -> Comparison:
    """Compare two stores on up to 1,000 of the images that both have, without the ``damaged`` ones.

    Partners are boxes of IoU 0.5 or more. Boxes are the same where 95% of the regions of both stores have a partner,
    and partners overlap by 0.95 on average. Features are the same where partners have a mean cosine of 0.999 or more,
    and lengths within 1%: of all regions where every one of both stores has a partner, of nearly all from 95%, and of
    the regions in both where one store has many more.

    Raises:
        DataError: a record of ``other_store`` is damaged.
    """
    own_keys, other_keys = set(store.keys()), set(other_store.keys())
    shared = sorted((own_keys & other_keys) - damaged)
    sampled = np.unique(np.linspace(0, len(shared) - 1, min(len(shared), _SAMPLE)).round().astype(int))
    counts: dict[str, Any] = {
        "shared": len(own_keys & other_keys),
        "only_here": len(own_keys - other_keys),
        "only_there": len(other_keys - own_keys),
        "compared": len(sampled),
        "classes": store.meta.classes,
        "classes_there": other_store.meta.classes,
    }
    if not shared:
        return Comparison(**counts, verdict="no shared images")
    sizes, overlaps, cosines, scales = [], [], [], []
    for key in (shared[number] for number in sampled):
        own, other_regions = store.read(key), other_store.read(key, verify=True)
        rows, partners, iou = match(own, other_regions)
        sizes.append((len(own.boxes), len(other_regions.boxes)))
        overlaps.append(iou)
        if own.features.shape[1] == other_regions.features.shape[1]:
            a, b = own.features[rows].astype(np.float32), other_regions.features[partners].astype(np.float32)
            lengths = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
            cosines.append((a * b).sum(1) / np.maximum(lengths[0] * lengths[1], 1e-12))
            scales.append(lengths[1] / np.maximum(lengths[0], 1e-12))
    iou, cosine, scale = (np.concatenate(values) if values else np.empty(0) for values in (overlaps, cosines, scales))
    totals = np.sum(sizes, axis=0)
    matched, matched_there = (len(iou) / total if total else 0.0 for total in totals.tolist())
    smaller = sum(map(min, sizes))
    overlap = bool(smaller) and len(iou) / smaller >= _SAME_BOXES and iou.mean() >= _SAME_BOXES
    features = len(cosine) > 0 and cosine.mean() >= _SAME_COSINE and abs(scale.mean() - 1) <= _SAME_SCALE
    return Comparison(
        **counts,
        matched=matched,
        matched_there=matched_there,
        regions=float(totals[0] / len(sizes)),
        regions_there=float(totals[1] / len(sizes)),
        other_counts=sum(here != there for here, there in sizes),
        iou=_mean(iou),
        cosine=_mean(cosine),
        lowest_cosine=float(cosine.min()) if len(cosine) else None,
        scale=_mean(scale),
        verdict=_verdict(min(matched, matched_there), overlap, features),
    )


def _verdict(matched: float, overlap: bool, features: bool) -> Verdict:
    """Say in words what two stores have in common.

    Args:
        matched: the lower of the two stores' shares of regions that have a partner.
        overlap: whether the boxes of the store with fewer an image are among those of the other.
        features: whether partners' features are the same.
    """
    if not overlap:
        return "different"
    if not features:
        return "same boxes, other features" if matched >= _SAME_BOXES else "different"
    if matched == 1:
        return "same features"
    nearly = matched >= _SAME_BOXES
    return "same features of nearly all regions" if nearly else "same features of the regions in both"


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
