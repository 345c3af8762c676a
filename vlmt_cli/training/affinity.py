"""Which tasks' gradients agree, measured while they train together.

Every so many iterations, on a fresh batch of every task:

- *Look-ahead affinity* (Fifty et al. 2021, "Efficiently Identifying Task Groupings"): the trunk
  takes a step on task i alone, and is taken back. How much less is task j's loss there? Z_ij = 1 - L_j(after i) / L_j.
  The step is the optimizer's, of this iteration's learning rate and its second moments, without the momentum, in which
  all tasks are mixed.
- The cosine between the gradients of two tasks, over the whole trunk and layer by layer.

Both are of the shared parameters, and without dropout. A measurement of N tasks costs N backward and N (N + 1) forward
passes, and memory for N gradients; ``seconds`` says what it took.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vlmt_cli.training.loop_task import LoopTask

if TYPE_CHECKING:
    from vlmt_cli.training.loop import Loop

FAR = 1 << 40
"""Batches from here on are never trained on."""
_PART = re.compile(r"trunk\.(?:model\.)?(?:encoder\.)?(?:(\w*?)_?layers?\.(\d+)|(\w+))")
"""Of ViLBERT's names, such as ``text_layers.0``, and of transformers', such as ``model.encoder.layer.0``."""


class Affinity:
    """Measures affinities every ``every`` iterations, and emits them as a line of metrics."""

    def __init__(self, loop: "Loop", every: int) -> None:
        self.loop, self.every = loop, every

    def after_iteration(self, iteration: int) -> None:
        """Measure, when it is time."""
        if iteration % self.every:
            return
        began = time.perf_counter()
        loop = self.loop
        model: nn.Module = loop.model.module
        scaler: Any = getattr(loop.fabric.strategy.precision, "scaler", None)
        parts = {task: self._parts(loop_task, iteration) for task, loop_task in loop.loop_tasks.items()}
        model.eval()
        try:
            record = measure(
                model,
                loop.loop_tasks,
                parts,
                step_sizes(model, loop.optimizer, loop.plan.rate(iteration)),
                loop.choices.clip,
                self._together,
                loop.fabric.autocast,
                float(scaler.get_scale()) if scaler else 1.0,
            )
        finally:
            model.train()
        seconds = round(time.perf_counter() - began, 3)
        loop.emit({"kind": "affinity", "iteration": iteration, "seconds": seconds, **record})

    def _parts(self, loop_task: LoopTask, iteration: int) -> list[Any]:
        return [part.to(self.loop.fabric.device, torch.float32) for part in loop_task.make(FAR + iteration)]

    def _together(self, value: Tensor) -> Tensor:
        """Average over processes."""
        total = self.loop.fabric.all_reduce(value, reduce_op="mean")
        assert isinstance(total, Tensor)
        return total


def measure(
    model: nn.Module,
    loop_tasks: dict[str, LoopTask],
    parts: dict[str, list[Any]],
    sizes: dict[str, Tensor | float],
    clip: float | None = None,
    together: Any = lambda value: value,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    loss_scale: float = 1.0,
) -> dict[str, Any]:
    """Measure affinities.

    Args:
        model: in evaluation mode; it comes out as it went in.
        loop_tasks: N tasks.
        parts: a batch of each, as micro-batches.
        sizes: of each shared parameter, by what its gradient is multiplied in a step (``step_sizes``).
        clip: the largest norm of a gradient in a step, as in training; None for no limit.
        together: averages over processes.
        autocast: gives the context in which the run computes losses, by its precision.
        loss_scale: of fp16, whose gradients are too small for it otherwise; they come out without it.

    Returns:
        ``tasks``; ``lookahead``: N lists of N, Z_ij of a step on i (row) for j (column); ``cosine``: by part of the
        trunk, and ``trunk`` for all of it, N lists of N.
    """
    shared = {name: parameter for name, parameter in model.named_parameters() if name in sizes}
    tasks = list(loop_tasks)
    gradients = []
    losses = []
    for task in tasks:
        with autocast():
            loss = batch_loss(model, loop_tasks[task], parts[task])
        scaled = torch.autograd.grad(loss * loss_scale, list(shared.values()), allow_unused=True)
        flat = [
            together(torch.zeros_like(parameter) if gradient is None else gradient / loss_scale)
            for gradient, parameter in zip(scaled, shared.values(), strict=True)
        ]
        gradients.append(flat)
        losses.append(together(loss.detach()))
    lookahead = []
    with torch.no_grad():
        for task, gradient in zip(tasks, gradients, strict=True):
            scale = loop_tasks[task].plan.scale
            norm = scale * torch.cat([tensor.flatten() for tensor in gradient]).norm()
            scale = scale if clip is None else scale * min(1.0, clip / float(norm.clamp(min=1e-12)))
            steps = [scale * sizes[name] * tensor for name, tensor in zip(shared, gradient, strict=True)]
            before = [parameter.clone() for parameter in shared.values()]
            for parameter, step in zip(shared.values(), steps, strict=True):
                parameter.sub_(step)
            with autocast():
                after = [batch_loss(model, loop_tasks[other], parts[other]) for other in tasks]
            after = [together(loss) for loss in after]
            for parameter, old in zip(shared.values(), before, strict=True):
                parameter.copy_(old)
            lookahead.append([1 - float(new / old) for new, old in zip(after, losses, strict=True)])
    return {"tasks": tasks, "lookahead": lookahead, "cosine": dict(_cosines(list(shared), gradients))}


def batch_loss(model: nn.Module, loop_task: LoopTask, parts: Sequence[Any]) -> Tensor:
    """Return a task's loss on a batch."""
    counts = loop_task.counts(list(parts))
    total = torch.zeros(())
    for part in parts:
        for name, (value, _) in loop_task.sums(model, part).items():
            total = total.to(value.device) + value.float() / max(counts[name], 1)
    return total


def step_sizes(model: nn.Module, optimizer: Any, rate: float) -> dict[str, Tensor | float]:
    """Say by what AdamW multiplies the gradient of each trunk parameter that it trains, momentum left out."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    sizes: dict[str, Tensor | float] = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[parameter]
            state = optimizer.state.get(parameter)
            if not name.startswith("trunk.") or not state:
                continue
            corrected = state["exp_avg_sq"] / (1 - group["betas"][1] ** float(state["step"]))
            sizes[name] = rate * group["ratio"] / (corrected.sqrt() + group["eps"])
    return sizes


def part_of(name: str) -> str:
    """Return the part of the trunk that a parameter is in: ``text 0`` of its layers, else ``text_embedding``."""
    match = _PART.match(name)
    assert match is not None
    kind, layer, other = match.groups()
    return str(other) if layer is None else f"{kind or 'layer'} {layer}"


def _cosines(names: list[str], gradients: list[list[Tensor]]) -> Iterator[tuple[str, list[list[float]]]]:
    """The cosines between gradients, of the whole trunk and of each of its parts."""
    parts: dict[str, list[int]] = {"trunk": list(range(len(names)))}
    for index, name in enumerate(names):
        parts.setdefault(part_of(name), []).append(index)
    for part, places in parts.items():
        rows = torch.stack([torch.cat([gradient[index].flatten() for index in places]) for gradient in gradients])
        unit = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-12)
        yield part, [[round(value, 5) for value in row] for row in (unit @ unit.T).tolist()]
