"""Networks that embed pictures, so that copies are recognised; light code is handed them as plain functions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

EMBEDDING_VERSION = 1
"""To be raised when pictures are prepared differently for networks."""


class EmbeddingModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which network made embeddings.

    Attributes:
        name: of its file, or the last part of its hub id.
        width: D, numbers of an embedding.
        version: ``EMBEDDING_VERSION`` when they were made.
    """

    name: str
    width: int
    version: int = EMBEDDING_VERSION


@dataclass(frozen=True)
class Embedder:
    """A network that embeds pictures.

    Attributes:
        sha256: hexadecimal digits: 64 of a file's, or 16 of that of a network's weights, config and processor.
        model: what is true of it.
        embed: returns of N RGB pictures N x D numbers; what comes out depends on neither N nor the neighbours.
    """

    sha256: str
    model: EmbeddingModel
    embed: Callable[[Sequence[Image.Image]], NDArray[np.float32]]


LoadEmbedder = Callable[[], Embedder]
"""Loads a network, once a process; can be sent to other processes."""
