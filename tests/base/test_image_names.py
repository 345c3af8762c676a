"""Official names say which image they are; bare numbers only with a source."""

import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.image_names import image_key_of


@pytest.mark.parametrize(
    ("name", "source", "key"),
    [
        ("COCO_val2014_000000262148", None, "coco:262148"),
        ("COCO_val2014_000000262148.jpg", "vg", "coco:262148"),  # what a name says counts more than the source
        ("COCO_train2014_000000581857_16.jpg", None, "coco:581857"),
        ("000000262148", None, "coco:262148"),
        ("v7w_2372205", None, "vg:2372205"),
        ("dev-850-0-img0", None, "nlvr2:dev-850-0-img0"),
        ("train-10171-0-img1.png", None, "nlvr2:train-10171-0-img1"),
        ("n161313", None, "gqa:n161313"),
        ("262148", "coco", "coco:262148"),
        ("2386621", "gqa", "vg:2386621"),
        ("1000092795.jpg", "flickr30k", "flickr30k:1000092795"),
        ("val-17", "cc", "cc:val-17"),
        ("coco:17", None, "coco:17"),
        ("262148", None, None),
        ("photo", None, None),
        ("photo", "coco", None),
        ("", "coco", None),
        ("١٢", "coco", None),
    ],
)
def test_names_become_keys(name, source, key):
    assert image_key_of(name, source) == key


@pytest.mark.parametrize(("name", "source"), [("../x", "cc"), ("coco:007", None), ("", "cc")])
def test_no_name_becomes_a_key_that_is_none(name, source):
    with pytest.raises(DataError, match="is not an image key"):
        image_key_of(name, source)
