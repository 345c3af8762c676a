"""AdamW (section 8.4), where a parameter without a gradient moves neither by momentum nor by weight decay.

torch's optimizers pass such a parameter over, and a head that is not this batch's has no gradient.
"""

import torch
from torch import nn

from vlmt_cli.runs.recipe import TrainingChoices

POOLED_HEADS = ("heads.vqa", "heads.gqa", "heads.retrieval", "heads.nlvr2", "heads.snli_ve")
FROZEN = {
    "text": ("trunk.text_embedding", "trunk.text_layers"),
    "vision": ("trunk.region_embedding", "trunk.vision_layers"),
    "trunk": ("trunk.",),
}


def freeze(model: nn.Module, parts: tuple[str, ...]) -> None:
    """Let parts of a model keep their weights."""
    prefixes = tuple(prefix for part in parts for prefix in FROZEN[part])
    for name, parameter in model.named_parameters():
        parameter.requires_grad = not (prefixes and name.startswith(prefixes))


def make_optimizer(model: nn.Module, choices: TrainingChoices, base: float) -> torch.optim.AdamW:
    """Make the optimizer: biases and layer norms do not decay.

    Each group keeps, as ``ratio``, its learning rate by the base one, by which the loop sets it.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decay = 0.0 if parameter.dim() < 2 else choices.weight_decay
        of_head = choices.head_learning_rate is not None and name.startswith(POOLED_HEADS)
        rate = choices.head_learning_rate if of_head and choices.head_learning_rate is not None else base
        groups.setdefault((decay, rate / base), []).append(parameter)
    options = [
        {"params": parameters, "weight_decay": decay, "ratio": ratio} for (decay, ratio), parameters in groups.items()
    ]
    return torch.optim.AdamW(options, lr=base, betas=choices.betas, eps=choices.epsilon, fused=True)


def drop_foreign_gradients(heads: nn.ModuleDict, active: str) -> None:
    """Leave the heads that a batch did not use without a gradient, where a strategy gave them one of zeros."""
    for name, head in heads.items():
        if name != active:
            for parameter in head.parameters():
                parameter.grad = None


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the base learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["ratio"]
