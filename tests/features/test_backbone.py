"""Region features: means of a patch map, against a slow bilinear sampler."""

import numpy as np
import pytest
import torch
from features.tiny_networks import save_networks
from PIL import Image
from transformers import AutoImageProcessor, AutoModel

from vlmt_cli.base.errors import DataError
from vlmt_cli.features.backbone import (
    BINS,
    feature_width,
    load_backbone,
    patch_maps,
    region_features,
    region_means,
    side,
    squeeze,
)
from vlmt_cli.features.networks import run_network


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    return save_networks(tmp_path_factory.mktemp("networks"))


def slow_mean(one, box):
    """Average ``BINS`` squared bilinear samples of a map, (F, H, W), over a box of shares."""
    height, width = one.shape[1:]
    total = np.zeros(len(one))
    for row in range(BINS):
        for column in range(BINS):
            x = (box[0] + (box[2] - box[0]) * (column + 0.5) / BINS) * width - 0.5
            y = (box[1] + (box[3] - box[1]) * (row + 0.5) / BINS) * height - 0.5
            x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
            left, top = min(int(x), width - 2), min(int(y), height - 2)
            for j, i, share in ((top, left, (1 - (x - left)) * (1 - (y - top))),
                                (top, left + 1, (x - left) * (1 - (y - top))),
                                (top + 1, left, (1 - (x - left)) * (y - top)),
                                (top + 1, left + 1, (x - left) * (y - top))):  # fmt: skip
                total += share * one[:, j, i]
    return total / BINS**2


def test_means_are_those_of_a_slow_sampler():
    rng = np.random.default_rng(0)
    one = rng.standard_normal((5, 6, 9)).astype(np.float32)
    corners = np.sort(rng.random((20, 2, 2)), axis=1)
    boxes = np.concatenate([corners.reshape(20, 4), [[0, 0, 1, 1]]]).astype(np.float32)
    means = region_means(torch.from_numpy(one), torch.from_numpy(boxes))
    np.testing.assert_allclose(means, [slow_mean(one, box) for box in boxes], atol=1e-5)


def test_no_box_has_no_feature():
    assert region_means(torch.zeros(5, 4, 4), torch.zeros(0, 4)).shape == (0, 5)


@pytest.mark.parametrize(("kind", "patch"), [("dinov2", 14), ("vit", 16)])
def test_patch_maps_are_the_patches_in_their_places(networks, kind, patch):
    backbone = load_backbone(networks[kind], "cpu")
    photo = Image.fromarray(np.random.default_rng(1).integers(0, 256, (80, 130, 3), np.uint8))
    pixels = squeeze(backbone.processor, side(backbone), photo)
    found = run_network(backbone, [pixels], 1, lambda batch: patch_maps(backbone, batch))[0]
    processor = AutoImageProcessor.from_pretrained(networks[kind], backend="pil")
    square = {"height": side(backbone), "width": side(backbone)}
    inputs = processor(images=photo, size=square, do_resize=True, do_center_crop=False, return_tensors="pt")
    with torch.inference_mode():
        tokens = AutoModel.from_pretrained(networks[kind]).eval()(**inputs).last_hidden_state[0]
    patches = side(backbone) // patch
    assert found.shape == (feature_width(backbone), patches, patches)
    torch.testing.assert_close(found[:, 2, 1], tokens[1 + 2 * patches + 1], atol=1e-4, rtol=1e-4)


def test_features_are_of_the_boxes_place(networks):
    backbone = load_backbone(networks["dinov2"], "cpu")
    photo = Image.new("RGB", (200, 100), "red")
    photo.paste("blue", (100, 0, 200, 100))
    pixels = squeeze(backbone.processor, side(backbone), photo)
    boxes = np.array([[10, 10, 60, 60], [20, 30, 80, 90], [130, 10, 180, 60]], np.float32)
    left, also_left, right = region_features(backbone, [pixels], [photo.size], [boxes])[0]
    assert np.linalg.norm(left - right) > 3 * np.linalg.norm(left - also_left)


def test_what_gives_no_map_is_refused(networks, tmp_path):
    with pytest.raises(DataError, match="cannot be loaded"):
        load_backbone(str(tmp_path), "cpu")
    with pytest.raises(DataError, match="no map of patches"):
        load_backbone(networks["detr"], "cpu")
