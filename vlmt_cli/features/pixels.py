"""The ``pixels`` extractor for drawn pictures, such as the synthetic world's: no weights, only pixel statistics.

Boxes are ``proposals``; a region's feature tells of its crop's colours, outline and size, never of its place; its
class scores say how near the crop is to each of some clusters of crops, and serve as what masked regions must be
recognised as, in place of a detector's classes.
"""

import hashlib
import io
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmt_cli.base.boxes import BoxArray
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import locked, write_bytes
from vlmt_cli.base.images import read_image
from vlmt_cli.features.extractor import Extractor
from vlmt_cli.features.proposals import Mask, find_proposals, foreground
from vlmt_cli.features.record import Regions

VERSION = 1
"""To be raised when features or proposals come out differently."""
WIDTH = 96
CLUSTERS = 64
SAMPLE = 400
"""Photos whose crops are clustered."""
NAME = "pixels"

_GRID = 12  # points a side at which a crop is looked at
_HUES, _RANDOM = 12, 62
_PROJECTION = np.random.RandomState(0).standard_normal((2 * _GRID * _GRID, _RANDOM)).astype(np.float32) / 24
_SHARPNESS = 1.0


def pixels_extractor(clusters: NDArray[np.float32], device: str = "cpu") -> Extractor:
    """Make the extractor.

    Args:
        clusters: (K, ``WIDTH``), from ``fit_clusters``.
        device: it needs none; there for ``shards``, which names one.
    """
    digest = hashlib.sha256(clusters.astype("<f4").tobytes()).hexdigest()[:16]
    return Extractor(
        name=NAME,
        hash=f"{NAME}.{VERSION}-{digest}",
        feature_width=WIDTH,
        classes=len(clusters),
        prepare=_prepare,
        regions=partial(_regions, clusters),
    )


def crop_features(pixels_HW3: NDArray[np.uint8], mask_HW: Mask, boxes_R4: BoxArray) -> NDArray[np.float32]:
    """Describe crops.

    Args:
        pixels_HW3: the picture.
        mask_HW: its foreground.
        boxes_R4: in pixels.

    Returns:
        (R, ``WIDTH``): a histogram of 12 hues; mean colour and its spread; the outline's extent by rows and columns;
        width, height, area and how full the box is; and a fixed random projection of outline and brightness.
    """
    height, width = mask_HW.shape
    steps = (np.arange(_GRID) + 0.5) / _GRID
    x = boxes_R4[:, 0, None] + (boxes_R4[:, 2] - boxes_R4[:, 0])[:, None] * steps
    y = boxes_R4[:, 1, None] + (boxes_R4[:, 3] - boxes_R4[:, 1])[:, None] * steps
    columns = np.clip(x.astype(np.intp), 0, width - 1)[:, None, :]
    rows = np.clip(y.astype(np.intp), 0, height - 1)[:, :, None]
    colour_RGG3 = pixels_HW3[rows, columns].astype(np.float32) / 255
    outline_RGG = mask_HW[rows, columns].astype(np.float32)

    flat_RP, colour_RP3 = outline_RGG.reshape(len(boxes_R4), -1), colour_RGG3.reshape(len(boxes_R4), -1, 3)
    weight_RP1 = (flat_RP / np.maximum(flat_RP.sum(axis=1, keepdims=True), 1))[..., None]
    mean_R3 = (weight_RP1 * colour_RP3).sum(axis=1)
    spread_R3 = np.sqrt((weight_RP1 * (colour_RP3 - mean_R3[:, None]) ** 2).sum(axis=1))
    brightness_RP = colour_RP3.mean(axis=2, dtype=np.float32)
    projected = np.concatenate([flat_RP, flat_RP * brightness_RP], axis=1) @ _PROJECTION
    size_R2 = (boxes_R4[:, 2:] - boxes_R4[:, :2]) / 32
    shape_R4 = np.stack([size_R2[:, 0], size_R2[:, 1], size_R2.prod(axis=1), flat_RP.mean(axis=1)], axis=1)
    parts = [
        4 * _hues(colour_RP3, weight_RP1[..., 0]),
        2 * mean_R3,
        2 * spread_R3,
        outline_RGG.mean(axis=2)[:, ::2] + outline_RGG.mean(axis=2)[:, 1::2],
        outline_RGG.mean(axis=1)[:, ::2] + outline_RGG.mean(axis=1)[:, 1::2],
        shape_R4,
        projected,
    ]
    features: NDArray[np.float32] = np.concatenate(parts, axis=1).astype(np.float32)
    return features


