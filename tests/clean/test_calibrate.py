"""Recall and false pairs against counts by hand."""

import numpy as np
import pyarrow as pa
import pytest
from clean.test_scan_pictures import scene
from PIL import Image, ImageOps

from vlmt_cli.base.embedder import Embedder, EmbeddingModel
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.identity import LINKS
from vlmt_cli.clean.calibrate import calibrate, pairs_by_crosswalk, read_pairs
from vlmt_cli.clean.calibrate_picture import draw_calibration

ANGLES = (0, 20, 90, 115)
"""Degrees: the copies of a picture stand at its angle and 10 degrees behind it."""


@pytest.fixture
def pairs(tmp_path):
    """Four pictures with a mirrored copy each; the last copy is a crop, the first picture is in two pairs."""
    lines = []
    for number in range(4):
        picture = scene(number)
        copy = ImageOps.mirror(picture) if number < 3 else picture.crop((40, 30, 160, 120))
        picture.save(tmp_path / f"a{number}.png")
        copy.save(tmp_path / f"b{number}.png")
        lines.append(f"a{number}.png\tb{number}.png")
    scene(0).save(tmp_path / "c0.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    lines += ["a0.png, c0.png", "a1.png\tbroken.png", "# a comment"]
    (tmp_path / "pairs.tsv").write_text("\n".join(lines))
    return read_pairs(tmp_path / "pairs.tsv")


def test_recall_and_false_pairs_by_threshold(pairs, tmp_path):
    corners = {scene(n).getpixel((159, 119)): n for n in range(4)}
    mirrored = {ImageOps.mirror(scene(n)).getpixel((159, 119)): n for n in range(3)}

    def embed(pictures):
        degrees = [
            ANGLES[corners[corner]] + (10 if picture.width < 160 else 0)
            if (corner := picture.getpixel((picture.width - 1, picture.height - 1))) in corners
            else ANGLES[mirrored[corner]] + 10
            for picture in pictures
        ]
        return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], 1).astype(np.float32)

    measured = calibrate(pairs, Embedder("0" * 64, EmbeddingModel("angles", 2), embed))
    # a0 to a3 beside b0 to b3 and c0, without the five pairs of copies
    assert (measured.copies, measured.different, measured.unreadable) == (5, 15, 1)
    assert measured.looks.points[-1].recall == 80 and measured.looks.points[-1].false_pairs == 0
    curve = {point.threshold: (point.recall, point.false_pairs) for point in measured.embeddings.points}
    first = {f"a{n}": angle for n, angle in enumerate(ANGLES)}
    second = {**{f"b{n}": angle + 10 for n, angle in enumerate(ANGLES)}, "c0": 0}
    for threshold, point in curve.items():
        within = {(a, b) for a in first for b in second if np.cos(np.radians(first[a] - second[b])) >= threshold}
        copies = {(a, b) for a, b in within if a[1] == b[1]}
        assert point == (100 * len(copies) / 5, len(within - copies)), threshold
    assert measured.embeddings.nearest[0].value == pytest.approx(np.cos(np.radians(10)), abs=1e-3)
    assert measured.embeddings.without_false.threshold == 0.99
    draw_calibration(measured, tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as drawn:
        assert drawn.width > 500


def test_pairs_by_the_crosswalk():
    links = [("vg:1", "coco:5", "crosswalk"), ("vg:2", "coco:6", "crosswalk"), ("vg:3", "flickr:1", "flickr")]
    table = pa.table([list(column) for column in zip(*links, strict=True)], schema=LINKS)
    assert pairs_by_crosswalk({"vg:1": "1.jpg", "coco:5": "5.jpg", "vg:2": "2.jpg"}, table) == [("1.jpg", "5.jpg")]


@pytest.mark.parametrize(("text", "says"), [("a.png\n", "names no two files"), ("a.png\tgone.png\n", "pairs.tsv:1")])
def test_pairs_that_are_none_are_refused(tmp_path, text, says):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    (tmp_path / "pairs.tsv").write_text(text)
    with pytest.raises(DataError, match=says):
        read_pairs(tmp_path / "pairs.tsv")
