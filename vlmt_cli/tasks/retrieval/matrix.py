"""Captions against images: what does not depend on the pair is computed once.

Shapes: B batch, C captions, I images, J images of a block, P pairs, D width.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vlmt_cli.features.reader import RegionReader
from vlmt_cli.tasks.examples import Examples
from vlmt_cli.tasks.process import Process
from vlmt_cli.trunks.encoded import Stream, Trunk

Texts = tuple[Tensor, Tensor, Tensor | None]
Images = tuple[Tensor, Tensor, Tensor]
Block = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Numbers of J images, and something of each."""

_PAIRS_AT_ONCE = 256


@torch.inference_mode()
def score_matrix(
    trunk: Trunk, head: nn.Module, texts: Sequence[Texts], images: Iterable[Images], at_once: int = _PAIRS_AT_ONCE
) -> Tensor:
    """Score every caption against every image, as Recall@k takes (table 2, G2).

    What does not depend on the pair is computed once: a caption's layers before the first co-attention, an image's
    embedding, and both's projections for that layer. Captions of like lengths, and images of like numbers of
    regions, in a batch keep padding small.

    Args:
        trunk, head: a model in evaluation mode, and its retrieval head.
        texts: batches of captions, (tokens_BT, mask_BT, task_B).
        images: batches of images, (features_BVF, boxes_BV5, mask_BV), taken one after another.
        at_once: pairs that run through the joint layers together.

    Returns:
        Scores, (captions, images), in the order given.
    """
    encoded = [trunk.encode_text(*text) for text in texts]
    return torch.cat([score_block(trunk, head, encoded, trunk.encode_image(*image), at_once) for image in images], 1)


def score_block(
    trunk: Trunk,
    head: nn.Module,
    texts: Sequence[Stream],
    image: Stream,
    at_once: int = _PAIRS_AT_ONCE,
    chosen_CJ: NDArray[np.bool_] | None = None,
) -> Tensor:
    """Score encoded captions against a block of encoded images, (C, J): all pairs, or those chosen, the others NaN."""
    rows, first, columns = [], 0, image.rows.batch
    for text in texts:
        captions, device = text.rows.batch, text.x_ND.device
        if chosen_CJ is None:
            pairs_P = torch.arange(captions * columns, device=device)
        else:
            pairs_P = torch.from_numpy(np.flatnonzero(chosen_CJ[first : first + captions])).to(device)
        scores = torch.full((captions * columns,), torch.nan, device=device)
        for pairs in torch.split(pairs_P, at_once) if len(pairs_P) else ():
            joined = trunk.join(text.repeat(pairs // columns), image.repeat(pairs % columns), pooled_only=True)
            scores[pairs] = head(trunk.fuse(joined)).squeeze(1).float()
        rows.append(scores.view(captions, columns))
        first += captions
    return torch.cat(rows)


def mean_state(stream: Stream) -> NDArray[np.float32]:
    """Return the mean of each sequence's states, (B, D)."""
    x_BLD, mask_BL = stream.rows.pad(stream.x_ND).float(), stream.rows.mask_BL
    weights_BL = torch.ones(x_BLD.shape[:2], device=x_BLD.device) if mask_BL is None else mask_BL.float()
    mean = (x_BLD * weights_BL[..., None]).sum(1) / weights_BL.sum(1, keepdim=True)
    result: NDArray[np.float32] = mean.cpu().numpy()
    return result


@dataclass(frozen=True)
class Pairs:
    """Captions and images of a split, and the model that scores their pairs, in one of several processes.

    Attributes:
        model: in evaluation mode.
        examples: C captions of I images.
        reader: of region features.
        token: the task token; None for none.
        batch_size: captions at a time.
        process: this one.
        at_once: images at a time. The processes share the images, so many together.
        progress: called with how many pairs are done, of how many.
    """

    model: Any
    examples: Examples
    reader: RegionReader
    token: int | None
    batch_size: int
    process: Process
    at_once: int
    progress: Any = None

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """The captions by their lengths."""
        return np.argsort(self.examples.lengths[:], kind="stable")

    @cached_property
    def texts(self) -> list[Stream]:
        """The captions encoded, in batches, in that order."""
        with torch.inference_mode():
            cuts = np.split(self.order, range(self.batch_size, len(self.order), self.batch_size))
            return [self.model.trunk.encode_text(*self._read_texts(which)) for which in cuts]

    def _read_texts(self, which: NDArray[np.int64]) -> Texts:
        device = self.process.device
        ids, mask = self.examples.tokens.batch(self.examples.rows[which])
        task = None if self.token is None else torch.full((len(ids),), self.token, device=device)
        return ids.to(device), mask.to(device), task

    @torch.inference_mode()
    def images(self) -> Iterator[tuple[NDArray[np.int64], Stream]]:
        """Go through this process's blocks of images: their numbers, and the images encoded."""
        names, device = self.examples.names, self.process.device
        blocks = np.split(np.arange(len(names)), range(self.at_once, len(names), self.at_once))
        for block in blocks[self.process.rank :: self.process.world]:
            regions = self.reader.read(names.take(block).tolist())
            features, boxes, mask = regions.features_BVF, regions.boxes_BV5, regions.mask_BV
            encode = self.model.trunk.encode_image
            yield block, encode(features.to(device, torch.float32), boxes.to(device), mask.to(device))

    @torch.inference_mode()
    def scored(self, chosen_CI: NDArray[np.bool_] | None = None) -> Iterator[Block]:
        """Go through this process's blocks of images, each with the scores of all captions in ``order``.

        With ``chosen_CI`` of these pairs alone, the others NaN.
        """
        self.model.eval()
        done, total = 0, len(self.order) * len(self.examples.names)
        for block, image in self.images():
            chosen = None if chosen_CI is None else chosen_CI[np.ix_(self.order, block)]
            scores = score_block(self.model.trunk, self.model.heads["retrieval"], self.texts, image, chosen_CJ=chosen)
            yield block, scores.cpu().numpy()
            if self.progress:
                done = min(done + self.process.world * len(block) * len(self.order), total)
                self.progress(self.examples.task, done, total)

    def together(self, parts: Sequence[Sequence[Block]]) -> NDArray[np.float32]:
        """Put the scores of all processes' blocks together, (C, I), in the order of the examples."""
        scores = np.empty((len(self.order), len(self.examples.names)), np.float32)
        for block, part in (pair for blocks in parts for pair in blocks):
            scores[np.ix_(self.order, block)] = part
        return scores