def fit_clusters(pictures: Iterable[Image.Image], count: int = CLUSTERS, seed: int = 0) -> NDArray[np.float32]:
    """Cluster the crops of some pictures by k-means.

    Args:
        pictures: a sample of some hundred.
        count: K; fewer where there are fewer different crops.
        seed: of the first centres.

    Returns:
        The centres, (K, ``WIDTH``).
    """
    crops = [crop_features(pixels, mask, find_proposals(pixels, mask)) for pixels, mask in map(_prepare, pictures)]
    points = np.unique(np.concatenate(crops).astype(np.float64), axis=0)
    rng = np.random.RandomState(seed)
    centres = points[rng.randint(len(points))][None]
    while len(centres) < min(count, len(points)):  # k-means++: far points are likelier
        nearest = _distances(points, centres).min(axis=1)
        if nearest.max() <= 1e-12:
            break
        centres = np.vstack([centres, points[rng.choice(len(points), p=nearest / nearest.sum())]])
    for _ in range(25):
        own = _distances(points, centres).argmin(axis=1)
        sizes = np.bincount(own, minlength=len(centres))[:, None]
        sums = np.zeros_like(centres)
        np.add.at(sums, own, points)
        centres = np.where(sizes > 0, sums / np.maximum(sizes, 1), centres)
    return np.asarray(centres, np.float32)


def class_scores(features_RF: NDArray[np.float32], clusters_KF: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how near each crop is to each cluster: (R, K), a softmax of negative squared distances."""
    logits = -_SHARPNESS * _distances(features_RF.astype(np.float64), clusters_KF.astype(np.float64))
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    return np.asarray(scores, np.float32)


def sample_clusters(path: Path, files: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
    """Read the clusters that a file has, or cluster the crops of a sample of photos and write them there.

    Args:
        path: an ``.npy`` file.
        files: image keys and paths; ``SAMPLE`` of them, evenly spaced in the order of keys, are read.

    Raises:
        DataError: the file holds no clusters, or not one photo of the sample can be read.
    """
    with locked(path.parent):  # shards start together
        if not path.exists():
            paths = [photo for _, photo in sorted(dict(reversed(files)).items())]
            count = min(SAMPLE, len(paths))
            sample = [paths[i * len(paths) // count] for i in range(count)]
            pictures = [image for image in map(read_image, sample) if not isinstance(image, str)]
            if not sample:
                raise DataError("there are no photos", todo="name their folders")
            if not pictures:
                raise DataError("none of the photos can be read", where=sample[0])
            content = io.BytesIO()
            np.save(content, fit_clusters(pictures))  # straight into a file it hides that the disk is full
            write_bytes(path, content.getvalue())
    todo = "delete it and the pixels stores beside it"
    try:
        clusters: NDArray[np.float32] = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError("cannot be read as clusters of crops", where=path, todo=todo) from error
    if clusters.ndim != 2 or clusters.shape[1] != WIDTH or clusters.dtype != np.float32:
        raise DataError(f"holds {clusters.dtype} {clusters.shape}, no clusters of crops", where=path, todo=todo)
    return clusters


Picture = tuple[NDArray[np.uint8], Mask]


def _prepare(image: Image.Image) -> Picture:
    pixels = np.asarray(image)
    return pixels, foreground(pixels)


def _regions(
    clusters: NDArray[np.float32], pictures: Sequence[Picture], given: Sequence[BoxArray | None]
) -> list[Regions | str]:
    regions: list[Regions | str] = []
    for (pixels, mask), boxes in zip(pictures, given, strict=True):
        proposals = find_proposals(pixels, mask) if boxes is None else boxes
        features = crop_features(pixels, mask, proposals)
        height, width = mask.shape
        regions.append(Regions(proposals, features, width, height, class_scores(features, clusters)))
    return regions


def _hues(colour_RP3: NDArray[np.floating], weight_RP: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return how much of each hue the weighted points have, (R, 12); grey points have none."""
    red, green, blue = np.moveaxis(colour_RP3, 2, 0)
    # numpy reduces an axis of three numbers one point at a time.
    largest, least = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    chroma = largest - least
    with np.errstate(invalid="ignore", divide="ignore"):
        hue = np.where(largest == red, (green - blue) / chroma % 6,
                       np.where(largest == green, (blue - red) / chroma + 2, (red - green) / chroma + 4))  # fmt: skip
    bin_number = np.where(chroma > 0, hue, 0) * (_HUES / 6)
    low = np.floor(bin_number)
    strength = weight_RP * chroma
    result = np.zeros((len(colour_RP3), _HUES), np.float32)
    row = np.broadcast_to(np.arange(len(colour_RP3))[:, None], bin_number.shape)
    # A hue between two of the twelve counts for both.
    np.add.at(result, (row, low.astype(np.intp) % _HUES), strength * (low + 1 - bin_number))
    np.add.at(result, (row, (low.astype(np.intp) + 1) % _HUES), strength * (bin_number - low))
    return result


def _distances(points_PF: NDArray[np.float64], centres_KF: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return squared distances, (P, K)."""
    squares = (points_PF**2).sum(axis=1)[:, None] + (centres_KF**2).sum(axis=1) - 2 * points_PF @ centres_KF.T
    return np.asarray(np.maximum(squares, 0))
