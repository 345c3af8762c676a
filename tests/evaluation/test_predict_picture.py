"""Numbers of boxes on a photo never hide each other."""

from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from vlmt_cli.evaluation.predict_picture import COLOURS, Mark, View, draw_boxes, label_corners
from vlmt_cli.evaluation.predictions import Box, Boxes

SAME = [(50, 40, 90, 80)] * 9  # more boxes than a box has corners
NESTED = [(0, 0, 200, 100), (0, 0, 190, 100), (0, 0, 60, 60), (0, 0, 60, 61), (1, 1, 59, 59)]
AT_THE_EDGE = [(190, 90, 200, 100), (188, 90, 200, 100), (190, 85, 200, 100), (185, 85, 200, 100), (190, 0, 200, 100)]


@pytest.mark.parametrize("boxes", [SAME, NESTED, AT_THE_EDGE])
def test_numbers_never_overlap_and_stay_on_the_photo(boxes):
    marks = [Mark(box, number, "#000", number == 1) for number, box in enumerate(boxes, 1)]
    sizes = [(12.0 + (mark.number > 9) * 6, 10.0) for mark in marks]
    corners = label_corners(marks, sizes, 200, 100)
    grounds = [(x, y, x + wide, y + high) for (x, y), (wide, high) in zip(corners, sizes, strict=True)]
    assert all(x1 >= 0 and y1 >= 0 and x2 <= 200 and y2 <= 100 for x1, y1, x2, y2 in grounds)
    for a, b in combinations(grounds, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_each_of_five_equal_boxes_shows_its_number(tmp_path):
    box = Box((50.0, 40.0, 90.0, 80.0), 0.5, 0.5, 0)
    found = [Boxes(f"text {number}", "photo", [box]) for number in range(5)]
    draw_boxes(tmp_path / "boxes.png", View(Image.new("RGB", (200, 100), "white"), 200, 100), found)
    pixels = np.asarray(Image.open(tmp_path / "boxes.png").convert("RGB"))
    for colour in COLOURS[:5]:
        own = (pixels == [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).all(-1)
        assert own.sum() > 300  # the ground of a number, not a line alone
