"""The model's side of retrieval: four options a caption, and every caption against every image.

Shapes: B batch, O options, C captions, I images.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vlmt_cli.features.reader import RegionReader
from vlmt_cli.tasks.examples import Examples, Inputs, Lists
from vlmt_cli.tasks.process import Process
from vlmt_cli.trunks.encoded import Trunk

if TYPE_CHECKING:
    from vlmt_cli.tasks.config import ModelConfig

READS_REGIONS = False
OPTIONS = 4
_IMAGES_AT_ONCE = 16
_PAIRS_AT_ONCE = 256


def make_head(config: "ModelConfig", head: str) -> nn.Module:
    """Make W_i, which maps the overall representation to one score."""
    return nn.Linear(config.trunk.pooled_width, 1)


def options(output_P1: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """Return the scores of each caption's four options, (B, O)."""
    return output_P1.view(-1, OPTIONS)


def loss(options_BO: Tensor, targets: Mapping[str, Tensor], form: str = "") -> Tensor:
    """Cross-entropy over the options, of which the first is right."""
    return F.cross_entropy(options_BO, torch.zeros(len(options_BO), dtype=torch.long, device=options_BO.device))


def score(options_BO: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """Return whether the first option has the highest score, (B,)."""
    return (options_BO.argmax(1) == 0).float()


def draw(examples: Examples, which: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw what makes wrong options: a random caption, an example with a random image, and a hard caption, (3, B)."""
    own = examples.codes[examples.offsets[which]].astype(np.int64)
    random, other = (_another(own, len(examples.names), rng) for _ in range(2))
    alike: Lists = examples.columns["alike"]
    count = np.diff(alike.offsets)[own]
    position = alike.offsets[own] + rng.integers(np.maximum(count, 1))
    hard = random.copy()
    hard[count > 0] = alike.values[position[count > 0]]
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


def rank(
    model: Any,
    examples: Examples,
    reader: RegionReader,
    token: int | None,
    batch_size: int,
    process: Process,
    progress: Any = None,
) -> dict[str, Any]:
    """Score each of C captions against each of I images: ``scores_CI``, both in the order of the examples.

    In others than the first process, nothing. ``progress`` counts pairs.
    """
    device = process.device
    order = np.argsort(examples.lengths, kind="stable")
    cuts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    keys: list[str] = examples.names.tolist()
    blocks = np.split(np.arange(len(keys)), range(_IMAGES_AT_ONCE, len(keys), _IMAGES_AT_ONCE))
    own = blocks[process.rank :: process.world]

    def captions(which: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor | None]:
        ids, mask = examples.tokens.batch(examples.rows[which])
        task = None if token is None else torch.full((len(ids),), token, device=device)
        return ids.to(device), mask.to(device), task

    def images() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        done = 0
        for block in own:
            regions = reader.read([keys[number] for number in block])
            features = regions.features_BVF.to(device, torch.float32)
            yield features, regions.boxes_BV5.to(device), regions.mask_BV.to(device)
            if progress:
                done = min(done + process.world * _IMAGES_AT_ONCE, len(keys))
                progress(examples.task, done * len(examples), len(keys) * len(examples))

    model.eval()
    head = model.heads["retrieval"]
    parts = []
    if own:
        matrix = score_matrix(model.trunk, head, [captions(which) for which in cuts], images(), _PAIRS_AT_ONCE)
        parts.append((np.concatenate(own), matrix.float().cpu().numpy()))
    gathered = [part for parts in process.to_first(parts) for part in parts]
    if not gathered:
        return {}
    scores = np.empty((len(examples), len(keys)), np.float32)
    for columns, part in gathered:
        scores[np.ix_(order, columns)] = part
    return {"scores_CI": scores}


def _another(own: NDArray[np.int64], images: int, rng: np.random.Generator) -> NDArray[np.int64]:
    drawn = rng.integers(images - 1, size=len(own))
    return drawn + (drawn >= own)


@torch.inference_mode()
def score_matrix(
    trunk: Trunk,
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
