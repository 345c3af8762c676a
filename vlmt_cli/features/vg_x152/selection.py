"""Which of the proposals a photo keeps: those with the highest class score, after NMS within each class.

The authors' script runs NMS once for each of 1,600 classes, remembers for each box the highest probability of a class
in which it survived, and keeps the hundred boxes of the highest one. The same hundred come out when the pairs of box
and class are looked at in the order of their probabilities, those of all classes together: whether a pair survives
depends on pairs before it alone, and the first pair of a box that survives is its highest one. So the walk ends with
the hundredth box, after some thousand pairs of 1.6 million.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

MOST_OVERLAP = 0.5
_FIRST_PAIRS = 1 << 14

Numbers = NDArray[np.float32]


def select(
    overlap_RR: Tensor, scores_RK: Tensor, max_regions: int, first_class: int = 1, threshold: float = 0.0
) -> tuple[NDArray[np.int64], Numbers]:
    """Choose boxes.

    Args:
        overlap_RR: which boxes overlap by more than ``MOST_OVERLAP``.
        scores_RK: probabilities of the classes; they stay where they are, but for the strongest.
        max_regions: boxes to keep.
        first_class: 1 leaves out the background.
        threshold: a probability must be above it to count for a box; to suppress others it need not.

    Returns:
        The places of the boxes, surest first, ``most`` or all that there are; and how sure, 0 for boxes that survived
        in no class. These come last and in their own order, in which the original leaves them to chance.
    """
    max_regions = min(max_regions, len(scores_RK))
    kept: dict[int, float] = {}
    classes = scores_RK.shape[1] - first_class
    # A set of boxes is an integer with a bit for each: the walk is a few operations on integers a pair.
    bits = np.packbits(overlap_RR.cpu().numpy(), axis=1, bitorder="little")
    rivals = [int.from_bytes(row.tobytes(), "little") for row in bits]
    for pairs, scores in _strongest(scores_RK[:, first_class:], threshold):
        kept = _survivors(pairs, scores, rivals, classes, max_regions)
        if len(kept) == max_regions:
            break
    others = [box for box in range(len(scores_RK)) if box not in kept]
    places = [*kept, *others][:max_regions]
    return np.array(places, np.int64), np.array([kept.get(box, 0.0) for box in places], np.float32)


def _strongest(scores_RK: Tensor, threshold: float) -> Iterator[tuple[NDArray[np.int64], Numbers]]:
    """Yield places and values of the highest scores, best first: some, then more, then all above the threshold."""
    flat = scores_RK.reshape(-1)
    count, least = _FIRST_PAIRS, float(np.nextafter(np.float32(threshold), np.float32(1)))
    while count < len(flat):
        yield _sorted(flat, flat >= flat.topk(count, sorted=False).values.amin().clamp(min=least))
        count *= 16
    yield _sorted(flat, flat > threshold)


def _sorted(flat: Tensor, is_taken: Tensor) -> tuple[NDArray[np.int64], Numbers]:
    places = is_taken.nonzero()[:, 0]
    scores, order = flat[places].sort(descending=True, stable=True)
    return places[order].cpu().numpy(), scores.cpu().numpy()


def _survivors(
    pairs: NDArray[np.int64], scores: Numbers, rivals: Sequence[int], classes: int, max_regions: int
) -> dict[int, float]:
    """Walk through pairs of box and class; returns the boxes in the order in which they first survive."""
    suppressed = [0] * classes
    kept: dict[int, float] = {}
    boxes, kinds = np.divmod(pairs, classes)
    for box, kind, score in zip(boxes.tolist(), kinds.tolist(), scores.tolist(), strict=True):
        if not suppressed[kind] >> box & 1:
            suppressed[kind] |= rivals[box]
            if box not in kept:
                kept[box] = score
                if len(kept) == max_regions:
                    break
    return kept
