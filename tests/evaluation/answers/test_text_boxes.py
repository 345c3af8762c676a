"""Boxes in what models say, and the convention that the data show."""

import numpy as np
import pyarrow as pa
import pytest

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.evaluation.answers.text_boxes import boxes_in, in_words, parse_convention, read_boxes

SAID = {
    "[135, 114, 1016, 672]": [135, 114, 1016, 672],
    '```json\n[{"bbox_2d": [135, 114, 1016, 672], "label": "dog 2"}]\n```': [135, 114, 1016, 672],
    "man in blue[[102, 31, 344, 988]]": [102, 31, 344, 988],
    "<ref>the 2 men</ref><box>(102,31),(344,988)</box>": [102, 31, 344, 988],
    "<|box_start|>(101, 201), (150, 266)<|box_end|>": [101, 201, 150, 266],
    "<loc0123><loc0045><loc0678><loc0999> dog": [123, 45, 678, 999],
    "0.1, .2, 0.30, 1": [0.1, 0.2, 0.3, 1],
    "The box is [0.11, 0.3, 0.45, 0.9].": [0.11, 0.3, 0.45, 0.9],
    "[-3, 0, 10, 20]": [-3, 0, 10, 20],
    "(1, 2, 3)": None,
    "": None,
    "1 2 3 4 5678901234567890": [1, 2, 3, 4],
    "none": None,
    "a1, b2, c3, d4": None,
    "[1e5, 2, 3, 4]": None,
    "9" * 100_000: None,
    "1.5.2, 3, 4, 5": None,
}


def test_four_numbers_that_stand_together_are_a_box():
    boxes, is_loc = boxes_in(pa.array([*SAID, None]))
    assert is_loc
    for box, expected in zip(boxes, [*SAID.values(), None], strict=True):
        assert box.tolist() == expected if expected else np.isnan(box).all()


def drawn(rng, count=400, side=(640, 480)):
    """Boxes of all sizes and where they lie, as corners in pixels, and the sizes of their images."""
    sizes = np.tile(np.array(side, float), (count, 1))
    ends = np.sort(rng.random((count, 2, 2)), 1).reshape(count, 4)
    return ends * np.tile(sizes, 2), sizes


WRITE = {
    "pixels:xyxy": lambda boxes, sizes: boxes,
    "pixels:xywh": lambda boxes, sizes: np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]),
    "0-1:xyxy": lambda boxes, sizes: boxes / np.tile(sizes, 2),
    "0-100:xyxy": lambda boxes, sizes: np.round(100 * boxes / np.tile(sizes, 2)),
    "0-1000:xyxy": lambda boxes, sizes: np.round(1000 * boxes / np.tile(sizes, 2)),
    "0-1000:xywh": lambda boxes, sizes: WRITE["pixels:xywh"](np.round(1000 * boxes / np.tile(sizes, 2)), sizes),
}


@pytest.mark.parametrize("side", [(640, 480), (120, 90), (1920, 1600)])
@pytest.mark.parametrize("convention", WRITE)
def test_the_data_tell_the_convention_and_how_many_boxes_disagree(convention, side):
    boxes, sizes = drawn(np.random.default_rng(1), side=side)
    written = WRITE[convention](boxes, sizes)
    written[:3] = [5e4, 5e4, 6e4, 6e4] if not convention.startswith("0-1:") else [5, 5, 6, 6]
    written[3] = np.nan
    read = read_boxes(written, sizes, "auto", "file")
    assert (read.convention, read.decided, read.without, read.against) == (convention, True, 1, 3)
    assert np.abs(read.corners[4:] - boxes[4:]).max() < (max(side) / 100 if convention == "0-100:xyxy" else 2)


def test_what_the_data_do_not_tell_is_asked():
    boxes, sizes = drawn(np.random.default_rng(2), 5)
    with pytest.raises(DataError, match=r"may be 0-1000 and pixels: 5 boxes do not tell; say it with --boxes 0-1000"):
        read_boxes(boxes, sizes, "auto", "file")
    with pytest.raises(DataError, match="without the images' sizes"):
        read_boxes(boxes, None, "auto", "file")
    with pytest.raises(DataError, match="has no boxes"):
        read_boxes(np.full((3, 4), np.nan), None, "auto", "file")
    assert read_boxes(boxes, sizes, "pixels", "file").corners.tolist() == boxes.tolist()


def test_a_stated_convention_is_taken_whatever_the_data_show():
    boxes, sizes = drawn(np.random.default_rng(3))
    read = read_boxes(boxes, sizes, "0-1", "file")
    assert read.convention == "0-1:xyxy" and not read.decided and read.against > 390
    located = read_boxes(np.array([[512.0, 0, 1024, 256]]), np.array([[640.0, 480]]), "auto", "file", is_loc=True)
    assert located.convention == "loc1024:yxyx" and located.corners.tolist() == [[0, 240, 160, 480]]


@pytest.mark.parametrize(
    ("written", "stated", "rather"),
    [("0-100:xyxy", "pixels", "0-100"), ("0-1:xyxy", "pixels", "0-1"), ("0-100:xyxy", "0-1000", "0-100"),
     ("0-1000:xyxy", "pixels", "0-1000"), ("pixels:xyxy", "0-1000", "pixels"), ("pixels:xyxy", "pixels", ""),
     ("0-1000:xyxy", "loc1024:xyxy", ""), ("0-1000:xyxy", "0-1000", "")],
)  # fmt: skip
def test_boxes_that_contradict_what_is_stated_are_warned_of_with_their_number(written, stated, rather):
    boxes, sizes = drawn(np.random.default_rng(4))
    read = read_boxes(WRITE[written](boxes, sizes), sizes, stated, "file")
    assert (read.rather, read.within) == (rather, 400 if rather else 0)
    warning = f"boxes lie {'in their images' if rather == 'pixels' else 'within ' + rather.replace('-', ' to ')}"
    assert (f"Warning: 400 of 400 {warning}" in in_words(read, 400)) == bool(rather)


@pytest.mark.parametrize("text", ["percent", "pixels:xxyy", "0-10", ""])
def test_an_unknown_convention_is_refused(text):
    with pytest.raises(UsageError, match="there is no convention"):
        parse_convention(text)
