"""Boxes, NMS, RoIAlign, anchors and resizing: against the original's, and against loops over every box and point."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from features.vg_x152.tiny import RECORDED, close
from safetensors.torch import load_file

from benchmarks import textbook_detector as textbook
from vlmt_cli.features.vg_x152 import winograd
from vlmt_cli.features.vg_x152.config import DetectorConfig
from vlmt_cli.features.vg_x152.operations import clip, decode, levels, nms, overlaps, roi_align
from vlmt_cli.features.vg_x152.photo import canvas_side, network_input, resized_size, scale_of
from vlmt_cli.features.vg_x152.rpn import cell_anchors, grid_anchors

RECORD = load_file(RECORDED / "operations.safetensors")
RATIOS = (0.5, 1, 2)
LEVELS = list(zip((4, 8, 16, 32, 64), (32, 64, 128, 256, 512), strict=True))


def random_boxes(n, size=100, seed=0):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-5, size, (n, 2))
    return torch.tensor(np.concatenate([corner, corner + rng.uniform(0, size / 2, (n, 2))], 1), dtype=torch.float32)


def test_decode_and_clip():
    close(decode(RECORD["decode.boxes"], RECORD["decode.deltas_rpn"]), RECORD["decode.out_rpn"], 1e-3)
    close(clip(RECORD["decode.out_rpn"][None], [(500, 400)])[0], RECORD["clip.out_w500_h400"], 1e-3)


def kept(boxes, scores, most_overlap):
    """The places of the boxes of one set that survive."""
    order = scores.sort(descending=True, stable=True).indices
    survives = nms(boxes[order][None], torch.ones(1, len(order), dtype=torch.bool), most_overlap)[0]
    return order[survives].sort().values


@pytest.mark.parametrize("i", [0, 1])
def test_nms(i):
    threshold = float(RECORD[f"nms_{i}.threshold"])
    assert torch.equal(kept(RECORD[f"nms_{i}.boxes"], RECORD[f"nms_{i}.scores"], threshold), RECORD[f"nms_{i}.keep"])


@pytest.mark.parametrize("n", [0, 1, 300])
def test_nms_is_the_greedy_loop(n):
    boxes, scores = random_boxes(n), torch.rand(n, generator=torch.Generator().manual_seed(n)).round(decimals=1)
    found = kept(boxes, scores, 0.4)
    np.testing.assert_array_equal(found, textbook.nms(boxes.numpy(), scores.numpy(), 0.4))


def test_nms_of_several_sets_is_that_of_each():
    sizes = (40, 0, 7, 25)
    boxes, is_there = torch.zeros(len(sizes), 40, 4), torch.zeros(len(sizes), 40, dtype=torch.bool)
    for number, size in enumerate(sizes):
        boxes[number, :size], is_there[number, :size] = random_boxes(size, 30, number), True
    found = nms(boxes, is_there, 0.3)
    for number, size in enumerate(sizes):
        falling = -np.arange(size, dtype="f4")
        wanted = textbook.nms(boxes[number, :size].numpy(), falling, 0.3)
        np.testing.assert_array_equal(found[number].nonzero()[:, 0], wanted)


def test_nms_of_a_chain_goes_on_to_its_end():
    # Each box suppresses the next alone, so that every second one survives.
    x = 2.5 * torch.arange(50.0)
    boxes = torch.stack([x, torch.zeros(50), x + 9, torch.full((50,), 9.0)], 1)
    found = nms(boxes[None], torch.ones(1, 50, dtype=torch.bool), 0.5)
    assert found[0].tolist() == [True, False] * 25


def test_an_overlap_that_is_the_threshold_suppresses_nothing():
    boxes = torch.tensor([[0, 0, 9, 9], [0, 0, 9, 4.0]])
    assert overlaps(boxes)[0, 1] == 0.5
    assert kept(boxes, torch.tensor([1.0, 0.5]), 0.5).tolist() == [0, 1]
    assert kept(boxes, torch.tensor([1.0, 0.5]), 0.4999).tolist() == [0]


def test_levels_at_their_edges():
    assert torch.equal(levels(RECORD["levels.boxes"], 2, 5) - 2, RECORD["levels.out"])


@pytest.mark.parametrize(("level", "scale"), [("p2", 1 / 4), ("p3", 1 / 8)])
def test_roi_align(level, scale):
    picture, boxes = RECORD["roi.rois"][:, 0].long(), RECORD["roi.rois"][:, 1:]
    for i, one in enumerate(RECORD["roi.features"]):
        found = roi_align(one, boxes[picture == i], scale, 7, 2)
        close(found.permute(0, 3, 1, 2), RECORD[f"roi.out_{level}"][picture == i])


@pytest.mark.parametrize(("bins", "samples", "scale"), [(7, 2, 1), (5, 3, 1 / 2), (1, 1, 1 / 8)])
def test_roi_align_is_the_mean_of_bilinear_points(bins, samples, scale):
    one = torch.randn(3, 17, 11, generator=torch.Generator().manual_seed(bins))
    boxes = torch.cat([random_boxes(20, 40), torch.tensor([[3, 3, 3, 3], [-90, -90, -80, -80], [60, 60, 2, 2.0]])])
    found = roi_align(one, boxes, scale, bins, samples)
    for box, pooled in zip(boxes.numpy(), found, strict=True):
        close(pooled.permute(2, 0, 1).double(), textbook.roi_align(one.numpy(), box, scale, bins, samples))


@pytest.mark.parametrize("level", range(5))
def test_anchors(level):
    assert torch.equal(cell_anchors(*LEVELS[level], RATIOS), RECORD[f"anchors.cell.{level}"])
    wanted = RECORD[f"anchors.grid.{level}"]
    shapes = [(h, len(wanted) // 3 // h) for h in range(1, len(wanted)) if len(wanted) // 3 % h == 0]
    assert any(torch.equal(grid_anchors(*LEVELS[level], RATIOS, *shape), wanted) for shape in shapes)


@pytest.mark.parametrize(("i", "scale"), list(enumerate((96 / 31, 1.5, 0.5, 90 / 77, 1.0))))
def test_resizing(i, scale):
    wanted = RECORD[f"resize_{i}.out_hwc_bgr"]
    found = network_input(RECORD[f"resize_{i}.rgb_uint8"], scale)
    assert found.dtype == torch.float32
    close(found.permute(1, 2, 0), wanted)


def test_sizes_of_photos():
    known = DetectorConfig()
    for size, scale, resized in (
        ((640, 480), 800 / 480, (1067, 800)),
        ((480, 640), 800 / 480, (800, 1067)),
        ((640, 360), 1333 / 640, (1333, 750)),
        ((1333, 800), 1, (1333, 800)),
        ((1, 1), 800, (800, 800)),
        ((30000, 5), 1333 / 30000, (1333, 1)),
    ):
        assert scale_of(*size, known) == scale and resized_size(*size, scale) == resized
    assert resized_size(45, 45, 1.5) == (68, 68) and resized_size(43, 43, 1.5) == (64, 64)  # halves go to the even one
    assert [canvas_side(side) for side in (1, 32, 33, 1333)] == [32, 32, 64, 1344]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 8), (13, 7), (3, 50)])
def test_winograd_is_a_convolution(height, width):
    generator = torch.Generator().manual_seed(height)
    x, weight, bias = (
        torch.randn(*shape, generator=generator) for shape in ((2, 6, height, width), (5, 6, 3, 3), (5,))
    )
    wanted = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    close(winograd.convolve(x, winograd.transformed(weight), bias).double(), wanted, 1e-4)
