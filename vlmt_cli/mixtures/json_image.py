"""One image as a record in JSON names it: a name, an address, a data URI, base64, and what else is said of it."""

import base64
import hashlib
import json
import re
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from vlmt_cli.base.image_names import EMBEDDED
from vlmt_cli.base.words import count, printable
from vlmt_cli.mixtures.image_fields import LONGEST, is_official

SHORTEST_EMBEDDED = 100
_OF_ADDRESSES = str.maketrans("-_", "+/")
_ADDRESS = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)


class Image(NamedTuple):
    """An image as a record names it: its name, address, hashes, file, and further names and addresses."""

    name: str | None = None
    url: str | None = None
    sha256: str | None = None
    md5: str | None = None
    data: bytes | None = None
    also: tuple[str, ...] = ()


def image_of(name: str, wants_data: bool) -> Image:
    """Return the image that a name, an address, a data URI or base64 stands for."""
    if ":" in name[:8] or name.startswith("//"):
        if _ADDRESS.match(name):
            return Image(url=checked(name))
        if name.startswith("data:"):
            return _embedded(name, wants_data)
        if name.startswith("file:"):
            name = unquote(urlsplit(name).path)
    if len(name) > SHORTEST_EMBEDDED and name.startswith(EMBEDDED):
        return _embedded(name, wants_data)
    return Image(checked(name))


def is_address(text: str) -> bool:
    """Whether a text is an address, and not a name."""
    return _ADDRESS.match(text) is not None


def _embedded(text: str, wants_data: bool) -> Image:
    """Decode a data URI, or base64 alone; its hashes say which file it is. Damaged ones say nothing."""
    head, _, content = text.partition(",") if text.startswith("data:") else (";base64", "", text)
    try:
        is_packed = head.endswith(";base64")
        data = unpacked(content) if is_packed else unquote_to_bytes(content)
    except ValueError:
        return Image()
    hashes = hashlib.sha256(data).hexdigest(), hashlib.md5(data, usedforsecurity=False).hexdigest()
    return Image(None, None, *hashes, data if wants_data else None)


def unpacked(content: str) -> bytes:
    """Decode base64, as some write it, too: with line ends, without padding, for addresses.

    Raises:
        ValueError: it is damaged.
    """
    content = "".join(content.split()).translate(_OF_ADDRESSES).rstrip("=")
    return base64.b64decode(content + "=" * (-len(content) % 4), validate=True)


def joined(image: Image, other: Image | None) -> Image:
    """Give an image what else is said of it; a second name or address is said also."""
    if other is None:
        return image
    name, url, sha256, md5, data, also = image
    if other.name is not None and other.name != name:
        name, also = (name, (*also, other.name)) if name else (other.name, also)
    if other.url is not None and other.url != url:
        url, also = (url, (*also, other.url)) if url else (other.url, also)
    return Image(name, url, sha256 or other.sha256, md5 or other.md5, data or other.data, also + other.also)


def with_id(image: Image, own: str) -> Image:
    """Take an id as a further name of an image, unless the image has an official name."""
    return image if image.name and is_official(image.name) else joined(image, Image(own))


def text_of(value: Any) -> str:
    """Write out an id; floats that are whole numbers, as pandas writes ids, without their point."""
    if type(value) is int:
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return whole(value) if isinstance(value, str) else json.dumps(value)


def checked(name: str) -> str:
    if len(name) > LONGEST:
        raise ValueError(f"its image name has {count(len(name), 'character')}: '{printable(name, 40)}'")
    return name if name.isascii() else whole(name)


def whole(text: str) -> str:
    """Return a text that UTF-8 can hold: half a pair of surrogates, which JSON allows, becomes a question mark."""
    return text.encode(errors="replace").decode()
