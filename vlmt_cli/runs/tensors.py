"""Files of tensors, read without running anything, and whether they fit a model."""

import hashlib
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from vlmt_cli.base.errors import DataError
from vlmt_cli.tasks.multitask import ModelConfig, MultiTaskModel

AGAIN = "download or export the file again"


class _Inert:
    """Stands for an object of the authors' training loop, and keeps nothing of it."""

    def __new__(cls, *_: Any) -> "_Inert":
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


# What their training checkpoints (``.tar``) hold besides tensors; each of these names becomes an inert object.
OBJECTS = (
    "vilbert.utils.MultiTaskStopOnPlateau",
    "vilbert.utils.tbLogger",
    "functools.partial",
    "__builtin__.getattr",
    "builtins.getattr",
)


def read_torch(path: Path) -> Any:
    """Read what ``torch.save`` wrote: tensors and plain data, memory-mapped where the file's form allows it.

    Raises:
        DataError: the file is missing, damaged, or asks to import anything but tensors; nothing of it was run.
    """
    if not path.is_file():
        raise DataError("there is no such file", where=path)
    inert: list[Any] = [(_Inert, name) for name in OBJECTS]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(inert):
            warnings.simplefilter("ignore")  # of pickle protocols; what cannot be read is an error anyway
            return torch.load(path, map_location="cpu", mmap=zipfile.is_zipfile(path), weights_only=True)
    except Exception as error:  # a damaged file raises whatever its bytes run into
        message = " ".join(str(error).split())
        if asked := re.search(r"GLOBAL (\S+)", message):
            what = f"the file asks to import {asked[1]}, which weights never need; nothing was run"
            raise DataError(what, where=path, todo="distrust whoever gave you this file") from error
        if "Weights only load failed" in message:
            _damaged(path, "it holds something that is no plain data; nothing was run", error)
        _damaged(path, message.partition(". ")[0][:120] or type(error).__name__, error)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file, memory-mapped. Raises a DataError when it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise DataError("there is no such file", where=path)
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        _damaged(path, " ".join(str(error).split())[:120], error)


def only_tensors(values: Any, where: object) -> dict[str, Tensor]:
    """Check that a file holds tensors by name, and nothing else."""
    if not isinstance(values, Mapping) or not values:
        raise DataError("holds no tensors", where=where)
    for name, tensor in values.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise DataError(f"{name!r} is no tensor", where=where)
    return dict(values)


def check_finite(tensors: Mapping[str, Tensor], where: object) -> None:
    """Raise a DataError that names the first tensor with a weight that is no number."""
    for name, tensor in tensors.items():
        if tensor.numel() and tensor.is_floating_point():
            low, high = tensor.aminmax()  # neither hides a NaN or an infinity
            if not (low.isfinite() and high.isfinite()):
                raise DataError(f"{name} holds weights that are infinite or no numbers", where=where, todo=AGAIN)


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


def some(names: Sequence[str], count: int = 3) -> str:
    """Name the first few."""
    return ", ".join(names[:count]) + (f", and {len(names) - count} more" if len(names) > count else "")


def compare(
    needed: Mapping[str, Sequence[int]],
    found: Mapping[str, Tensor],
    optional: Mapping[str, Sequence[int]] | None = None,
) -> Misfits:
    """Compare a file's tensors with the shapes that a model needs, and with those that may be there too."""
    known = {**needed, **(optional or {})}
    wrong = [
        f"{name}: {str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}, not {list(known[name])}"
        for name, tensor in found.items()
        if name in known and (tuple(tensor.shape) != tuple(known[name]) or not tensor.is_floating_point())
    ]
    return Misfits(
        missing=tuple(name for name in needed if name not in found),
        unexpected=tuple(sorted(found.keys() - known.keys())),
        misshapen=tuple(wrong),
    )


def fitting(misfits: Misfits, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out tensors that are unexpected or misshapen."""
    out = {*misfits.unexpected, *(entry.partition(":")[0] for entry in misfits.misshapen)}
    return {name: tensor for name, tensor in found.items() if name not in out}


def shapes_of(config: ModelConfig) -> MultiTaskModel:
    """Make a model that has shapes and no numbers."""
    with torch.device("meta"):
        return MultiTaskModel(config)


def make_model(config: ModelConfig, tensors: Mapping[str, Tensor]) -> MultiTaskModel:
    """Make a model with these tensors, in evaluation mode; those that are not given stay as initialised.

    The numbers are copied, so that the model depends on no file and is float32 whatever the file was.
    """
    empty = shapes_of(config)
    whole = tensors.keys() >= empty.state_dict().keys()
    # Where nothing stays as initialised there is no need to draw random numbers.
    model = empty.to_empty(device="cpu") if whole else MultiTaskModel(config)
    model.load_state_dict(tensors, strict=False)
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


def _damaged(path: Path, why: str, error: Exception) -> NoReturn:
    raise DataError(f"is no intact file of weights ({why})", where=path, todo=AGAIN) from error
