"""Images that a record in JSON shows in a field whose name says nothing: known by what stands there.

    {"picture": "a.jpg", ...}   {"media": [{"path": "a.jpg"}], ...}   {"image_str": "iVBORw0KGgo...", ...}

A text that ends in the suffix of an image, a query left out, is an image; so are base64 of an image, and an address in
a field that is called after images. What is said in a record is text, whatever it ends in.
"""

import re
from collections.abc import Iterator
from typing import Any

from vlmt_cli.base.image_names import EMBEDDED, SUFFIXES
from vlmt_cli.mixtures.json_image import SHORTEST_EMBEDDED, Image, image_of
from vlmt_cli.mixtures.json_images import TEXT_FIELDS

_LONGEST = 4096
_ENDING = "|".join(suffix[1:] for suffix in SUFFIXES)
_NAME = re.compile(rf"(?i)[^\s<>][^\n<>]*\.(?:{_ENDING})(?:[?#][^\s]*)?")
_ADDRESS = re.compile(r"(?i)https?://\S+")
_CALLED = re.compile(r"(?i)image|img|picture|photo|(?:^|_)pics?(?:_|$)")
# What a record has in which there may be an image: looked for in its bytes, as most records without an image have none.
_ENDS = re.compile(rb"\.(?i:%b)(?:[?#][^\"\s]*)?\"" % _ENDING.encode())
_BEGINS = re.compile(rb"\"(?:data:image|[Hh][Tt][Tt][Pp]|\\/9j|%b)" % "|".join(EMBEDDED).encode())
_DEEPEST = 20


def may_show_images(text: bytes) -> bool:
    """Whether a record, as JSON, may show an image in a field whose name says nothing."""
    return _ENDS.search(text) is not None or _BEGINS.search(text) is not None


def images_elsewhere(value: Any, wants_data: bool = False) -> list[Image]:
    """Return the images of a record by what stands in its fields; of an image's name and address, side by side, one."""
    images: list[Image] = []
    for image in _images(value, "", wants_data, 0):
        if image not in images:
            images.append(image)
    return images


def _images(value: Any, name: str, wants_data: bool, depth: int) -> Iterator[Image]:
    if isinstance(value, str):
        if name not in TEXT_FIELDS and _looks_like_an_image(value, name):
            yield image_of(value, wants_data)
    elif isinstance(value, list) and depth < _DEEPEST:
        for part in value:
            yield from _images(part, name, wants_data, depth + 1)
    elif isinstance(value, dict) and depth < _DEEPEST:
        own = [
            image
            for key, part in value.items()
            if isinstance(part, str)
            for image in _images(part, key, wants_data, depth)
        ]
        names, urls = [image for image in own if image[0]], [image for image in own if image[1]]
        if len(own) == 2 and names and urls:  # one image, named twice
            own = [Image(names[0].name, urls[0].url)]
        yield from own
        for key, part in value.items():
            if not isinstance(part, str):
                yield from _images(part, key, wants_data, depth + 1)


def _looks_like_an_image(text: str, name: str) -> bool:
    if text.startswith("data:image") or (len(text) > SHORTEST_EMBEDDED and text.startswith(EMBEDDED)):
        return True
    if len(text) > _LONGEST:
        return False
    return _NAME.fullmatch(text) is not None or (bool(_CALLED.search(name)) and _ADDRESS.fullmatch(text) is not None)
