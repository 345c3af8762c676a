"""The task groups: an explicit dict, and what every group defines.

A group is a folder beside this file with two modules of plain functions: ``rules.py`` says what is right (labels,
official score, chance) and imports no torch, so that predictions can be scored without it; ``head.py`` is the model's
side (batch, head, loss). ``Rules`` and ``Head`` list what they define.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from vlmt_cli.datasets.table import DATASETS
from vlmt_cli.tasks.examples import Columns, Examples, Inputs, Part
from vlmt_cli.tasks.scoring import Judged

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor, nn

    from vlmt_cli.features.reader import RegionBatch
    from vlmt_cli.tasks.config import ModelConfig

GROUPS = {"G1": "vqa", "G2": "retrieval", "G3": "referring", "G4": "verification"}
"""The folder of each task group (section 2.1)."""

BoxesOf = Callable[[str], NDArray[np.float32]]
"""Image key to the (V, 4) boxes, in pixels, among which a model chooses."""


class Rules(Protocol):
    """What a group's ``rules.py`` defines.

    Attributes:
        COLUMNS: what it reads of an example table beside ids, images and texts.
        CHANCE: in words, what ``chance`` does: the baseline below which a score carries no information.
        PREDICTS: what ``vlmt predict`` shows of it.
    """

    COLUMNS: tuple[str, ...]
    CHANCE: str
    PREDICTS: Literal["answers", "boxes", "ranking"]

    def known(self, task: str, table: "pa.Table") -> NDArray[np.bool_]:
        """Say which of N examples have a right answer; those of secret test sets have none."""

    def columns(self, part: Part) -> tuple[Columns, NDArray[np.bool_]]:
        """Return what batches are made of, and which of N examples can be trained on."""

    def decode(
        self, options: NDArray[np.float32], given: Mapping[str, NDArray[Any]], labels: Sequence[str]
    ) -> dict[str, list[Any]]:
        """Return each of B examples' prediction by column, from the scores of its options, (B, O)."""

    def judge(
        self, task: str, split: str, table: "pa.Table", predicted: Mapping[str, Any], protocol: str = ""
    ) -> Judged:
        """Score the predictions for N examples by the official metric."""

    def chance(self, train: Examples, test: Examples, boxes_of: BoxesOf) -> float:
        """Return the expected score of the baseline on ``test``; ``train`` says what is most frequent."""


class Head(Protocol):
    """What a group's ``head.py`` defines.

    Attributes:
        READS_REGIONS: whether the head reads the state of every region, or the pooled states.
        draw: what some examples' wrong options are made of, (any, B); None where a group has no such.
        rank: for groups that are scored on all pairs of texts and images: runs a model over them; else None.
    """

    READS_REGIONS: bool
    draw: Callable[[Examples, NDArray[np.int64], np.random.Generator], NDArray[np.int64]] | None
    rank: Callable[..., dict[str, Any]] | None

    def make_head(self, config: "ModelConfig", head: str) -> "nn.Module":
        """Make a head."""

    def inputs(self, examples: Examples, which: NDArray[np.int64], drawn: NDArray[np.int64] | None = None) -> Inputs:
        """Say which texts and images some examples are made of, given what was drawn for them."""

    def targets(self, examples: Examples, which: NDArray[np.int64], regions: "RegionBatch") -> "dict[str, Tensor]":
        """Return what the loss and the score take, of some examples and the regions that were read for them."""

    def options(self, output: "Tensor", targets: "Mapping[str, Tensor]") -> "Tensor":
        """Return the scores of what each of B examples may choose among, (B, O), from the head's output."""

    def loss(self, options: "Tensor", targets: "Mapping[str, Tensor]", form: str) -> "Tensor":
        """Return the mean loss; ``form`` is that of the verification loss."""

    def score(self, options: "Tensor", targets: "Mapping[str, Tensor]") -> "Tensor":
        """Return each example's score, (B,), from 0 to 1."""


def rules_of(dataset: str) -> Rules:
    """Return the rules of a dataset's task group."""
    return cast(Rules, import_module(f"{__package__}.{GROUPS[DATASETS[dataset].group]}.rules"))


def head_of(dataset: str) -> Head:
    """Return the model's side of a dataset's task group."""
    return cast(Head, import_module(f"{__package__}.{GROUPS[DATASETS[dataset].group]}.head"))
