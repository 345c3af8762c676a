"""One image's regions, as an object and as the bytes of a store's record.

A record is a header of 32 bytes, then boxes (float32), features (float16) and, where the store has them, class
scores (float16), each as they lie in memory: reading one takes no parsing and no copy but the one into the batch.

======  ======  =====================================
offset  type    field
======  ======  =====================================
0       4 s     ``VLF1``
4       uint32  regions N
8       uint32  feature width F
12      uint32  classes C, 0 without class scores
16      uint32  image width
20      uint32  image height
24      uint32  CRC-32 of all that follows the header
28      uint32  0
======  ======  =====================================
"""

import struct
import zlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmt_cli.base.boxes import changes, sound_boxes
from vlmt_cli.base.errors import DataError

_HEADER = struct.Struct("<4s7I")
_MAGIC = b"VLF1"
_FLOAT, _HALF = np.dtype("<f4"), np.dtype("<f2")
_LONGEST_SIDE = 1 << 31  # pixels
_LARGEST = np.finfo(np.float16).max
_MANY = 8
_ROUNDING = 1  # pixels: detectors clip to the last pixel or to the border, and some round


@dataclass
class Regions:
    """The regions of one image.

    Attributes:
        boxes: (N, 4) float32, [x1, y1, x2, y2] in pixels.
        features: (N, F), float16 or float32.
        width, height: of the image, in pixels.
        scores: (N, C) class probabilities, or None.
    """

    boxes: NDArray[np.float32]
    features: NDArray[np.floating]
    width: int
    height: int
    scores: NDArray[np.floating] | None = None


def problem(regions: Regions) -> str | None:
    """Say what is wrong with regions, or None: shapes, values that are NaN or infinite, boxes outside the image."""
    boxes, features, scores = regions.boxes, regions.features, regions.scores
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        return f"boxes have shape {boxes.shape}, not (N, 4)"
    if features.ndim != 2 or len(features) != len(boxes):
        return f"features have shape {features.shape} for {len(boxes)} boxes"
    if scores is not None and (scores.ndim != 2 or len(scores) != len(boxes)):
        return f"class scores have shape {scores.shape} for {len(boxes)} boxes"
    if not len(boxes):
        return "the image has no region"
    if not (1 <= regions.width <= _LONGEST_SIDE and 1 <= regions.height <= _LONGEST_SIDE):
        return f"the image is {regions.width} x {regions.height} pixels"
    for name, values in (("boxes", boxes), ("features", features), ("class scores", scores)):
        if values is not None and not np.isfinite(values).all():
            return f"{name} hold values that are NaN or infinite"
    if np.abs(features).max(initial=0) > _LARGEST:
        return f"a feature of {np.abs(features).max():g} is too large for float16"
    # To older detectors a box is x2 - x1 + 1 wide, in pixels of a resized photo: some end up to one before they begin.
    pixel = max(1, min(regions.width, regions.height) / 800, max(regions.width, regions.height) / 1333)
    if (boxes[:, 2:] - boxes[:, :2] <= -pixel).any():
        return "a box ends before it begins"
    if (boxes < -_ROUNDING).any() or (boxes > reach(regions.width, regions.height) + _ROUNDING).any():
        return f"a box lies outside the {regions.width} x {regions.height} image"
    return None


def mend(regions: Regions) -> tuple[Regions, list[str]]:
    """Apply the rule for impossible boxes (``base.boxes``) to an image's regions; returns what was done, in words.

    A box that reaches over the border no further than the detector of the released features lets it (``reach``) stays
    as it is: models were trained on it so. Where most of many boxes reach further, they are boxes of another size of
    the photo, and the image has a problem that dropping boxes would hide.

    Raises:
        ValueError: the boxes are those of another size of the photo.
    """
    boxes, features, scores = regions.boxes, regions.features, regions.scores
    width, height = regions.width, regions.height
    rows = [len(part) if part.ndim == 2 else -1 for part in (boxes, features, scores) if part is not None]
    if len(set(rows)) > 1 or rows[0] < 1 or boxes.shape[1] != 4 or width < 1 or height < 1:
        return regions, []  # ``problem`` has words for it
    ruled = sound_boxes(boxes, width, height)
    furthest = reach(width, height) + _ROUNDING
    with np.errstate(invalid="ignore"):
        is_usual = np.logical_and.reduce((boxes >= -_ROUNDING) & (boxes <= furthest), axis=1)
    is_beyond = ~is_usual & np.isfinite(boxes).all(1)
    if len(boxes) >= _MANY and 2 * is_beyond.sum() > len(boxes):
        raise ValueError(f"most boxes reach out of the {width} x {height} image: they are those of another size of it")
    keep, is_clipped = ruled.is_sound, ruled.is_clipped & ~is_usual
    if not keep.any():
        raise ValueError(f"all boxes are empty, inverted, not finite or outside the {width} x {height} image")
    said = changes(int((~keep).sum()), int(is_clipped.sum()))
    if not said:
        return regions, []
    kept = np.where(is_usual[:, None], boxes, ruled.boxes)[keep]
    return Regions(kept, features[keep], width, height, None if scores is None else scores[keep]), said


