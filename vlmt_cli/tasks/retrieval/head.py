"""The model's side of retrieval: four options a caption, and every caption against every image.

Shapes: B batch, O options, C captions, I images.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vlmt_cli.features.reader import RegionReader
from vlmt_cli.tasks.examples import Examples, Inputs, Lists
from vlmt_cli.tasks.process import Process
from vlmt_cli.tasks.retrieval.cascade import Cascade, rank_shortlist
from vlmt_cli.tasks.retrieval.matrix import Pairs

if TYPE_CHECKING:
    from vlmt_cli.tasks.config import ModelConfig

READS_REGIONS = False
OPTIONS = 4
_IMAGES_AT_ONCE = 16


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
    cascade: Cascade | None = None,
) -> dict[str, Any]:
    """Score each of C captions against each of I images: ``scores_CI``, both in the order of the examples.

    In others than the first process, nothing. ``progress`` counts pairs. With a ``cascade`` the model scores a
    shortlist, as ``cascade.rank_shortlist`` says.
    """
    pairs = Pairs(model, examples, reader, token, batch_size, process, _IMAGES_AT_ONCE, progress)
    if cascade is not None:
        return rank_shortlist(pairs, cascade)
    parts = process.to_first(list(pairs.scored()))
    return {"scores_CI": pairs.together(parts)} if process.is_first else {}


def _another(own: NDArray[np.int64], images: int, rng: np.random.Generator) -> NDArray[np.int64]:
    drawn = rng.integers(images - 1, size=len(own))
    return drawn + (drawn >= own)
