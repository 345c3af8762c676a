"""What the loop and evaluation ask of a task's group, by head: an explicit dict of plain functions."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vlmt_cli.features.reader import RegionBatch
from vlmt_cli.tasks import referring, retrieval, verification, vqa
from vlmt_cli.tasks.examples import Batch, Examples, Inputs


class Group(NamedTuple):
    """One head's functions.

    Attributes:
        draw: what some examples' wrong options are made of, (any, B), where a group has such; None where not.
        inputs: which texts and images some examples are made of, given what was drawn for them.
        targets: what the loss and the score take, of some examples and the regions that were read for them.
        loss: of the model's output, the targets, and the form of the verification loss: the mean over examples.
        score: of the output and the targets, each example's, (B,), from 0 to 1.
        decode: of the output, the batch and the head's labels: each example's prediction, by column.
    """

    draw: Callable[[Examples, NDArray[np.int64], np.random.Generator], NDArray[np.int64]] | None
    inputs: Callable[[Examples, NDArray[np.int64], NDArray[np.int64] | None], Inputs]
    targets: Callable[[Examples, NDArray[np.int64], RegionBatch], dict[str, Tensor]]
    loss: Callable[[Tensor, dict[str, Tensor], str], Tensor]
    score: Callable[[Tensor, dict[str, Tensor]], Tensor]
    decode: Callable[[Tensor, Batch, Sequence[str]], dict[str, list[Any]]]


def _options(scores_P1: Tensor) -> Tensor:
    return scores_P1.view(-1, retrieval.OPTIONS)


VQA = Group(
    None,
    vqa.inputs,
    vqa.targets,
    lambda output, targets, form: vqa.loss(output, targets["scores"]),
    lambda output, targets: vqa.score(output, targets["scores"]),
    vqa.decode,
)
VERIFICATION = Group(
    None,
    verification.inputs,
    verification.targets,
    lambda output, targets, form: verification.loss(output, targets["labels"], form),
    lambda output, targets: verification.score(output, targets["labels"]),
    verification.decode,
)
GROUPS = {
    "vqa": VQA,
    "gqa": VQA,
    "retrieval": Group(
        retrieval.draw,
        retrieval.inputs,
        retrieval.targets,
        lambda output, targets, form: retrieval.loss(_options(output)),
        lambda output, targets: retrieval.score(_options(output)),
        lambda output, batch, labels: retrieval.decode(_options(output), batch, labels),
    ),
    "referring": Group(
        None,
        referring.inputs,
        referring.targets,
        lambda output, targets, form: referring.loss(referring.choices(output, targets), targets["ious"]),
        referring.score,
        referring.decode,
    ),
    "nlvr2": VERIFICATION,
    "snli_ve": VERIFICATION,
}
