"""Whether a file's tensors fit a model, and the model that they make."""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vlmt_cli.base.errors import DataError
from vlmt_cli.features import tensor_files
from vlmt_cli.features.tensor_files import some
from vlmt_cli.tasks.config import ModelConfig
from vlmt_cli.tasks.multitask import MultiTaskModel

# What the authors' training checkpoints (``.tar``) hold besides tensors.
OBJECTS = (
    "vilbert.utils.MultiTaskStopOnPlateau",
    "vilbert.utils.tbLogger",
    "functools.partial",
    "__builtin__.getattr",
    "builtins.getattr",
)


def read_torch(path: Path) -> Any:
    """Read what ``torch.save`` wrote, the authors' training checkpoints too. Raises a DataError."""
    return tensor_files.read_torch_file(path, inert=OBJECTS)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file."""
    from safetensors.torch import save_file

    path.touch()  # safetensors makes files that only their owner may read
    mode = path.stat().st_mode
    with _as_os_error():
        save_file(on_cpu(tensors), path, metadata={"format": "pt"})
    path.chmod(mode)


def write_torch(path: Path, content: Any) -> None:
    """Write tensors and plain data for ``read_torch``."""
    with path.open("wb") as file, _as_os_error():  # an open one: torch writes a path's name into what it writes
        torch.save(content, file)


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """Let what both libraries make of a full disk be the OSError that it was."""
    try:
        yield
    except Exception as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        if number := re.search(r"\(os error (\d+)\)", str(error)):
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
        raise


@dataclass(frozen=True)
class Misfits:
    """How a file's tensors differ from those that a model needs; empty when they do not.

    Attributes:
        missing: tensors that the model needs and the file lacks.
        unexpected: tensors of the file that have no place in the model.
        misshapen: tensors of another shape or kind, with both.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshapen)

    def __str__(self) -> str:
        kinds = (("missing", self.missing), ("unexpected", self.unexpected), ("misshapen", self.misshapen))
        return "; ".join(f"{len(names)} {kind} ({some(names)})" for kind, names in kinds if names)

    def refuse(self, where: object) -> None:
        """Raise a DataError that lists them, if there are any."""
        if self:
            todo = "give the config that the weights were made with, or load what fits with --partial"
            raise DataError(f"the tensors do not fit the model: {self}", where=where, todo=todo)


def compare_tensors(
    needed: Mapping[str, Sequence[int]],
    tensors: Mapping[str, Tensor],
    optional: Mapping[str, Sequence[int]] | None = None,
) -> Misfits:
    """Compare a file's tensors with the shapes that a model needs, and with those that may be there too."""
    known = {**needed, **(optional or {})}
    wrong = [
        f"{name}: {str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}, not {list(known[name])}"
        for name, tensor in tensors.items()
        if name in known and (tuple(tensor.shape) != tuple(known[name]) or not tensor.is_floating_point())
    ]
    return Misfits(
        missing=tuple(name for name in needed if name not in tensors),
        unexpected=tuple(sorted(tensors.keys() - known.keys())),
        misshapen=tuple(wrong),
    )


def fitting(misfits: Misfits, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out tensors that are unexpected or misshapen."""
    out = {*misfits.unexpected, *(entry.partition(":")[0] for entry in misfits.misshapen)}
    return {name: tensor for name, tensor in tensors.items() if name not in out}


def shapes_of(config: ModelConfig) -> MultiTaskModel:
    """Make a model that has shapes and no numbers."""
    with torch.device("meta"), _Uninitialised():
        return MultiTaskModel(config)


class _Uninitialised(TorchFunctionMode):
    """Leaves tensors as they are made: drawing numbers for tensors that have none imports torch's compiler."""

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        # transformers puts functions of its own in the place of torch's while it initialises.
        if getattr(function, "__module__", None) in ("torch.nn.init", "transformers.initialization"):
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return function(*args, **kwargs)


def make_model(config: ModelConfig, tensors: Mapping[str, Tensor]) -> MultiTaskModel:
    """Make a model with these tensors, in evaluation mode; those that are not given stay as initialised.

    The numbers are copied, so that the model depends on no file and is float32 whatever the file was.
    """
    whole = tensors.keys() >= shapes_of(config).state_dict().keys()
    # Where nothing stays as initialised there is no need to draw random numbers.
    with _Uninitialised() if whole else contextlib.nullcontext():
        model = MultiTaskModel(config)
    model.load_state_dict(tensors, strict=whole)
    return model.eval()


def on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring tensors to the CPU, each in memory of its own, so that a slice is not saved with its whole."""
    moved = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return {
        name: tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()
        for name, tensor in moved.items()
    }


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of tensors by name, whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
