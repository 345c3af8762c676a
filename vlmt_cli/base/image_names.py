"""Which image a file name, or an id in somebody's feature file, stands for."""

import re
from itertools import product
from pathlib import Path

from vlmt_cli.base.keys import check_image_key

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".jfif", ".jpe", ".jp2")
EMBEDDED = ("/9j/", "iVBORw0KGgo", "UklGR", "R0lGOD")
"""With what the base64 of a JPEG, a PNG, a WebP or a GIF begins."""
_BEGINNINGS = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|BM....\0\0\0\0|II\*\0|MM\0\*|....ftypavi[fs]"
    rb"|\0\0\0\x0cjP  ",
    re.DOTALL,
)


def begins_as_image(head: bytes) -> bool:
    """Whether a file's first 16 bytes are those of an image in one of the common formats, whatever its name."""
    return _BEGINNINGS.match(head) is not None


# Official names that say by themselves which image they are.
_NAMES = (
    (re.compile(r"COCO_(?:train|val|test)20\d\d_0*(\d{1,12})(?:_\d+)?", re.ASCII), "coco:{}"),
    (re.compile(r"v7w_0*(\d+)", re.ASCII), "vg:{}"),
    (re.compile(r"((?:train|dev|test1|test2)-\d+-\d+-img\d)", re.ASCII), "nlvr2:{}"),
    (re.compile(r"(n\d+)", re.ASCII), "gqa:{}"),
)
_STEMS = {
    "coco": ("{0:0>12}", *(f"COCO_{part}_{{0:0>12}}" for part in ("train2014", "val2014", "test2014", "test2015"))),
    "vg": ("v7w_{0}",),
}
_COCO_NUMBER = re.compile(r"0\d{11}", re.ASCII)


def image_key_of(name: str, source: str | None = None, where: object = None) -> str | None:
    """Name the image that an official name stands for.

    Args:
        name: an image key, a file name or its stem, or an id: ``COCO_val2014_000000262148.jpg``, ``v7w_2372205``,
            ``dev-850-0-img0``, ``n161313``, ``1000092795``.
        source: what a bare number means; names that say it themselves are believed. GQA's are Visual Genome's.
        where: the file and record, for the error.

    Returns:
        The image key, or None where the name alone does not say it.

    Raises:
        DataError: ``source`` has no such id.
    """
    stem = name[: -len(suffix)] if (suffix := _suffix(name)) else name
    if ":" in stem:
        return check_image_key(stem, where)
    for pattern, key in _NAMES:
        if match := pattern.fullmatch(stem):
            return check_image_key(key.format(match[1]), where)
    if stem.isascii() and stem.isdigit():
        source = source or ("coco" if _COCO_NUMBER.fullmatch(stem) else None)
        return f"{'vg' if source == 'gqa' else source}:{int(stem)}" if source else None
    has_names = source is not None and source not in ("coco", "vg", "flickr30k", "gqa")
    return check_image_key(f"{source}:{stem}", where) if has_names else None


def photo_of(folder: Path, image: str) -> Path | None:
    """Find the photo of an image key by its official names, in ``folder/<source>/``; None where it is not there."""
    source, _, name = image.partition(":")
    stems = (name, *(stem.format(name) for stem in _STEMS.get(source, ())))
    paths = (folder / source / f"{stem}{suffix}" for stem, suffix in product(stems, SUFFIXES))
    return next((path for path in paths if path.is_file()), None)


def _suffix(name: str) -> str:
    return next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
