"""By what a picture is recognised without a name: hashes of its file and of its pixels, and its looks."""

import hashlib

from PIL import Image

from vlmt_cli.base.embedder import Embedder
from vlmt_cli.base.images import open_image
from vlmt_cli.clean.embeddings import embedding_mark
from vlmt_cli.clean.greys import looks_of_files
from vlmt_cli.mixtures.benchmark_file import hashes_of

PIXELS, LOOK = "pixels:", "look:"
"""What the hash of a picture's pixels begins with, as an alias, and a look among marks."""


def pixels_alias(image: Image.Image) -> str:
    """Return the MD5 of a decoded picture's pixels as an alias.

    The picture is of mode RGB, as ``open_image`` gives it: upright, on white, the first frame. For an ordinary RGB
    picture this is ``hashlib.md5(image.tobytes()).hexdigest()`` of Pillow's image, by which The Cauldron was filtered.
    """
    return PIXELS + hashlib.md5(image.tobytes(), usedforsecurity=False).hexdigest()


def marks_of(data: bytes, embedder: Embedder | None = None) -> list[str]:
    """Return by what an image file is recognised: its hashes, and if it can be decoded its pixels' and its looks.

    With a network its embedding, too.
    """
    marks = hashes_of(data)
    looks = looks_of_files([data])
    if looks.problems == [None]:
        image = open_image(data)
        marks += [pixels_alias(image), *(LOOK + look.tobytes().hex() for look in looks.words)]
        marks += embedding_mark(image, embedder) if embedder else []
    return marks
