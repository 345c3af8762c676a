"""Region proposals for drawn pictures: connected components of what is not ground, and boxes about them.

A real detector gives several overlapping boxes an object: some shifted, some too large, halves, two objects in one.
So do these proposals; without them overlap masking (IoU > 0.4 with a masked region) would have nothing to mask, and
IoU > 0.5 nothing to decide. The first boxes are the best ones, as with a detector's scores.
"""

import zlib
from itertools import chain, zip_longest

import numpy as np
from numpy.typing import NDArray

from vlmt_cli.base.boxes import BoxArray

Mask = NDArray[np.bool_]

MOST_PROPOSALS = 16
"""Boxes a picture."""
_DISTANCE = 28  # of a channel's value from the ground's: faint dots of the ground are nearer
_LEAST_PIXELS = 20  # of a component that is a thing


def ground_colour(pixels_HW3: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Return the commonest colour, (3,)."""
    coarse = (pixels_HW3 >> 4).astype(np.int32)
    codes = (coarse[..., 0] << 8 | coarse[..., 1] << 4 | coarse[..., 2]).ravel()
    commonest = np.bincount(codes, minlength=4096).argmax()
    return np.asarray(np.median(pixels_HW3.reshape(-1, 3)[codes == commonest], axis=0), np.int16)


def foreground(pixels_HW3: NDArray[np.uint8]) -> Mask:
    """Mark the pixels that are not ground, (H, W)."""
    differs = np.abs(pixels_HW3.astype(np.int16) - ground_colour(pixels_HW3)) > _DISTANCE
    # numpy reduces an axis of three numbers one pixel at a time.
    return np.asarray(differs[..., 0] | differs[..., 1] | differs[..., 2])


def find_proposals(pixels_HW3: NDArray[np.uint8], mask_HW: Mask) -> BoxArray:
    """Propose boxes.

    Args:
        pixels_HW3: the picture; equal pictures get equal proposals.
        mask_HW: its foreground.

    Returns:
        (R, 4), ``[x1, y1, x2, y2]`` in pixels within the picture, 1 to ``MOST_PROPOSALS`` of them;
        the whole picture where nothing stands out.
    """
    from scipy import ndimage  # here, as whoever asks about photos of other features does without

    height, width = mask_HW.shape
    labels, _ = ndimage.label(mask_HW)
    area = np.bincount(labels.ravel())
    things = np.array(
        [
            (columns.start, rows.start, columns.stop, rows.stop)
            for number, (rows, columns) in enumerate(ndimage.find_objects(labels), 1)
            if area[number] >= _LEAST_PIXELS
        ],
        np.float32,
    )
    if not len(things):
        return np.array([[0, 0, width, height]], np.float32)
    rng = np.random.default_rng(zlib.crc32(np.ascontiguousarray(pixels_HW3).data))
    kinds = [_near(things, rng), _shifted(things, rng), _merged(things), _enlarged(things, rng), _halves(things, rng)]
    # Every thing's good and shifted box first, then the others by turns until there are enough.
    turns = chain(kinds[0], kinds[1], *([box for box in row if box is not None] for row in zip_longest(*kinds[2:])))
    boxes = np.array(list(turns)[:MOST_PROPOSALS], np.float32)
    return np.clip(boxes, 0, np.array([width, height] * 2, np.float32))


def _near(things: BoxArray, rng: np.random.Generator) -> BoxArray:
    """Box every thing up to two pixels too large."""
    return np.asarray(things + rng.integers(0, 3, things.shape) * np.array([-1, -1, 1, 1]), np.float32)


def _shifted(things: BoxArray, rng: np.random.Generator) -> BoxArray:
    """Move every box by a sixth to a quarter of its size in one direction: IoU 0.6 to 0.7 with the thing."""
    sizes = things[:, 2:] - things[:, :2]
    share = rng.uniform(0.17, 0.25, (len(things), 1)) * rng.choice([-1, 1], (len(things), 1))
    axis = np.eye(2)[rng.integers(0, 2, len(things))]
    return np.asarray(things + np.tile(sizes * share * axis, 2), np.float32)


def _enlarged(things: BoxArray, rng: np.random.Generator) -> BoxArray:
    """Grow every box by a tenth to a sixth of its size at every side: IoU 0.55 to 0.7 with the thing."""
    margin = (things[:, 2:] - things[:, :2]) * rng.uniform(0.1, 0.17, (len(things), 1))
    return np.concatenate([things[:, :2] - margin, things[:, 2:] + margin], axis=1)


def _halves(things: BoxArray, rng: np.random.Generator) -> BoxArray:
    """Cut every box to a half, the left, upper, right or lower one, and a little more."""
    halves = things.copy()
    rows, corner = np.arange(len(things)), rng.integers(0, 4, len(things))
    sizes = things[:, 2:] - things[:, :2]
    halves[rows, corner] += np.where(corner < 2, 0.45, -0.45) * sizes[rows, corner % 2]
    return halves


def _merged(things: BoxArray) -> BoxArray:
    """Put every thing and the one nearest to it into one box; each pair once."""
    if len(things) < 2:
        return things[:0]
    centres = (things[:, :2] + things[:, 2:]) / 2
    distance = np.abs(centres[:, None] - centres).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    pairs = np.unique(np.sort(np.stack([np.arange(len(things)), distance.argmin(axis=1)], axis=1), axis=1), axis=0)
    first, second = things[pairs[:, 0]], things[pairs[:, 1]]
    return np.concatenate([np.minimum(first, second)[:, :2], np.maximum(first, second)[:, 2:]], axis=1)