def is_within(regions: Regions) -> bool:
    """Say whether all boxes lie within the image."""
    limit = np.array([regions.width, regions.height] * 2) + _ROUNDING
    return not ((regions.boxes < -_ROUNDING).any() or (regions.boxes > limit).any())


def reach(width: int, height: int) -> float:
    """Return how far to the right and down a box of a photo may reach, in the photo's pixels.

    The detector of the released features took the padding of its batch for a part of the photo. With the shorter side
    at 800 pixels (or the longer one at 1,333) that was up to 1,344 pixels either way; a fifth of the longer side
    leaves room for smaller sizes. Boxes of the resized photo that nobody scaled back reach further.
    """
    return max(1344 / 800 * min(width, height), 1.2 * max(width, height))


def encode(regions: Regions) -> bytes:
    """Turn regions into a record. Raises a ValueError that says what is wrong with them."""
    if wrong := problem(regions):
        raise ValueError(wrong)
    parts = [np.ascontiguousarray(regions.boxes, "<f4").tobytes(), _half(regions.features)]
    if regions.scores is not None:
        parts.append(_half(regions.scores))
    payload = b"".join(parts)
    classes = 0 if regions.scores is None else regions.scores.shape[1]
    numbers = (len(regions.boxes), regions.features.shape[1], classes, regions.width, regions.height)
    return _HEADER.pack(_MAGIC, *numbers, zlib.crc32(payload), 0) + payload


class Header(NamedTuple):
    """What a record's header states, and where its boxes, features and scores begin."""

    regions: int
    feature_width: int
    image_width: int
    image_height: int
    classes: int
    checksum: int
    boxes_at: int
    features_at: int
    scores_at: int


def read_header(record: memoryview | bytes) -> Header:
    """Read a record's header alone. Raises a ValueError when the record is not as long as it says."""
    if len(record) < _HEADER.size:
        raise ValueError("the record is cut short")
    magic, n, width, classes, image_width, image_height, checksum, _ = _HEADER.unpack_from(record)
    features_at = _HEADER.size + 16 * n
    scores_at = features_at + 2 * n * width
    if magic != _MAGIC or len(record) != scores_at + 2 * n * classes:
        raise ValueError("the record is damaged")
    return Header(n, width, image_width, image_height, classes, checksum, _HEADER.size, features_at, scores_at)


def decode(record: memoryview | bytes, where: object, verify: bool = False) -> Regions:
    """View a record's regions in place: the arrays are valid as long as ``record`` is.

    Args:
        record: the bytes.
        where: the store and key, for the error.
        verify: whether to compare the checksum, which reads every byte.

    Raises:
        DataError: the record is damaged.
    """
    try:
        header = read_header(record)
        if verify and zlib.crc32(memoryview(record)[_HEADER.size :]) != header.checksum:
            raise ValueError("the record's checksum is wrong")
    except ValueError as error:
        raise DataError(str(error), where=where, todo="pack it again") from error
    n, width, classes = header.regions, header.feature_width, header.classes
    return Regions(
        np.frombuffer(record, _FLOAT, 4 * n, header.boxes_at).reshape(n, 4),
        np.frombuffer(record, _HALF, n * width, header.features_at).reshape(n, width),
        header.image_width,
        header.image_height,
        np.frombuffer(record, _HALF, n * classes, header.scores_at).reshape(n, classes) if classes else None,
    )


def _half(values: NDArray[np.floating]) -> bytes:
    return np.ascontiguousarray(values, "<f2").tobytes()
