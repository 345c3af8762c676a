"""G1, vocabulary-based VQA: which of the known answers is right? (equation 1)

VQA and Visual Genome QA share a head and a vocabulary; GQA has its own (section 3.2).

Shapes: B batch, A answers.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from vlmt_cli.model.config import ViLBERTConfig
from vlmt_cli.model.layers import Classifier


def make_head(config: ViLBERTConfig, answers: int) -> nn.Module:
    """Make the two-layer MLP on the overall representation."""
    return Classifier(config.co_width, 2 * config.co_width, answers)


def loss(logits_BA: Tensor, targets_BA: Tensor) -> Tensor:
    """Binary cross-entropy with soft targets, summed over answers, averaged over the batch (section 3.2)."""
    return F.binary_cross_entropy_with_logits(logits_BA, targets_BA, reduction="sum") / len(logits_BA)


def score(logits_BA: Tensor, targets_BA: Tensor) -> Tensor:
    """Return the soft score of each question's best answer, (B,)."""
    return targets_BA.gather(1, logits_BA.argmax(1, keepdim=True)).squeeze(1)
