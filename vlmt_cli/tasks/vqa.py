"""G1, vocabulary-based VQA: which of the known answers is right? (equation 1)

VQA and Visual Genome QA share a head and a vocabulary; GQA has its own (section 3.2).

Shapes: B batch, A answers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vlmt_cli.model.config import ViLBERTConfig
from vlmt_cli.model.layers import Classifier
from vlmt_cli.tasks.examples import Batch, Columns, Examples, Inputs, Lists, lists_of

SOFT_SCORE = 0.3
"""What one annotator's agreement is worth; four make an answer right."""


def make_head(config: ViLBERTConfig, answers: int) -> nn.Module:
    """Make the two-layer MLP on the overall representation."""
    return Classifier(config.co_width, 2 * config.co_width, answers)


def loss(logits_BA: Tensor, targets_BA: Tensor) -> Tensor:
    """Binary cross-entropy with soft targets, summed over answers, averaged over the batch (section 3.2)."""
    return F.binary_cross_entropy_with_logits(logits_BA, targets_BA, reduction="sum") / len(logits_BA)


def score(logits_BA: Tensor, targets_BA: Tensor) -> Tensor:
    """Return the soft score of each question's best answer, (B,)."""
    return targets_BA.gather(1, logits_BA.argmax(1, keepdim=True)).squeeze(1)


def columns(table: pa.Table, answers: Sequence[str]) -> tuple[Columns, NDArray[np.bool_]]:
    """Look up the answers of N questions.

    Args:
        table: of schema ``vqa``.
        answers: the vocabulary.

    Returns:
        Each question's known answers and their soft scores, min(0.3 n, 1) for n of ten annotators; and which questions
        have any, so that there is something to train on.
    """
    given, counts = table["answers"].combine_chunks(), lists_of(table["counts"])
    label = pc.index_in(given.flatten(), pa.array(answers, pa.string()))
    known = label.is_valid().to_numpy(zero_copy_only=False)
    owner = np.repeat(np.arange(len(table)), np.diff(counts.offsets))[known]
    offsets = np.searchsorted(owner, np.arange(len(table) + 1))
    scores = np.minimum(SOFT_SCORE * counts.values[known].astype(np.float32), 1)
    labels = label.drop_null().to_numpy().astype(np.int64)
    found = {"labels": Lists(labels, offsets), "scores": Lists(scores, offsets), "answers": len(answers)}
    return found, np.diff(offsets) > 0


def inputs(examples: Examples, which: NDArray[np.int64], drawn: NDArray[np.int64] | None = None) -> Inputs:
    """Take each question with its image."""
    return Inputs(which, examples.images(which))


def targets(examples: Examples, which: NDArray[np.int64], regions: Any) -> dict[str, Tensor]:
    """Return the soft scores of all answers, (B, A)."""
    owner, labels = examples.columns["labels"].of(which)
    scores = torch.zeros(len(which), examples.columns["answers"])
    scores[owner, labels] = torch.from_numpy(examples.columns["scores"].of(which)[1])
    return {"scores": scores}


def decode(logits_BA: Tensor, batch: Batch, answers: Sequence[str]) -> dict[str, list[Any]]:
    """Return each question's best answer and its probability."""
    best = logits_BA.argmax(1)
    probability = logits_BA.float().sigmoid().gather(1, best[:, None]).squeeze(1)
    return {"answer": [answers[label] for label in best.tolist()], "confidence": probability.tolist()}
