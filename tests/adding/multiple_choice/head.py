"""The model's side of multiple choice: a score for each of four choices."""

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
    return Classifier(config.trunk.pooled_width, 2 * config.trunk.pooled_width, 4)


def inputs(examples: Examples, which: NDArray[np.int64], drawn: NDArray[np.int64] | None = None) -> Inputs:
    """Take each question with its image."""
    return Inputs(which, examples.images(which))


def targets(examples: Examples, which: NDArray[np.int64], regions: Any) -> dict[str, Tensor]:
    """Return the right choices, (B,)."""
    return {"labels": torch.from_numpy(examples.columns["labels"][which])}


def options(output_B4: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """Return the scores of the choices, (B, 4)."""
    return output_B4


def loss(options_B4: Tensor, targets: Mapping[str, Tensor], form: str = "") -> Tensor:
    """Cross-entropy over the choices."""
    return F.cross_entropy(options_B4, targets["labels"])


def score(options_B4: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """Return whether the best choice is the right one, (B,)."""
    return (options_B4.argmax(1) == targets["labels"]).float()
