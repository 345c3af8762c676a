"""Image files, opened with care: damaged ones, turned ones and bombs are common in photos from the web."""

import base64
import contextlib
import io
import warnings
from pathlib import Path
from stat import S_ISREG

import numpy as np
from PIL import Image, ImageOps

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")


def open_image(path: str) -> Image.Image:
    """Decode an image to RGB: upright by its EXIF orientation, on white where it is transparent, the first frame.

    Raises:
        Exception: whatever Pillow raises on a file that is damaged, or so large that it
            may be a decompression bomb (``Image.MAX_IMAGE_PIXELS``, 89 million).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=_FORMATS) as file:
            file.load()
            image: Image.Image = file
            # Damaged EXIF beside sound pixels is common in photos from the web.
            with contextlib.suppress(Exception):
                ImageOps.exif_transpose(image, in_place=True)
            if image.mode.startswith("I"):  # 16 bits, which Pillow would clip to white
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if image.has_transparency_data:
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
            return image.convert("RGB")


def read_image(path: str) -> Image.Image | str:
    """Decode an image as ``open_image`` does, or say why that cannot be done."""
    if reason := no_image_file(path):
        return reason
    try:
        return open_image(path)
    except Exception as error:  # on damaged files decoders raise nearly anything
        return why_unreadable(error, path)


def no_image_file(path: str) -> str | None:
    """Say why no image can be read from a path, before it is opened: it is missing, a folder, a pipe."""
    try:
        return None if S_ISREG(Path(path).stat().st_mode) else "no regular file"
    except OSError as error:
        return error.strerror or str(error)


def why_unreadable(error: Exception, path: str) -> str:
    """Put what a decoder raised into a few words."""
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    words = str(error) or type(error).__name__
    return " ".join(words.replace(f"file {path!r}", "file").replace(repr(path), "file").split())


def data_uri(picture: Image.Image, longest: int) -> str:
    """Return a picture as a JPEG within a page, at most ``longest`` pixels wide and high."""
    small = picture.convert("RGB")
    small.thumbnail((longest, longest), reducing_gap=2.0)
    jpeg = io.BytesIO()
    small.save(jpeg, "JPEG", quality=85, subsampling=0, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode()
