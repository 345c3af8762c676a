"""The detector in small: the original's recorded run, and other sizes with random weights.

``tests/data/detector`` holds weights, photos and outputs of the authors' code at these sizes, run on a CPU with both
photos as one batch, resized to 96 to 140 pixels.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from benchmarks.textbook_detector import random_tensors
from vlmt_cli.features.vg_x152.config import DetectorConfig
from vlmt_cli.features.vg_x152.extractor import load_detector
from vlmt_cli.features.vg_x152.weights import Released, read_released

RECORDED = Path(__file__).parents[2] / "data" / "detector"
WEIGHTS, CONFIG = RECORDED / "weights.safetensors", RECORDED / "config.yaml"
TINY = DetectorConfig(
    blocks=(1, 2, 1, 1), groups=4, group_width=2, stem_width=8, res2_width=16, fpn_width=12, before_nms=40,
    after_nms=18, proposals=60, mlp_width=24, classes=7, shortest=96, longest=140,
)  # fmt: skip


def recorded_detector():
    """Load the recorded weights."""
    released = read_released(WEIGHTS, CONFIG)
    return load_detector(released._replace(config=replace(released.config, shortest=96, longest=140)), "cpu")


def recorded_outputs():
    """Return what the authors' code made of ``recorded_photos``, by name."""
    return load_file(RECORDED / "outputs.safetensors")


def recorded_photos():
    return [np.array(Image.open(RECORDED / f"image_{i}.png")) for i in range(2)]


def random_released(config=TINY, seed=0):
    return Released(Path("random.pth"), config, None, random_tensors(config, seed), ())


def random_detector(config=TINY, seed=0):
    return load_detector(random_released(config, seed), "cpu")


def drawn(height, width, seed=0):
    """Draw a photo: blocks of colour with noise."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3)).repeat(8, 0).repeat(8, 1)[:height, :width]
    return np.clip(blocks + rng.integers(-20, 20, blocks.shape), 0, 255).astype(np.uint8)


def close(found, wanted, tolerance=2e-4):
    """Assert that tensors or arrays are equal up to a tolerance."""
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(wanted), atol=tolerance, rtol=0)
