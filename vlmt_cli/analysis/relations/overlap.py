"""Table 1 for any datasets: which test images are in which training images, and in any of them together."""

import numpy as np
from numpy.typing import NDArray

from vlmt_cli.clean.overlap import Matrix, Overlap, Share, image_matrix
from vlmt_cli.clean.removal import LAST_RELATION

TOGETHER = "any of them"


def mixture(overlap: Overlap, identity: str) -> Matrix:
    """Count, for every test set, its images in each other training set, and in the whole mixture.

    Args:
        overlap: the compared splits: train and val, pre-training and detectors' images, test sets.
        identity: ``strict`` or ``paper``.

    Returns:
        Table 1's cells by test set and column, and the column ``TOGETHER``.
    """
    how = LAST_RELATION[identity]
    numbers = overlap.numbers[how]
    seen = _images(overlap, numbers, [split.role != "test" for split in overlap.splits])
    matrix = {test: dict(row) for test, row in image_matrix(overlap, how=how).items()}
    for test, row in matrix.items():
        own = [split.role == "test" and split.test_set == test for split in overlap.splits]
        images = _images(overlap, numbers, own)
        row[TOGETHER] = Share(hit=int(np.isin(images, seen).sum()), of=len(images))
    return matrix


def _images(overlap: Overlap, numbers: NDArray[np.int32], chosen: list[bool]) -> NDArray[np.int32]:
    """The distinct images of some splits."""
    codes = [overlap.codes[index] for index, wanted in enumerate(chosen) if wanted]
    return np.unique(numbers[np.concatenate([np.empty(0, np.int32), *codes])])
