"""Addresses: their normal form, and the photos that they name."""

import pyarrow as pa
import pytest

from vlmt_cli.base.addresses import flickr_photos, normal_addresses, official_images

ADDRESSES = {
    "http://farm9.staticflickr.com/8186/8119368305_4e622c8349_z.jpg": ("https", "flickr:8119368305", None),
    "https://farm3.static.flickr.com/2/0123_ab.jpg": ("https", "flickr:123", None),
    "https://live.staticflickr.com/65535/5_0a.jpg": ("https", "flickr:5", None),
    "https://www.flickr.com/photos/a@N0/455/in/photostream": ("https", "flickr:455", None),
    "https://evilflickr.com/photos/x/9": ("https", None, None),
    "https://example.com/?x=flickr.com/photos/x/9": ("https", None, None),
    "http://images.cocodataset.org/train2017/000000000009.jpg": ("https", None, "coco:9"),
    "http://images.cocodataset.org/val2014/COCO_val2014_000000262148.jpg": ("https", None, "coco:262148"),
    "https://cs.stanford.edu/people/rak248/VG_100K_2/2415417.jpg": ("https", None, "vg:2415417"),
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_official_addresses_name_their_photos(address: str) -> None:
    _, photo, image = ADDRESSES[address]
    assert flickr_photos(pa.array([address])).to_pylist() == [photo]
    assert official_images(pa.array([address])).to_pylist() == [image]


@pytest.mark.parametrize(
    ("address", "normal"),
    [
        ("http://a/X.jpg", "https://a/X.jpg"),
        (" HTTP://A.b:80/x?Y=1&amp;z=2#top", "https://a.b/x?Y=1&z=2"),
        ("//a/b", "https://a/b"),
        ("https://me:secret@a:8080", "https://a:8080/"),
        ("http://a/b c", "https://a/b c"),
        ("ftp://a/b", None),
        ("coco/train2017/1.jpg", None),
        ("", None),
        (f"http://a/{'x' * 10_000} ", None),
        (None, None),
    ],
)
def test_addresses_have_one_normal_form(address: str | None, normal: str | None) -> None:
    among = pa.array(["https://b/1", address, "http://b/2"], pa.string())
    expected = ["url:https://b/1", normal and f"url:{normal}", "url:https://b/2"]
    assert normal_addresses(among).to_pylist() == expected
