"""How far a run is, and what it did since its last line of metrics."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vlmt_cli.base.errors import VlmtError
from vlmt_cli.runs.best import Best
from vlmt_cli.runs.recipe_sections import TrainingChoices
from vlmt_cli.training.dsg import VARIANTS, Controller


@dataclass
class LoopState:
    """How far a run is; with the weights and the optimizer, all that it needs to go on.

    Attributes:
        iteration: the last one that is complete.
        seconds: of training so far.
        batches: that each task has taken.
        controllers: each task's dynamic stop-and-go.
        scores: each task's latest validation score, of those that have been validated.
        best: when the weights were best; None until every task has been validated.
    """

    iteration: int
    seconds: float
    batches: dict[str, int]
    controllers: dict[str, Controller]
    scores: dict[str, float] = field(default_factory=dict)
    best: Best | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return plain data."""
        controllers = {task: controller.state_dict() for task, controller in self.controllers.items()}
        return {
            "iteration": self.iteration,
            "seconds": self.seconds,
            "batches": self.batches,
            "controllers": controllers,
            "scores": self.scores,
            "best": self.best.model_dump() if self.best else None,
        }


def first_state(tasks: Sequence[str], choices: TrainingChoices) -> LoopState:
    """Return the state of a run that begins."""
    kind = VARIANTS[choices.variant]
    controllers: dict[str, Controller] = {
        task: kind(gap=choices.gap, converged=choices.converged, diverged=choices.diverged) for task in tasks
    }
    return LoopState(0, 0.0, dict.fromkeys(tasks, 0), controllers)


def read_state(values: dict[str, Any], choices: TrainingChoices) -> LoopState:
    """Make a state of what ``state_dict`` gave."""
    kind = VARIANTS[choices.variant]
    controllers: dict[str, Controller] = {task: kind(**kept) for task, kept in values["controllers"].items()}
    best = Best.model_validate(values["best"]) if values.get("best") else None
    scores = dict(values.get("scores", {}))
    return LoopState(values["iteration"], values["seconds"], dict(values["batches"]), controllers, scores, best)


def seed_device(device: torch.device, seed: int) -> None:
    """Seed the CPU and the device in use; ``torch.manual_seed`` formats a stack for every kind that is not there."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


class Clock:
    """The seconds of one piece of work; on a GPU those from its begin to its end there, for which who asks waits."""

    def __init__(self, device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        self._events = (_event(), _event()) if on_gpu else None
        self._times = [time.perf_counter()] * 2
        if self._events:
            self._events[0].record()

    def stop(self) -> None:
        """Note the end."""
        self._times[1] = time.perf_counter()
        if self._events:
            self._events[1].record()

    @property
    def seconds(self) -> float:
        if self._events:
            self._events[1].synchronize()  # fp16's last losses were settled before its step
            return float(self._events[0].elapsed_time(self._events[1])) / 1000
        return self._times[1] - self._times[0]


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


class Update(NamedTuple):
    """An update whose losses are still on the device.

    Attributes:
        task, iteration, number: which batch it was of.
        names, losses: each loss, (losses,).
    """

    task: str
    iteration: int
    number: int
    names: tuple[str, ...]
    losses: Tensor


@dataclass
class Tally:
    """What a task did since the last line of metrics."""

    losses: dict[str, float] = field(default_factory=dict)
    updates: int = 0
    examples: int = 0
    clocks: list[Clock] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Of all its updates."""
        return sum(clock.seconds for clock in self.clocks)


class DivergedError(VlmtError):
    """A loss is NaN or infinite."""

    def __init__(self, task: str, iteration: int, number: int, losses: dict[str, float], parts: list[Any]) -> None:
        what = ", ".join(f"{name} {value}" for name, value in losses.items() if value - value != 0)
        super().__init__(
            f"the loss of {task} is NaN or infinite ({what}) in iteration {iteration}, batch {number}",
            todo="a lower learning rate helps, or --set training.clip=1",
        )
        self.task, self.iteration, self.number, self.parts = task, iteration, number, parts
