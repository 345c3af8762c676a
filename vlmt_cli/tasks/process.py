"""One of the processes in which a model runs, and what they tell each other."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

Value = TypeVar("Value")


@dataclass(frozen=True)
class Process:
    """Where a model runs.

    Attributes:
        device: of this process.
        rank, world: this process among how many.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that judges, writes and speaks."""
        return self.rank == 0

    def to_first(self, value: Value) -> list[Value]:
        """Return what every process has, in their order; in others than the first, nothing."""
        if self.world == 1:
            return [value]
        values: list[Any] | None = [None] * self.world if self.is_first else None
        torch.distributed.gather_object(value, values)
        return values or []

    def from_first(self, value: Value) -> Value:
        """Return the first process's value."""
        if self.world == 1:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values, device=self.device)
        return values[0]


ALONE = Process()
"""The only process, on the CPU."""
