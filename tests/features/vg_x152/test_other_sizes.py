"""Other configurations than the recorded one, against the textbook's loops; and the selection, against all classes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from features.vg_x152.tiny import TINY, close, drawn, random_detector, random_released

from benchmarks.textbook_detector import TextbookDetector
from benchmarks.textbook_detector import select as textbook_select
from vlmt_cli.features.vg_x152.extractor import canvas, regions, views
from vlmt_cli.features.vg_x152.operations import overlaps
from vlmt_cli.features.vg_x152.selection import select

OTHERS = {
    "stride in the 1x1": replace(TINY, stride_in_1x1=True, blocks=(2, 1, 2, 2)),
    "no groups": replace(TINY, groups=1, group_width=6),
    "as many groups as channels": replace(TINY, groups=8, group_width=1),
    "no shortcut convolution in stage one": replace(TINY, stem_width=16),
    "scale one": replace(TINY, shortest=60, longest=150),
    "scaled by the longer side": replace(TINY, shortest=96, longest=120),
    "large boxes on all levels": replace(TINY, shortest=320, longest=600, rpn_overlap=0.3, proposals=200),
    "two maps, other bins and samples": replace(TINY, pool_scales=(1 / 4, 1 / 8), pool_size=3, pool_samples=3),
    "five maps": replace(TINY, pool_scales=(1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64), shortest=320, longest=600),
    "one map": replace(TINY, pool_scales=(1 / 8,)),
    "other anchors": replace(TINY, aspect_ratios=(0.4, 1.0, 1.5, 3.0), anchor_sizes=(16, 48, 100, 200, 500)),
    "small proposals are dropped": replace(TINY, smallest=25),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_sizes_agree_with_the_textbook(name):
    config, photo = OTHERS[name], drawn(60, 100, seed=3)
    textbook = TextbookDetector(config, random_released(config).tensors)
    detector = random_detector(config)
    (view,) = views([photo.shape[1::-1]], "correct", config)
    with torch.inference_mode():
        maps = textbook.maps(canvas([photo], [view], detector))
        boxes, _ = textbook.proposals(maps, *view.frame)
        features, scores = textbook.describe(textbook.pooled(maps, boxes))
    boxes = boxes / np.float32(view.scale)
    places, sure = textbook_select(boxes, scores, 30)
    (found,) = regions(detector, [photo], [None], max_regions=30)
    assert len(places) == 30 and (sure > 0).sum() > 10
    close(found.boxes, boxes[places], 1e-3)
    close(found.features, features[places])
    close(found.scores, scores[places])


@pytest.mark.parametrize("sharpness", [0.0, 1.0, 20.0])
@pytest.mark.parametrize(("first_class", "threshold"), [(1, 0.0), (0, 0.05)])
def test_the_strongest_pairs_choose_the_boxes_that_all_classes_choose(sharpness, first_class, threshold):
    rng = np.random.default_rng(int(sharpness))
    centre = rng.uniform(0, 100, (4, 2)).repeat(40, 0) + rng.normal(0, 6, (160, 2))  # many overlap
    boxes = np.concatenate([centre, centre + rng.uniform(10, 30, (160, 2))], 1).astype("f4")
    logits = sharpness * rng.normal(size=(160, 130)) + rng.normal(size=(160, 1))  # more pairs than a first look takes
    scores = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype("f4")
    overlap_RR = overlaps(torch.from_numpy(boxes)) > 0.5
    wanted, wanted_sure = textbook_select(boxes, scores, 160, first_class, threshold)
    for max_regions in (5, 100, 200):
        places, sure = select(overlap_RR, torch.from_numpy(scores), max_regions, first_class, threshold)
        np.testing.assert_array_equal(sure, wanted_sure[:max_regions])
        np.testing.assert_array_equal(places, wanted[:max_regions])


def test_boxes_that_no_class_keeps_come_last():
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 11], [50, 50, 60, 60.0]])
    scores = torch.tensor([[0.1, 0.6, 0.3], [0.7, 0.2, 0.1], [0.4, 0.3, 0.3]])
    places, sure = select(overlaps(boxes) > 0.5, scores, 5)
    assert places.tolist() == [0, 2, 1] and sure.tolist() == pytest.approx([0.6, 0.3, 0])
