"""Image files, opened with care: damaged ones, turned ones and bombs are common in photos from the web.

What a file holds decides how it is decoded, not its name. A JPEG whose end is missing is decoded as far as it goes.
What is lost is filled with the row above it, and the file counts as a photo while at most ``MOST_LOST`` of its pixels
are lost. Measured on 64 real photos of at most 640 pixels as baseline JPEGs of quality 90, cut at ten lengths each;
bits of the hash (``clean.looks``) between a photo and what is left of it, and the share within 24 bits (the same
image) and 48 bits (a person judges):

===========  =======  =========  =========
pixels lost  maximum  24 or less 48 or less
===========  =======  =========  =========
up to 0.5%        33        99%       100%
0.5 to 3%         42        93%       100%
3 to 5%           51        77%        97%
5 to 10%          60        47%        96%
10 to 20%         65        16%        90%
===========  =======  =========  =========

Filled with grey, as decoders do, the loss of 20 bytes changes up to 38 bits. A progressive JPEG that is cut in half
mostly shows the whole picture with less detail, 6 bits away.
"""

import base64
import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin, UnidentifiedImageError

MOST_LOST = 0.05
"""The share of a JPEG's pixels that may be missing at its end."""

# Formats of photos whose decoders run nothing else: EPS and WMF, for example, start other programs.
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI")
_BLOCK, _SHARP = 8, 2
"""Pixels of a JPEG's blocks, over which it smears edges; and over which resizing does."""
_OBJECT = re.compile(r" ?<[^<>]* object at 0x[0-9a-fA-F]+>")
"""What Pillow calls a file that is not on disk."""
_END_OF_JPEG = b"\xff\xd9"
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")  # not within the coded pixels, which hold ff00 and ffd0 to ffd7 only


def open_image(file: str | bytes) -> Image.Image:
    """Decode an image to RGB: upright by its EXIF orientation, on white where it is transparent, the first frame.

    Args:
        file: its path, or what it holds.

    Raises:
        Exception: whatever Pillow raises on a file that is damaged, or so large that it
            may be a decompression bomb (``Image.MAX_IMAGE_PIXELS``, 89 million).
    """
    with _without_bombs(), Image.open(_readable(file), formats=_formats()) as opened:
        image = _loaded(opened, file)
        # Damaged EXIF beside sound pixels is common in photos from the web.
        with contextlib.suppress(Exception):
            ImageOps.exif_transpose(image, in_place=True)
        if image.mode.startswith("I"):  # 16 bits, which Pillow would clip to white
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        if image.has_transparency_data:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        return image.convert("RGB")


class Grey(NamedTuple):
    """A grey version of a picture.

    Attributes:
        image: of mode L, or of RGB before it is made grey.
        width, height: how much of it is the picture, in its pixels; decoders round up.
        blur: pixels over which an edge may be smeared: the blocks of JPEG.
    """

    image: Image.Image
    width: float
    height: float
    blur: int


