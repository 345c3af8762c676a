"""A batch: what the model, a task's loss and its score take."""

from collections.abc import Callable
from dataclasses import dataclass, replace
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

        regions, detected = on_device(self.features_BVF, device).to(features), on_device(self.detected_B, device)
        if self.features_BVF.dtype == torch.float16:
            put_img(regions, detected)
        moved = self._each(lambda tensor: on_device(tensor, device))
        return replace(moved, features_BVF=regions, detected_B=detected)

    def pinned(self) -> "Batch":
        """Bring all tensors into memory from which copies to a GPU need not wait."""
        return replace(self._each(pin), features_BVF=pin(self.features_BVF), detected_B=pin(self.detected_B))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Change all tensors that model and loss take but features and their number."""
        return replace(
            self,
            tokens_BT=change(self.tokens_BT),
            token_mask_BT=change(self.token_mask_BT),
            boxes_BV5=change(self.boxes_BV5),
            region_mask_BV=change(self.region_mask_BV),
            task_B=None if self.task_B is None else change(self.task_B),
            pairs=None if self.pairs is None else (change(self.pairs[0]), change(self.pairs[1])),
            targets={name: change(tensor) for name, tensor in self.targets.items()},
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


def pin(tensor: Tensor) -> Tensor:
    """Copy a tensor into pinned memory, unless it is there, in one piece."""
    return tensor if tensor.is_pinned() and tensor.is_contiguous() else tensor.contiguous().pin_memory()


def on_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device without waiting for what that does, as a copy from unpinned memory would."""
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return pin(tensor).to(device, non_blocking=True)
