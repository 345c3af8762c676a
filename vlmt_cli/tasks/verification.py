"""G4, multi-modal verification: is the statement true of the images? (equation 4)

NLVR2's two image-statement pairs are encoded apart and their representations concatenated; SNLI-VE has one image,
and "a separate classifier of the same form" (section 3.2). The authors' code trains both with a binary
cross-entropy a class where the paper says softmax, and SNLI-VE with a single linear layer.

Shapes: B batch, C classes, D width.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vlmt_cli.model.config import ViLBERTConfig
from vlmt_cli.model.layers import Classifier
from vlmt_cli.tasks.examples import Batch, Columns, Examples, Inputs


def make_pair_head(config: ViLBERTConfig) -> nn.Module:
    """Make NLVR2's MLP on two concatenated representations: false, true."""
    return Classifier(2 * config.co_width, 2 * config.co_width, 2)


def make_entailment_head(config: ViLBERTConfig, form: str = "mlp") -> nn.Module:
    """Make SNLI-VE's head for its three classes: ``mlp`` as the paper says, or the authors' ``linear``."""
    if form == "linear":
        return nn.Linear(config.co_width, 3)
    return Classifier(config.co_width, 2 * config.co_width, 3)


def pair_up(fused_2BD: Tensor) -> Tensor:
    """Concatenate the representations of each example's two images, rows 2i and 2i + 1: (B, 2D)."""
    return fused_2BD.reshape(len(fused_2BD) // 2, -1)


def loss(logits_BC: Tensor, labels_B: Tensor, form: str = "softmax") -> Tensor:
    """Cross-entropy over the classes (``softmax``, equation 4), or the authors' mean of a ``binary`` one a class."""
    if form == "binary":
        one_hot = F.one_hot(labels_B, logits_BC.shape[1]).to(logits_BC.dtype)
        return F.binary_cross_entropy_with_logits(logits_BC, one_hot)
    return F.cross_entropy(logits_BC, labels_B)


def score(logits_BC: Tensor, labels_B: Tensor) -> Tensor:
    """Return whether the best class is the right one, (B,)."""
    return (logits_BC.argmax(1) == labels_B).float()


def columns(table: pa.Table) -> tuple[Columns, NDArray[np.bool_]]:
    """Return N labels, and which examples have one."""
    labels = table["label"].fill_null(-1).to_numpy().astype(np.int64)
    return {"labels": labels}, labels >= 0


def inputs(examples: Examples, which: NDArray[np.int64], drawn: NDArray[np.int64] | None = None) -> Inputs:
    """Take each statement with its image, or with each of its two (NLVR2)."""
    if examples.task != "nlvr2":
        return Inputs(which, examples.images(which))
    left, right = examples.images(which), examples.images(which, 1)
    both = [image for pair in zip(left, right, strict=True) for image in pair]
    return Inputs(which, both, (np.arange(len(both)) // 2, np.arange(len(both))))


def targets(examples: Examples, which: NDArray[np.int64], regions: Any) -> dict[str, Tensor]:
    """Return the labels, (B,)."""
    return {"labels": torch.from_numpy(examples.columns["labels"][which])}


def decode(logits_BC: Tensor, batch: Batch, labels: Sequence[str]) -> dict[str, list[Any]]:
    """Return each statement's best class, and the probabilities of all in the order of the labels."""
    probabilities = logits_BC.float().softmax(1)
    return {
        "answer": [labels[label] for label in logits_BC.argmax(1).tolist()],
        "probabilities": probabilities.tolist(),
    }
