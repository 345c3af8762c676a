"""The model's side of multi-modal verification: a score for every class.

Shapes: B batch, C classes, D width.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vlmt_cli.datasets.table import LABELS, TASKS
from vlmt_cli.tasks.examples import Examples, Inputs
from vlmt_cli.trunks.layers import Classifier

if TYPE_CHECKING:
    from vlmt_cli.tasks.config import ModelConfig

READS_REGIONS = False
draw = None
rank = None


class PairClassifier(Classifier):
    """An MLP on the representations of an example's two images, concatenated: rows 2i and 2i + 1 are an example's."""

    def forward(self, fused_2BD: Tensor) -> Tensor:
        """Return logits, (B, C)."""
        return super().forward(fused_2BD.reshape(len(fused_2BD) // 2, -1))


def make_head(config: "ModelConfig", head: str) -> nn.Module:
    """Make the MLP on one representation, or on two; ``config.entailment_head`` says which form the former has."""
    width, classes = config.trunk.pooled_width, len(LABELS[head])
    if any(row.images == 2 for row in TASKS.values() if row.head == head):
        return PairClassifier(2 * width, 2 * width, classes)
    if config.entailment_head == "linear":
        return nn.Linear(width, classes)
    return Classifier(width, 2 * width, classes)


def inputs(examples: Examples, which: NDArray[np.int64], drawn: NDArray[np.int64] | None = None) -> Inputs:
    """Take each statement with its image, or with each of its two (NLVR2)."""
    if TASKS[examples.task].images == 1:
        return Inputs(which, examples.images(which))
    left, right = examples.images(which), examples.images(which, 1)
    both = [image for pair in zip(left, right, strict=True) for image in pair]
    return Inputs(which, both, (np.arange(len(both)) // 2, np.arange(len(both))))


def targets(examples: Examples, which: NDArray[np.int64], regions: Any) -> dict[str, Tensor]:
    """Return the labels, (B,)."""
    return {"labels": torch.from_numpy(examples.columns["labels"][which])}


def options(output_BC: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """Return the logits of all classes, (B, C)."""
    return output_BC


def loss(options_BC: Tensor, targets: Mapping[str, Tensor], form: str = "softmax") -> Tensor:
    """Cross-entropy over the classes (``softmax``, equation 4), or the authors' mean of a ``binary`` one a class."""
    if form == "binary":
        one_hot = F.one_hot(targets["labels"], options_BC.shape[1]).to(options_BC.dtype)
        return F.binary_cross_entropy_with_logits(options_BC, one_hot)
    return F.cross_entropy(options_BC, targets["labels"])


def score(options_BC: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """Return whether the best class is the right one, (B,)."""
    return (options_BC.argmax(1) == targets["labels"]).float()
