"""Detectors: which boxes are kept, and that photos go through a network as its own processor would send them."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from features.tiny_networks import save_networks
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoImageProcessor, AutoModelForObjectDetection

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.images import open_image
from vlmt_cli.features.detector import best, detect, load_detector
from vlmt_cli.features.networks import resized, run_network


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    return save_networks(tmp_path_factory.mktemp("networks"))


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(0)
    shapes = [(120, 160), (160, 120), (120, 160), (90, 130), (120, 160)]
    return [Image.fromarray(rng.integers(0, 256, (*shape, 3), np.uint8)) for shape in shapes]


def test_keeps_the_best_boxes_inside_the_photo():
    logits = torch.tensor([[0.0, 1.0], [3.0, 0.0], [9.0, 0.0], [0.0, 2.0]])
    boxes = torch.tensor([
        [0.5, 0.5, 0.5, 0.5],
        [0.0, 0.0, 0.5, 0.5],  # reaches out of the photo at the top left
        [0.5, 0.5, 0.001, 0.5],  # thinner than a pixel
        [0.5, 0.5, 3.0, 3.0],  # larger than the photo
    ])  # fmt: skip
    kept, scores = best(logits, boxes, (200, 100), classes=2, max_regions=2)
    np.testing.assert_allclose(kept, [[0, 0, 50, 25], [0, 0, 200, 100]])
    np.testing.assert_allclose(scores, [[np.exp(3) / (1 + np.exp(3)), 1 / (1 + np.exp(3))],
                                        [1 / (1 + np.exp(2)), np.exp(2) / (1 + np.exp(2))]], rtol=1e-6)  # fmt: skip


def test_a_box_of_no_object_is_no_good_box():
    logits = torch.tensor([[5.0, 0.0, 9.0], [1.0, 0.0, -9.0]])  # the last class is "no object"
    boxes = torch.tensor([[0.2, 0.2, 0.2, 0.2], [0.8, 0.8, 0.2, 0.2]])
    kept, scores = best(logits, boxes, (100, 100), classes=2, max_regions=1)
    np.testing.assert_allclose(kept, [[70, 70, 90, 90]], rtol=1e-6)
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize("kind", ["rt_detr", "detr"])
def test_finds_what_transformers_finds(networks, photos, kind):
    detector = load_detector(networks[kind], "cpu")
    pixels = [resized(detector.processor, photo) for photo in photos]
    found = detect(detector, pixels, [photo.size for photo in photos], max_regions=10)
    processor = AutoImageProcessor.from_pretrained(networks[kind], backend="pil")
    model = AutoModelForObjectDetection.from_pretrained(networks[kind]).eval()
    for photo, (boxes, scores) in zip(photos, found, strict=True):
        with torch.inference_mode():
            output = model(**processor(images=photo, return_tensors="pt"))
        theirs = processor.post_process_object_detection(output, 0.0, [photo.size[::-1]])[0]
        # Theirs are neither clipped nor one box a query, so each of ours must be among them.
        limit = torch.tensor([*photo.size, *photo.size])
        clipped = torch.minimum(theirs["boxes"].clamp(min=0), limit)
        assert len(boxes) == 10 and scores.shape == (10, 7)
        for box in torch.from_numpy(boxes):
            assert (clipped - box).abs().amax(1).min() < 1e-2
        np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)
    assert "torchvision" not in sys.modules


@pytest.mark.parametrize("together", [2, 4])
def test_neighbours_change_nothing(networks, photos, together):
    detector = load_detector(networks["detr"], "cpu")
    pixels = [resized(detector.processor, photo) for photo in photos]

    def run(batch):
        return list(detector.model(pixel_values=batch).pred_boxes)

    all_at_once = run_network(detector, pixels, together, run)
    alone = [run_network(detector, [one], together, run)[0] for one in pixels]
    assert all(torch.equal(a, b) for a, b in zip(all_at_once, alone, strict=True))
    one_by_one = run_network(detector, pixels, 1, run)
    torch.testing.assert_close(all_at_once, one_by_one, atol=1e-4, rtol=1e-4)


def test_the_hash_is_of_weights_and_config(networks, tmp_path):
    original = load_detector(networks["rt_detr"], "cpu").hash
    model = AutoModelForObjectDetection.from_pretrained(networks["rt_detr"])
    processor = AutoImageProcessor.from_pretrained(networks["rt_detr"], backend="pil")
    for model_or_processor in (model, processor):
        model_or_processor.save_pretrained(tmp_path)
    assert load_detector(str(tmp_path), "cpu").hash == original
    with torch.no_grad():
        next(model.parameters()).flatten()[0] += 1e-3
    model.save_pretrained(tmp_path)
    assert load_detector(str(tmp_path), "cpu").hash != original


def test_what_is_no_detector_is_refused(networks, tmp_path):
    with pytest.raises(DataError, match="cannot be loaded"):
        load_detector(networks["vit"], "cpu")
    with pytest.raises(DataError, match="cannot be loaded"):
        load_detector(str(tmp_path / "nothing"), "cpu")


def test_random_weights_in_place_of_missing_ones_are_refused(networks, tmp_path):
    for file in ("config.json", "preprocessor_config.json"):
        shutil.copy(Path(networks["rt_detr"], file), tmp_path)
    weights = load_file(f"{networks['rt_detr']}/model.safetensors")
    gone = next(name for name in weights if "encoder_input_proj" in name)
    save_file({name: one for name, one in weights.items() if name != gone}, tmp_path / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    with pytest.raises(DataError, match="lacks 1 tensor of weights"):
        load_detector(str(tmp_path), "cpu")


def test_photos_are_opened_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert open_image(str(tmp_path / "turned.jpg")).size == (20, 40)
