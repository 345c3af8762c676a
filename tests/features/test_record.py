"""Records of one image: what goes in comes out, and garbage comes out as an error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vlmt_cli.base.errors import DataError
from vlmt_cli.features.record import Regions, decode, encode, problem

finite = st.floats(-65504, 65504, width=16)


@st.composite
def regions(draw):
    n, width, classes = draw(st.integers(1, 6)), draw(st.integers(1, 9)), draw(st.integers(0, 5))
    w, h = draw(st.integers(1, 5000)), draw(st.integers(1, 5000))
    corners = draw(arrays("f4", (n, 2, 2), elements=st.floats(0, 1, width=32)))
    corners = np.sort(corners, axis=1) * np.array([w, h], "f4")
    scores = draw(arrays("f2", (n, classes), elements=finite)) if classes else None
    return Regions(corners.reshape(n, 4), draw(arrays("f4", (n, width), elements=finite)), w, h, scores)


@given(regions())
def test_a_record_gives_back_what_went_in(given_regions):
    read = decode(encode(given_regions), "here", verify=True)
    assert problem(read) is None
    assert (read.width, read.height) == (given_regions.width, given_regions.height)
    np.testing.assert_array_equal(read.boxes, given_regions.boxes)
    np.testing.assert_array_equal(read.features, given_regions.features.astype("f2"))
    assert (read.scores is None) == (given_regions.scores is None)
    if read.scores is not None:
        np.testing.assert_array_equal(read.scores, given_regions.scores)


@given(regions(), st.data())
def test_cut_changed_or_made_up_bytes_are_an_error_and_never_another_image(given_regions, data):
    record = encode(given_regions)
    cut = record[: data.draw(st.integers(0, len(record) - 1))]
    with pytest.raises(DataError, match=r"cut short|damaged"):
        decode(cut, "here")
    place = data.draw(st.integers(32, len(record) - 1))
    changed = record[:place] + bytes([record[place] ^ data.draw(st.integers(1, 255))]) + record[place + 1 :]
    with pytest.raises(DataError, match="checksum is wrong"):
        decode(changed, "here", verify=True)


@given(st.binary(max_size=200), st.booleans())
def test_garbage_is_an_error(garbage, with_magic):
    with pytest.raises(DataError, match=r"here: .*; pack it again"):
        decode(b"VLF1" * with_magic + garbage, "here", verify=True)


SOUND = Regions(np.array([[0, 0, 10, 10]], "f4"), np.ones((1, 4), "f4"), 20, 20)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"boxes": np.zeros((1, 5), "f4")}, "boxes have shape"),
        ({"features": np.ones((2, 4), "f4")}, r"features have shape \(2, 4\) for 1 boxes"),
        ({"scores": np.ones((2, 4), "f4")}, "class scores have shape"),
        ({"boxes": np.zeros((0, 4), "f4"), "features": np.zeros((0, 4), "f4")}, "no region"),
        ({"width": 0}, "0 x 20 pixels"),
        ({"height": 1 << 32}, "20 x 4294967296 pixels"),
        ({"features": np.full((1, 4), np.nan, "f4")}, "features hold values that are NaN or infinite"),
        ({"boxes": np.array([[0, 0, np.inf, 10]], "f4")}, "boxes hold values that are NaN or infinite"),
        ({"features": np.full((1, 4), 7e4, "f4")}, "too large for float16"),
        ({"boxes": np.array([[5, 0, 4, 10]], "f4")}, "ends before it begins"),
        ({"boxes": np.array([[0, -2, 10, 10]], "f4")}, "outside the 20 x 20 image"),
        ({"boxes": np.array([[0, 0, 35, 10]], "f4")}, "outside the 20 x 20 image"),
    ],
)
def test_what_is_wrong_is_said(changed, said):
    with pytest.raises(ValueError, match=said):
        encode(Regions(**(vars(SOUND) | changed)))


def test_boxes_may_reach_into_the_padding_that_the_papers_detector_saw():
    # 640 x 480 alone was padded to 1088 x 800, beside an upright photo to 1088 x 1088, at a scale of 800 / 480.
    for width, height in ((1088, 800), (1088, 1088)):
        box = np.array([[0, 0, width - 1, height - 1]], "f4") * 480 / 800
        assert problem(Regions(box, np.ones((1, 4), "f4"), 640, 480)) is None
    unscaled = np.array([[0, 0, 1066, 799]], "f4")
    assert "outside the 640 x 480 image" in problem(Regions(unscaled, np.ones((1, 4), "f4"), 640, 480))