def open_grey(file: str | bytes, side: int) -> Grey:
    """Decode an image to grey, no finer than so that its shorter side has ``side`` pixels, if it has as many.

    A JPEG is decoded at a half, a quarter or an eighth of its size, brightness alone, which its format allows at little
    cost; its EXIF orientation is passed over. Other formats are decoded as ``open_image`` does.

    Raises:
        Exception: as ``open_image``.
    """
    with _without_bombs(), Image.open(_readable(file), formats=_formats()) as opened:
        is_jpeg = isinstance(opened, JpegImagePlugin.JpegImageFile)
        if is_jpeg and opened.mode in ("RGB", "L"):
            size = opened.size
            drafted = opened.draft("L", (side, side))
            with contextlib.suppress(OSError):  # a JPEG without its end
                opened.load()
                _, (_, _, width, height) = drafted or ("", (0, 0, *size))
                return reduced(Grey(opened.copy(), width, height, -(-_BLOCK * opened.width // size[0])), side)
    image = open_image(file)
    return reduced(Grey(image, *image.size, _BLOCK if is_jpeg else _SHARP), side)


def reduced(picture: Grey, side: int) -> Grey:
    """Make a picture grey and a whole number of times smaller, its shorter side not below ``side`` pixels."""
    image, width, height, blur = picture
    times = max(1, min(image.size) // side)
    smaller = image.reduce(times) if times > 1 else image  # colours are turned to grey slowly: of fewer pixels
    return Grey(smaller.convert("L"), width / times, height / times, -(-blur // times))


@contextlib.contextmanager
def _without_bombs() -> Iterator[None]:
    """Refuse decompression bombs, and do not speak of anything else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _readable(file: str | bytes) -> str | io.BytesIO:
    return io.BytesIO(file) if isinstance(file, bytes) else file


@cache
def _formats() -> tuple[str, ...]:
    """Return those of ``_FORMATS`` that this build of Pillow decodes."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _loaded(opened: Image.Image, file: str | bytes) -> Image.Image:
    """Decode an opened file; a JPEG without its end as far as it goes."""
    try:
        opened.load()
        return opened
    except OSError:
        if not isinstance(opened, JpegImagePlugin.JpegImageFile):
            raise
        # Not ImageFile.LOAD_TRUNCATED_IMAGES: that is a global switch, and accepts any loss in any format.
        data = file if isinstance(file, bytes) else Path(file).read_bytes()
        try:
            whole = _ended(data)
        except OSError:  # cut within the tables of a scan: leave out that scan
            whole = _ended(data[: max(marker.start() for marker in _MARKER.finditer(data))])
        image = _fill_end(whole)
        image.info = whole.info
        return image


def _ended(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data + _END_OF_JPEG), formats=["JPEG"])
    image.load()
    return image


def _fill_end(image: Image.Image) -> Image.Image:
    """Replace what a decoder left grey at the end of a JPEG by the row above it.

    Raises:
        OSError: more than ``MOST_LOST`` of the pixels are missing.
    """
    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    is_grey = np.logical_and.reduce(((pixels >= 127) & (pixels <= 129)).reshape(height, width, -1), axis=2)
    # How many rows are missing at the bottom of each column: the last blocks of a row can be lost alone.
    missing = np.where(is_grey.all(axis=0), height, np.argmin(is_grey[::-1], axis=0))
    share = missing.sum() / (height * width)
    if share > MOST_LOST:
        raise OSError(f"cut short: {share:.0%} of the picture is missing")
    last = np.maximum(height - 1 - missing, 0)
    rows = np.minimum(np.arange(height)[:, None], last[None])
    return Image.frombytes(image.mode, image.size, pixels[rows, np.arange(width)[None]].tobytes())


def read_image(path: str) -> Image.Image | str:
    """Decode an image as ``open_image`` does, or say why that cannot be done."""
    if reason := no_image_file(path):
        return reason
    try:
        return open_image(path)
    except Exception as error:  # on damaged files decoders raise nearly anything
        return why_unreadable(error, path)


def is_image(path: str) -> bool:
    """Return whether a regular file holds an image by its first bytes, intact or not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(path, formats=_formats()).close()
    except UnidentifiedImageError:
        return False
    except Exception:  # an image with a damaged header, or one that may not be read
        return True
    return True


def no_image_file(path: str) -> str | None:
    """Say why no image can be read from a path, before it is opened: it is missing, a folder, a pipe."""
    try:
        return None if S_ISREG(Path(path).stat().st_mode) else "not a regular file"
    except OSError as error:
        return error.strerror or str(error)


def why_unreadable(error: Exception, path: str) -> str:
    """Put what a decoder raised into a few words."""
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    words = _OBJECT.sub("", str(error)) or type(error).__name__
    return " ".join(words.replace(f"file {path!r}", "file").replace(repr(path), "file").split())


def data_uri(picture: Image.Image, longest: int) -> str:
    """Return a picture as a JPEG within a page, at most ``longest`` pixels wide and high."""
    small = picture.convert("RGB")
    small.thumbnail((longest, longest), reducing_gap=2.0)
    jpeg = io.BytesIO()
    small.save(jpeg, "JPEG", quality=85, subsampling=0, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode()
