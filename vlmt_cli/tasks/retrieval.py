"""G2, image retrieval: how well does a caption describe an image? (equation 2)

Trained as a choice of four: the pair itself first, then the image with a random caption, a random image with the
caption, and the image with a hard caption (section 3.2).

Shapes: B batch, O options.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vlmt_cli.base.errors import DataError
from vlmt_cli.model.config import ViLBERTConfig
from vlmt_cli.model.vilbert import ViLBERT
from vlmt_cli.tasks.examples import Batch, Columns, Examples, Inputs, Lists

OPTIONS = 4


def make_head(config: ViLBERTConfig) -> nn.Module:
    """Make W_i, which maps the overall representation to one score."""
    return nn.Linear(config.co_width, 1)


def loss(scores_BO: Tensor) -> Tensor:
    """Cross-entropy over the options, of which the first is right."""
    return F.cross_entropy(scores_BO, torch.zeros(len(scores_BO), dtype=torch.long, device=scores_BO.device))


def score(scores_BO: Tensor) -> Tensor:
    """Return whether the first option has the highest score, (B,)."""
    return (scores_BO.argmax(1) == 0).float()


def columns(
    names: NDArray[np.object_], codes: NDArray[np.int32], neighbours: pa.Table | None, where: object
) -> Columns:
    """Group N captions by their images, for drawing wrong ones.

    Args:
        names: the keys of the split's M images.
        codes: each caption's image, (N,).
        neighbours: images and the lists of those that look like them (``features.hard_negatives``); None when hard
            captions are random ones.
        where: the split, for the error.

    Raises:
        DataError: there are no two images.
    """
    if len(names) < 2:
        raise DataError("has captions of fewer than two images, so that none is wrong", where=where)
    order = np.argsort(codes, kind="stable").astype(np.int64)
    captions = Lists(order, np.searchsorted(codes[order], np.arange(len(names) + 1)))
    alike = Lists(np.empty(0, np.int64), np.zeros(len(names) + 1, np.int64))
    if neighbours is not None:
        known = pa.array(names, pa.string())
        lists = neighbours["neighbours"].combine_chunks()
        owner = pc.index_in(neighbours["image"], known).take(pc.list_parent_indices(lists))
        other = pc.index_in(lists.flatten(), known)
        both = pc.and_(owner.is_valid(), other.is_valid())
        owners = owner.filter(both).to_numpy().astype(np.int64)
        rank = np.argsort(owners, kind="stable")
        others = other.filter(both).to_numpy().astype(np.int64)[rank]
        alike = Lists(others, np.searchsorted(owners[rank], np.arange(len(names) + 1)))
    return {"captions": captions, "alike": alike}


def draw(examples: Examples, which: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw what makes wrong options: a random caption, an example with a random image, and a hard caption, (3, B)."""
    own = examples.codes[examples.offsets[which]].astype(np.int64)
    random, other = (_another(own, len(examples.names), rng) for _ in range(2))
    alike: Lists = examples.columns["alike"]
    count = np.diff(alike.offsets)[own]
    place = alike.offsets[own] + rng.integers(np.maximum(count, 1))
    hard = random.copy()
    hard[count > 0] = alike.values[place[count > 0]]
    captions: Lists = examples.columns["captions"]
    drawn = []
    for image in (random, other, hard):
        offsets = captions.offsets
        drawn.append(captions.values[offsets[image] + rng.integers(offsets[image + 1] - offsets[image])])
    return np.stack(drawn)


def inputs(examples: Examples, which: NDArray[np.int64], drawn: NDArray[np.int64] | None = None) -> Inputs:
    """Make the four options of each caption, of 3 B texts and 2 B images.

    Args:
        examples: all.
        which: B of them.
        drawn: what ``draw`` gave for these; None where the examples have it fixed, as for validation.
    """
    random, other, hard = examples.columns["drawn"][:, which] if drawn is None else drawn
    n = len(which)
    b = np.arange(n)
    texts = np.stack([b, b + n, b, b + 2 * n], 1).ravel()
    images = np.stack([b, b, b + n, b], 1).ravel()
    shown = [*examples.images(which), *examples.images(other)]
    return Inputs(np.concatenate([which, random, hard]), shown, (texts, images))


def targets(examples: Examples, which: NDArray[np.int64], regions: Any) -> dict[str, Tensor]:
    """Return nothing: the first option is right."""
    return {}


def decode(scores_BO: Tensor, batch: Batch, labels: Sequence[str]) -> dict[str, list[Any]]:
    """Return the probability of the right option."""
    return {"confidence": scores_BO.float().softmax(1)[:, 0].tolist()}


def _another(own: NDArray[np.int64], images: int, rng: np.random.Generator) -> NDArray[np.int64]:
    drawn = rng.integers(images - 1, size=len(own))
    return drawn + (drawn >= own)


@torch.inference_mode()
def score_matrix(
    trunk: ViLBERT,
    head: nn.Module,
    texts: Sequence[tuple[Tensor, Tensor, Tensor | None]],
    images: Iterable[tuple[Tensor, Tensor, Tensor]],
    at_once: int = 256,
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
    encoded = [trunk.encode_text(tokens, mask, task) for tokens, mask, task in texts]
    columns = []
    for features, boxes, mask in images:
        image = trunk.encode_image(features, boxes, mask)
        rows = []
        for text in encoded:
            device = text.x_ND.device
            grid = torch.cartesian_prod(
                torch.arange(text.rows.batch, device=device), torch.arange(image.rows.batch, device=device)
            )
            scores = [
                head(trunk.fuse(trunk.join(text.repeat(pairs[:, 0]), image.repeat(pairs[:, 1]), pooled_only=True)))
                for pairs in torch.split(grid, at_once)
            ]
            rows.append(torch.cat(scores).view(text.rows.batch, image.rows.batch))
        columns.append(torch.cat(rows))
    return torch.cat(columns, dim=1)
