"""Embeddings of pictures, by which crops and collages are recognised: kept in the index, compared by their cosine.

Which network makes them is the user's choice; it is handed over (``base.embedder``). What cosine means a copy depends
on the network and on the pictures: without a threshold that somebody measured nothing is taken for a copy, and
what is as near as ``_UNKNOWN`` is shown to a person. ``vlmt index calibrate`` measures.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from vlmt_cli.base.embedder import Embedder, LoadEmbedder
from vlmt_cli.base.errors import UsageError
from vlmt_cli.clean.index import Index

EMBEDDING = "embedding:"
"""What an embedding among marks begins with."""
_UNKNOWN = 0.75
_BLOCK = 8_192
"""Embeddings of an index that are compared at once."""
_MOST = 100
"""Test images that a picture is taken for; a low threshold or a plain picture could have them all."""
_DIGITS = 4
"""Of a cosine: further ones depend on how many pictures are compared together."""


class Cosines(NamedTuple):
    """From which cosine two pictures are taken for the same, and from which a person must judge."""

    same: float = math.inf
    borderline: float = _UNKNOWN


class NearEmbeddings(NamedTuple):
    """M pairs of a picture and an embedding of the index: their numbers, and the cosine."""

    query: NDArray[np.int64]
    row: NDArray[np.int64]
    cosine: NDArray[np.float32]


@dataclass(frozen=True)
class EmbeddingIndex:
    """Embeddings of an index, to search.

    Attributes:
        vectors: K x D of length 1, float16.
        keys: K, the key of the image that each is of.
        load: what loads the network that made them.
        cosines: which count.
    """

    vectors: NDArray[np.float16]
    keys: pa.Array
    load: LoadEmbedder
    cosines: Cosines

    def near(self, vectors: NDArray[np.float32]) -> NearEmbeddings:
        """Find the embeddings of an index near those of Q pictures, Q x D of length 1.

        Returns:
            All pairs that are taken for the same, at most ``_MOST`` a picture; of one that has none the nearest, if a
            person must judge it. By picture, the nearest first.
        """
        best, at = np.full(len(vectors), -math.inf, np.float32), np.zeros(len(vectors), np.int64)
        query, row, cosine = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        for begin in range(0, len(self.vectors), _BLOCK):
            block = vectors @ self.vectors[begin : begin + _BLOCK].astype(np.float32).T
            is_same = np.nonzero(_most(block, block >= self.cosines.same))
            query.append(is_same[0])
            row.append(is_same[1] + begin)
            cosine.append(block[is_same])
            nearest = block.argmax(axis=1)
            value = block[np.arange(len(block)), nearest]
            at, best = np.where(value > best, nearest + begin, at), np.maximum(value, best)
        doubtful = np.flatnonzero((best >= self.cosines.borderline) & (best < self.cosines.same))
        joined = NearEmbeddings(
            np.concatenate([*query, doubtful]),
            np.concatenate([*row, at[doubtful]]),
            np.concatenate([*cosine, best[doubtful]]),
        )
        order = np.lexsort((joined.row, -joined.cosine, joined.query))
        joined = NearEmbeddings(joined.query[order], joined.row[order], joined.cosine[order].round(_DIGITS))
        kept = np.arange(len(order)) - np.searchsorted(joined.query, joined.query) < _MOST
        return NearEmbeddings(joined.query[kept], joined.row[kept], joined.cosine[kept])


def _most(block: NDArray[np.float32], is_same: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Leave the ``_MOST`` highest cosines of each picture."""
    for crowded in np.flatnonzero(np.count_nonzero(is_same, axis=1) > _MOST):
        is_same[crowded] = False
        is_same[crowded, np.argpartition(block[crowded], -_MOST)[-_MOST:]] = True
    return is_same


def embedding_index(index: Index, load: LoadEmbedder, cosines: Cosines) -> EmbeddingIndex:
    """Make the embeddings that a network made ready to be searched.

    Raises:
        UsageError: the index has none of this network, as it is now.
        DataError: the network cannot be loaded.
    """
    embedder = load()
    if index.models.get(embedder.sha256) != embedder.model:
        others = ", ".join(f"{each.name} (SHA-256 {digest[:16]})" for digest, each in index.models.items())
        name = f"{embedder.model.name} (SHA-256 {embedder.sha256[:16]})"
        what = "the index has no embeddings"
        if others:
            what = f"the index has embeddings of {others}, and not of {name}"
        todo = f"vlmt index add NAME=FILE --images --embed with {embedder.model.name} makes them"
        raise UsageError(what, todo=todo)
    rows = index.embeddings.filter(pc.equal(index.embeddings["model"], embedder.sha256))
    vectors = np.frombuffer(b"".join(rows["embedding"].to_pylist()), np.float16).reshape(-1, embedder.model.width)
    return EmbeddingIndex(vectors, rows["image"].combine_chunks(), load, cosines)


def embedded(pictures: Sequence[Image.Image], embedder: Embedder) -> NDArray[np.float32]:
    """Embed N pictures: N x D of length 1; zeros where the network gives no finite vector."""
    vectors = embedder.embed(pictures)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    is_sound = np.isfinite(length) & (length > 0)
    return np.where(is_sound, vectors / np.where(is_sound, length, 1), 0).astype(np.float32)


def embedding_mark(picture: Image.Image, embedder: Embedder) -> list[str]:
    """Return the embedding of a picture as a mark, float16; none where the network gives no finite vector."""
    vector = embedded([picture], embedder)[0]
    return [EMBEDDING + vector.astype(np.float16).tobytes().hex()] if vector.any() else []
