"""Weights and optimizer of a model that FSDP has sharded, whole again for a checkpoint, and back."""

from typing import Any

from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def whole_weights(model: Any) -> dict[str, Tensor]:
    """Gather all weights on the CPU; every process takes part, and the first gets them."""
    gathered: dict[str, Any] = get_model_state_dict(model, options=_WHOLE)
    return {name.replace("_fsdp_wrapped_module.", ""): tensor for name, tensor in gathered.items()}


def whole_optimizer(model: Any, optimizer: Any) -> dict[str, Any]:
    """Gather the optimizer's state on the CPU, by parameter names; every process takes part."""
    return dict(get_optimizer_state_dict(model, optimizer, options=_WHOLE))


def restore_optimizer(model: Any, optimizer: Any, state: dict[str, Any]) -> None:
    """Share out what ``whole_optimizer`` gathered."""
    set_optimizer_state_dict(model, optimizer, state, options=_WHOLE)
