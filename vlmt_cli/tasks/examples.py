"""A task's examples in memory, as columns; and what a batch is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlmt_cli.features.reader import put_img
from vlmt_cli.tasks.text import Tokens

Columns = Mapping[str, Any]


@dataclass(frozen=True)
class Examples:
    """N examples of one task and split.

    Attributes:
        task, split: which.
        ids: their ids, N strings.
        rows: their rows in the example table, (N,).
        tokens: of all texts of the table.
        names: the distinct image keys.
        codes: the places of the examples' images in ``names``, one example after another.
        offsets: where each example's images begin in ``codes``, (N + 1,).
        columns: what the task's group keeps beside, by name.
    """

    task: str
    split: str
    ids: pa.Array
    rows: NDArray[np.int64]
    tokens: Tokens
    names: NDArray[np.object_]
    codes: NDArray[np.int32]
    offsets: NDArray[np.int64]
    columns: Columns = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example's text, (N,)."""
        return self.tokens.lengths[self.rows]

    def images(self, which: NDArray[np.int64], place: int = 0) -> list[str]:
        """Return the keys of the ``place``-th image of some examples."""
        names: list[str] = self.names[self.codes[self.offsets[which] + place]].tolist()
        return names


class Inputs(NamedTuple):
    """Which texts and images make up a batch.

    Attributes:
        texts: the examples whose texts they are, (T,).
        images: image keys.
        pairs: which text and which image make up each pair; None where the i-th go together.
        candidates: of each image (C, 4) boxes; None where the task gives none.
    """

    texts: NDArray[np.int64]
    images: list[str]
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
    candidates: list[NDArray[np.float32]] | None = None


class Lists(NamedTuple):
    """N lists of values, one after another."""

    values: NDArray[Any]
    offsets: NDArray[np.int64]

    def of(self, which: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return the values of some lists, and to which of them each belongs."""
        begins, lengths = self.offsets[which], self.offsets[which + 1] - self.offsets[which]
        owner = np.repeat(np.arange(len(which)), lengths)
        return owner, self.values[np.repeat(begins - np.cumsum(lengths) + lengths, lengths) + np.arange(len(owner))]

    def take(self, which: NDArray[np.int64]) -> list[NDArray[Any]]:
        """Return some lists."""
        return [self.values[self.offsets[one] : self.offsets[one + 1]] for one in which]


def lists_of(column: pa.ChunkedArray | pa.Array, values: Any = None) -> Lists:
    """View a column of lists; ``values`` stand in for its own, which are flat then."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    offsets = array.offsets.to_numpy().astype(np.int64)
    flat = array.flatten().to_numpy(zero_copy_only=False) if values is None else values
    return Lists(flat, offsets - offsets[0])


@dataclass
class Batch:
    """What the model and a task's loss take.

    Attributes:
        task, head: which.
        examples: the examples that it is made of, (B,).
        tokens_BT, token_mask_BT, features_BVF, boxes_BV5, region_mask_BV, task_B, pairs: the model's.
        targets: the loss's and the score's, by name.
        pixels_BV4: the regions' boxes in pixels.
        detected_B: how many detected regions each image has; IMG is their mean.
    """

    task: str
    head: str
    examples: NDArray[np.int64]
    tokens_BT: Tensor
    token_mask_BT: Tensor
    features_BVF: Tensor
    boxes_BV5: Tensor
    region_mask_BV: Tensor
    task_B: Tensor | None
    pairs: tuple[Tensor, Tensor] | None
    targets: dict[str, Tensor]
    pixels_BV4: Tensor
    detected_B: Tensor

    def __len__(self) -> int:
        return len(self.examples)

    def to(self, device: torch.device, features: torch.dtype | None = None) -> "Batch":
        """Bring all tensors to a device, and features to a dtype there, where IMG is made if it was not yet."""
        if device.type == "cpu" and features in (None, self.features_BVF.dtype):
            return self

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        regions, detected = move(self.features_BVF).to(features), move(self.detected_B)
        if self.features_BVF.dtype == torch.float16:
            put_img(regions, detected)
        return Batch(
            self.task,
            self.head,
            self.examples,
            move(self.tokens_BT),
            move(self.token_mask_BT),
            regions,
            move(self.boxes_BV5),
            move(self.region_mask_BV),
            None if self.task_B is None else move(self.task_B),
            None if self.pairs is None else (move(self.pairs[0]), move(self.pairs[1])),
            {name: move(tensor) for name, tensor in self.targets.items()},
            self.pixels_BV4,
            detected,
        )

    def inputs(self) -> tuple[Any, ...]:
        """Return the arguments of ``MultiTaskModel.forward``."""
        return (
            self.head,
            self.tokens_BT,
            self.token_mask_BT,
            self.features_BVF,
            self.boxes_BV5,
            self.region_mask_BV,
            self.task_B,
            self.pairs,
        )
