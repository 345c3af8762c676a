"""The model's side of vocabulary-based VQA: a score for every known answer.

Shapes: B batch, A answers.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vlmt_cli.tasks.examples import Examples, Inputs
from vlmt_cli.trunks.layers import Classifier

if TYPE_CHECKING:
    from vlmt_cli.tasks.config import ModelConfig

READS_REGIONS = False
draw = None
rank = None


def make_head(config: "ModelConfig", head: str) -> nn.Module:
    """Make the two-layer MLP on the overall representation."""
    return Classifier(config.trunk.pooled_width, 2 * config.trunk.pooled_width, config.answers[head])


def inputs(examples: Examples, which: NDArray[np.int64], drawn: NDArray[np.int64] | None = None) -> Inputs:
    """Take each question with its image."""
    return Inputs(which, examples.images(which))


def targets(examples: Examples, which: NDArray[np.int64], regions: Any) -> dict[str, Tensor]:
    """Return the soft scores of all answers, (B, A)."""
    owner, labels = examples.columns["labels"].of(which)
    scores = torch.zeros(len(which), examples.columns["answers"])
    scores[owner, labels] = torch.from_numpy(examples.columns["scores"].of(which)[1])
    return {"scores": scores}


def options(output_BA: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """Return the logits of all answers, (B, A)."""
    return output_BA


def loss(options_BA: Tensor, targets: Mapping[str, Tensor], form: str = "") -> Tensor:
    """Binary cross-entropy with soft targets, summed over answers, averaged over the batch (section 3.2)."""
    scores_BA = targets["scores"]
    return F.binary_cross_entropy_with_logits(options_BA, scores_BA, reduction="sum") / len(options_BA)


def score(options_BA: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """Return the soft score of each question's best answer, (B,)."""
    return targets["scores"].gather(1, options_BA.argmax(1, keepdim=True)).squeeze(1)
