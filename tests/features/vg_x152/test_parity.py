"""Against the authors' code: what it made of two photos with tiny random weights, step by step and in the end."""

import numpy as np
import pytest
import torch
from features.vg_x152.tiny import close, recorded_detector, recorded_outputs, recorded_photos

from vlmt_cli.features.vg_x152.backbone import body, objectness, pyramid
from vlmt_cli.features.vg_x152.box_head import describe, pool
from vlmt_cli.features.vg_x152.extractor import canvas, regions, views
from vlmt_cli.features.vg_x152.operations import levels, overlaps
from vlmt_cli.features.vg_x152.rpn import propose
from vlmt_cli.features.vg_x152.selection import select

PHOTOS, WANTED = recorded_photos(), recorded_outputs()
BOXES = 2.5e-4
"""Pixels; plain convolutions differ by 1.7e-4, the quicker ones of ``correct`` mode by 3.5e-4."""


@pytest.fixture(scope="module")
def detector():
    return recorded_detector()


def test_every_step(detector):
    config, layers = detector.config, detector.layers
    seen = views([photo.shape[1::-1] for photo in PHOTOS], "faithful", config)
    with torch.inference_mode():
        stages = body(canvas(PHOTOS, seen, detector), layers, config)
        close(stages[3], WANTED["body.layer4"])
        maps = pyramid(stages, layers)
        for level in (3, 4, 5, 6):
            close(maps[level - 2], WANTED[f"fpn.p{level}"])
        logits, deltas = objectness(maps, layers)
        proposals = []
        for i, (boxes, scores) in enumerate(propose(logits, deltas, [(160, 160)] * 2, config)):
            close(boxes, WANTED[f"proposals_{i}.boxes"], BOXES)  # their order, too
            close(scores, WANTED[f"proposals_{i}.objectness"])
            proposals.append(boxes)
        assert torch.equal(levels(torch.cat(proposals), 2, 5) - 2, WANTED["roi.levels"])
        pooled = [pool([one[i] for one in maps], boxes, config) for i, boxes in enumerate(proposals)]
        features, scores = describe(torch.cat(pooled), layers)
    close(features, WANTED["box.fc6"])
    close(scores, WANTED["box.scores"])


@pytest.mark.parametrize(
    ("script", "options"),
    [("script", {}), ("script_background", {"first_class": 0}), ("script_threshold", {"threshold": 0.9})],
)
def test_the_same_boxes_are_kept(detector, script, options):
    seen = views([photo.shape[1::-1] for photo in PHOTOS], "faithful", detector.config)
    for i, scores in enumerate(WANTED["box.scores"].softmax(1).split(60)):
        boxes = WANTED[f"proposals_{i}.boxes"] / seen[i].scale
        places, sure = select(overlaps(boxes) > 0.5, scores, 12, **options)
        defined = int((sure > 0).sum())
        assert defined == {"script_threshold": (1, 3)[i]}.get(script, 12)
        np.testing.assert_array_equal(places[:defined], WANTED[f"{script}_{i}.keep"][:defined])


def test_the_whole_way(detector):
    for i, found in enumerate(regions(detector, PHOTOS, [None, None], "faithful", max_regions=12, batch=2)):
        assert (found.height, found.width) == PHOTOS[i].shape[:2]
        close(found.boxes, WANTED[f"script_{i}.bbox"], BOXES)
        close(found.features, WANTED[f"script_{i}.features"])
        close(found.scores, WANTED[f"script_{i}.cls_prob"])


def test_given_boxes(detector):
    given = [WANTED[f"gt_{i}.boxes_in"].numpy() for i in range(2)]
    seen = views([photo.shape[1::-1] for photo in PHOTOS], "faithful", detector.config)
    for i, found in enumerate(regions(detector, PHOTOS, given, "faithful", batch=2)):
        close(given[i] * np.array(seen[i].stretch * 2, "f4"), WANTED[f"gt_{i}.boxes_canvas"], BOXES)
        close(found.boxes, WANTED[f"gt_script_{i}.bbox"], BOXES)
        close(found.features, WANTED[f"gt_script_{i}.features"])
        close(found.scores, WANTED[f"gt_script_{i}.cls_prob"])
