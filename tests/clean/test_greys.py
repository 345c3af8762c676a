"""The size that looks are taken of: pictures resized together against Pillow on each alone."""

import numpy as np
from PIL import Image

from vlmt_cli.clean.greys import _resized


def test_pictures_of_one_size_are_resized_together_as_pillow_resizes_each_alone():
    chance = np.random.default_rng(0)
    parts = []
    for _ in range(60):
        width, height = chance.integers(8, 500, 2).tolist()
        inside = (width * 0.07, height * 0.11, width * 0.9, height * 0.97)
        for box in ((0.0, 0.0, float(width), float(height)), inside):
            noise = chance.integers(0, 256, (2, height, width), np.uint8)
            parts += [(Image.fromarray(picture), box) for picture in noise]

    alone = [
        np.asarray(image.resize((64, 64), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)) for image, box in parts
    ]

    np.testing.assert_array_equal(_resized(parts), alone)
