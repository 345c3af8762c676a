"""Overlap of boxes, against a count of the grid cells that they share."""

import numpy as np
import pytest
import torch

from vlmt_cli.base.boxes import iou_of_arrays, sound_boxes
from vlmt_cli.features.overlap import iou_of_tensors, pairwise_iou


def cells(box):
    x1, y1, x2, y2 = (int(side) for side in box)
    return {(x, y) for x in range(x1, x2) for y in range(y1, y2)}


def random_boxes(rng, *shape):
    corners = np.sort(rng.integers(0, 12, (*shape, 2, 2)), axis=-2)
    return torch.tensor(corners.reshape(*shape, 4), dtype=torch.float32)


@pytest.mark.parametrize("seed", range(3))
def test_iou_counts_shared_cells(seed):
    rng = np.random.default_rng(seed)
    a, b = random_boxes(rng, 2, 9), random_boxes(rng, 2, 7)
    found = iou_of_tensors(a, b)
    assert found.shape == (2, 9, 7)
    assert np.allclose(iou_of_arrays(a[0].numpy(), b[0].numpy()), found[0], atol=1e-6)
    for i, n, m in np.ndindex(2, 9, 7):
        one, other = cells(a[i, n]), cells(b[i, m])
        expected = len(one & other) / max(len(one | other), 1)
        if torch.equal(a[i, n], b[i, m]):
            expected = 1.0
        assert found[i, n, m].item() == pytest.approx(expected)


def test_pairwise_iou_is_each_image_with_itself():
    boxes = random_boxes(np.random.default_rng(0), 3, 20)
    found = pairwise_iou(boxes)
    assert torch.equal(found, torch.stack([iou_of_tensors(one, one) for one in boxes]))
    assert torch.equal(found, found.transpose(1, 2))
    assert (found.diagonal(dim1=1, dim2=2) == 1).all()


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([0, 0, 10, 10], [10, 0, 20, 10], 0),  # they touch: no pixel of their own is shared
        ([0, 0, 10, 10], [5, 0, 15, 10], 1 / 3),
        ([3, 3, 3, 9], [3, 3, 3, 9], 1),  # without area, and the same
        ([3, 3, 3, 9], [3, 3, 3, 8], 0),
        ([3, 3, 3, 9], [0, 0, 10, 10], 0),
        ([10, 10, 0, 0], [0, 0, 10, 10], 0),  # ends before it begins
        ([4000.25, 3000.5, 4001.25, 3001.5], [4000.75, 3000.5, 4001.75, 3001.5], 1 / 3),
    ],
)
def test_edges(one, other, expected):
    found = iou_of_tensors(torch.tensor([one], dtype=torch.float32), torch.tensor([other], dtype=torch.float32))
    assert found.item() == pytest.approx(expected)


def test_broadcast_and_empty():
    boxes = random_boxes(np.random.default_rng(1), 5, 4)
    assert torch.equal(
        iou_of_tensors(boxes, boxes[0, :1]).squeeze(-1),
        torch.stack([iou_of_tensors(b, boxes[0, :1])[:, 0] for b in boxes]),
    )
    assert iou_of_tensors(boxes, boxes.new_zeros(0, 4)).shape == (5, 4, 0)
    assert pairwise_iou(boxes.new_zeros(0, 3, 4)).shape == (0, 3, 3)


def test_impossible_boxes_are_dropped_and_those_that_cross_the_border_clipped():
    nan, inf = float("nan"), float("inf")
    kept = {(1, 2, 30, 40): (1, 2, 30, 40), (-5, -1e38, 10, 10): (0, 0, 10, 10), (90, 40, 1e38, 51): (90, 40, 100, 50)}
    dropped = [
        (nan, 0, 1, 1), (0, 0, inf, 1), (-inf, 0, 1, 1), (5, 5, 5, 9), (0, 0, 0, 0), (9, 9, 3, 20), (-9, -9, -1, 0),
        (100, 0, 120, 9), (200, 200, 300, 300),
    ]  # fmt: skip
    boxes = np.array([*kept, *dropped], np.float32)
    found = sound_boxes(boxes, 100, 50)
    assert found.is_sound.tolist() == [True] * len(kept) + [False] * len(dropped)
    assert [tuple(box) for box in found.boxes[: len(kept)].tolist()] == list(kept.values())
    assert found.is_clipped.tolist() == [False, True, True] + [False] * len(dropped)
    # Of an image whose size is not known, the border on the right and below may be anywhere.
    assert sound_boxes(boxes).is_sound.tolist() == [True] * 3 + [False] * 7 + [True] * 2
    each = np.full(len(boxes), 100.0)
    np.testing.assert_array_equal(sound_boxes(boxes, each, each / 2).boxes, found.boxes)
    assert not len(sound_boxes(np.zeros((0, 4), np.float32), 9, 9).boxes)
