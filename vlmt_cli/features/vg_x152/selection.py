"""Which of the proposals a photo keeps: those with the highest class score, after NMS within each class.

The authors' script runs NMS once for each of 1,600 classes, remembers for each box the highest probability of a class
in which it survived, and keeps the hundred boxes of the highest one. The same hundred come out when the pairs of box
and class are looked at in the order of their probabilities, those of all classes together: whether a pair survives
depends on pairs before it alone, and the first pair of a box that survives is its highest one. So the walk ends with
the hundredth box, after some thousand pairs of 1.6 million.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

MOST_OVERLAP = 0.5
_FIRST_PAIRS = 1 << 14

Numbers = NDArray[np.float32]


def select(
    overlap_RR: NDArray[np.bool_], scores_RK: Numbers, max_regions: int, first_class: int = 1, threshold: float = 0.0
) -> tuple[NDArray[np.int64], Numbers]:
    """Choose boxes.

    Args:
        overlap_RR: which boxes overlap by more than ``MOST_OVERLAP``.
        scores_RK: probabilities of the classes.
        max_regions: boxes to keep.
        first_class: 1 leaves out the background.
        threshold: a probability must be above it to count for a box; to suppress others it need not.

    Returns:
        The places of the boxes, surest first, ``most`` or all that there are; and how sure, 0 for boxes that survived
        in no class. These come last and in their own order, in which the original leaves them to chance.
    """
    max_regions = min(max_regions, len(scores_RK))
    kept: dict[int, float] = {}
    for pairs in _strongest(scores_RK[:, first_class:], threshold):
        kept = _survivors(pairs, overlap_RR, scores_RK[:, first_class:], max_regions)
        if len(kept) == max_regions:
            break
    others = [box for box in range(len(scores_RK)) if box not in kept]
    places = [*kept, *others][:max_regions]
    return np.array(places, np.int64), np.array([kept.get(box, 0.0) for box in places], np.float32)


def _strongest(scores_RK: Numbers, threshold: float) -> Iterator[NDArray[np.int64]]:
    """Yield the places of the highest scores, best first: some, then more, then all above the threshold."""
    flat = scores_RK.ravel()
    count = _FIRST_PAIRS
    while count < flat.size:
        cutoff = max(np.partition(flat, flat.size - count)[flat.size - count], np.nextafter(np.float32(threshold), 1))
        yield _sorted(flat, np.flatnonzero(flat >= cutoff))
        count *= 16
    yield _sorted(flat, np.flatnonzero(flat > threshold))


def _sorted(flat: Numbers, places: NDArray[np.int64]) -> NDArray[np.int64]:
    return places[np.argsort(-flat[places], kind="stable")]


def _survivors(
    pairs: NDArray[np.int64], overlap_RR: NDArray[np.bool_], scores_RK: Numbers, max_regions: int
) -> dict[int, float]:
    """Walk through pairs of box and class; returns the boxes in the order in which they first survive."""
    # A set of boxes is an integer with a bit for each: the walk is a few operations on integers a pair.
    rivals = [int.from_bytes(row.tobytes(), "little") for row in np.packbits(overlap_RR, axis=1, bitorder="little")]
    suppressed = [0] * scores_RK.shape[1]
    kept: dict[int, float] = {}
    boxes, classes = np.divmod(pairs, scores_RK.shape[1])
    for box, kind, score in zip(boxes.tolist(), classes.tolist(), scores_RK.ravel()[pairs].tolist(), strict=True):
        if not suppressed[kind] >> box & 1:
            suppressed[kind] |= rivals[box]
            if box not in kept:
                kept[box] = score
                if len(kept) == max_regions:
                    break
    return kept
