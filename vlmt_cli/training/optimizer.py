"""AdamW (section 8.4), where a parameter without a gradient moves neither by momentum nor by weight decay.

torch's optimizers pass such a parameter over, and a head that is not this batch's has no gradient.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.runs.recipe_sections import TrainingChoices
from vlmt_cli.tasks.multitask import reads_regions


def freeze(model: nn.Module, parts: tuple[str, ...]) -> None:
    """Let parts of a model keep their weights: its ``trunk``, or the ``text`` or ``vision`` stream of it.

    Raises:
        UsageError: text and vision share the layers of this trunk.
    """
    trunk: Any = model.trunk if parts else None
    for part in parts:
        if part != "trunk" and part not in trunk.parts:
            what = f"{trunk.config.kind} is a single stream: words and regions share its layers"
            raise UsageError(what, where="training.freeze", todo="freeze all of it with --set training.freeze=[trunk]")
    prefixes = tuple(f"trunk.{prefix}" for part in parts for prefix in ([""] if part == "trunk" else trunk.parts[part]))
    for name, parameter in model.named_parameters():
        parameter.requires_grad = not (prefixes and name.startswith(prefixes))


def make_optimizer(
    model: nn.Module, choices: TrainingChoices, shared: float, heads: Mapping[str, float]
) -> torch.optim.AdamW:
    """Make the optimizer: biases and layer norms do not decay.

    A parameter trains at the minimum rate of the tasks that share it (section 3.3). AdamW divides a gradient by its own
    size, so that the scale of a loss does not change how far a head moves that only one task trains; the head's own
    rate does.

    Args:
        model: its parameters below ``heads.NAME.`` are those of a head, all others are shared.
        choices: of the recipe; with ``head_learning_rate`` the rates are those of the authors' code.
        shared: the rate of the shared parameters.
        heads: the rate of each head.

    Returns:
        The optimizer. Each group has its rate divided by ``shared`` as ``ratio``, by which the loop sets it.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decay = 0.0 if parameter.dim() < 2 else choices.weight_decay
        rate = shared
        if name.startswith("heads."):
            head = name.split(".")[1]
            if choices.head_learning_rate is None:
                rate = heads[head]
            elif not reads_regions(head):
                rate = choices.head_learning_rate
        groups.setdefault((decay, rate / shared), []).append(parameter)
    options = [
        {"params": parameters, "weight_decay": decay, "ratio": ratio} for (decay, ratio), parameters in groups.items()
    ]
    return torch.optim.AdamW(options, lr=shared, betas=choices.betas, eps=choices.epsilon, fused=True)


def load_optimizer(optimizer: Any, state: dict[str, Any], run: Path) -> None:
    """Restore the optimizer of a run that goes on.

    Raises:
        DataError: an earlier version, which trained heads at other rates, saved it.
    """
    try:
        optimizer.load_state_dict(state)
    except ValueError as error:
        what = f"was saved by a version that grouped the learning rates differently ({error})"
        todo = f"start another run from its weights with --set start={run}"
        raise DataError(what, where=run, todo=todo) from error


def take_step(
    fabric: Fabric,
    parameters: list[nn.Parameter],
    optimizer: Any,
    most: float | None = None,
    diverged: Tensor | None = None,
) -> None:
    """Step, and drop the gradients; nothing here waits for the device.

    The fused optimizer divides gradients by ``grad_scale`` as it reads them, and leaves weights and moments alone where
    ``found_inf`` is one. fp16's loss scaler takes both for itself, so that gradients are clipped before it steps.

    Args:
        fabric: of this process.
        parameters: all of the model's.
        optimizer: set up by ``fabric``.
        most: the largest norm of the gradient; None for no limit.
        diverged: whether a loss was NaN or infinite, 0 or 1, float32; None where that is known not to be.
    """
    own: Any = optimizer.optimizer
    if scaler := getattr(fabric.strategy.precision, "scaler", None):
        if most is not None:
            scaler.unscale_(own)
            nn.utils.clip_grad_norm_(parameters, most)
    else:
        own.grad_scale = None if most is None else excess(parameters, most)
        own.found_inf = diverged
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def excess(parameters: list[nn.Parameter], most: float) -> Tensor:
    """Return by what to divide gradients so that their norm, of all together, is at most ``most``; 1 where it is."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if gradients[0].device.type == "cpu":  # where many small norms take longer than a copy
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    else:
        norm = nn.utils.get_total_norm(gradients)
    scale: Tensor = ((norm + 1e-6) / most).clamp(min=1)
    return scale


def drop_foreign_gradients(heads: nn.ModuleDict, active: str) -> None:
    """Leave the heads that a batch did not use without a gradient, where a strategy gave them one of zeros."""
    for name, head in heads.items():
        if name != active:
            for parameter in head.parameters():
                parameter.grad = None


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the shared parameters' learning rate, and all others by their ratio to it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["ratio"]
