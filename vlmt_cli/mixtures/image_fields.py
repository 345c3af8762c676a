"""What the fields of a record, or the columns of a table, say of images by their names: one list for every form.

Names count in any case, and without what divides their words: ``image_path``, ``imagePath`` and ``Image Path`` are one.

=========  ============================================================================================
images     the images themselves: ``image``, ``images``, ``img``, ``photo``, ``picture``, ``image_bytes``, ``jpg``
names      their file names: ``file_name``, ``image_path``, ``image_file``, ``path``, ``image_source``
urls       their addresses: ``url``, ``image_url``, ``coco_url``, ``flickr_url``
ids        their ids: ``image_id``, ``img_id``, ``cocoid``
sha256     the hash of their files: ``sha256``, ``image_sha256``; ``md5`` likewise
=========  ============================================================================================

``image_1`` and ``image_2``, ``left_url`` and ``right_url``, ``images`` and ``rejected_images`` are of several images of
a record: such a field has a *slot*, ``1``, ``left``, ``rejected``; that of a field without one is empty. Fields of one
slot speak of the same images.
"""

import re
from typing import NamedTuple

IMAGES, NAMES, URLS, IDS, SHA256, MD5 = "images", "names", "urls", "ids", "sha256", "md5"
LONGEST = 1 << 16
"""Bytes of a name or an address; a record with a longer one is damaged."""
OFFICIAL = r"(?:^|/)(?:COCO_(?:train|val|test)20\d\d_\d{12}|v7w_\d|0\d{11}(?:\.\w+)?$)|-img[01](?:\.\w+)?$"
"""Names that say by themselves which image they are."""
_DIVIDES = re.compile(r"[-_. ]+")
_LONGEST = 60
_NUMBER = r"(\d{1,4}|[ab])?"
_WORD = r"(?:image|img|picture|pic|photo|screenshot)"
_IMAGE = (
    r"(left|right|first|second|chosen|rejected|input|output|source|target|edited|reference|query|candidate|positive"
    rf"|negative|before|after|start|end)?(?:decoded|pil|main|jpg|raw|original)?{_WORD}s?{_NUMBER}"
)
_PLAIN = r"(left|right)?(?:original)?"
_KINDS = {
    IMAGES: rf"{_IMAGE}(?:bytes|list|data|base64|b64)?{_NUMBER}|(?:jpe?g|png|webp){_NUMBER}",
    NAMES: rf"{_IMAGE}(?:file|path|name|filename|filepath|source|openimagesid)s?{_NUMBER}"
    rf"|{_PLAIN}(?:filename|filepath|path)s?{_NUMBER}|openimagesid",
    URLS: rf"{_IMAGE}(?:url|uri|link)s?{_NUMBER}|{_PLAIN}(?:coco|flickr|flickroriginal)?(?:url|uri)s?{_NUMBER}",
    IDS: rf"{_IMAGE}ids?{_NUMBER}|coco(?:image)?ids?{_NUMBER}",
    SHA256: rf"(?:{_IMAGE})?sha256(?:hash)?",
    MD5: rf"(?:{_IMAGE})?md5(?:hash)?",
}
_PATTERNS = {kind: re.compile(pattern) for kind, pattern in _KINDS.items()}


class Field(NamedTuple):
    """What a field says: one of ``IMAGES``, ``NAMES``, ``URLS``, ``IDS``, ``SHA256`` and ``MD5``, and its slot."""

    kind: str
    slot: str


def field_of(name: str) -> Field | None:
    """Say what a field says of images by its name; None where it says nothing of them."""
    if len(name) > _LONGEST:
        return None
    word = _DIVIDES.sub("", name.lower())
    for kind, pattern in _PATTERNS.items():
        if match := pattern.fullmatch(word):
            return Field(kind, "".join(group for group in match.groups() if group))
    return None


def is_official(name: str) -> bool:
    """Whether a name says by itself which image it is."""
    return re.search(OFFICIAL, name) is not None
