"""A batch: what the model, a task's loss and its score take."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlmt_cli.features.reader import put_img


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
