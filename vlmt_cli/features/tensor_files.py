"""Files of tensors, read without running anything."""

import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.opening import check_file, open_file
from vlmt_cli.base.words import printable

AGAIN = "download or export the file again"
_AROUND = ("model_state_dict", "state_dict", "model", "module", "net", "weights")
_PREFIXES = ("module.", "_orig_mod.", "model.")
_DEEPEST = 8
_LONGEST_HEADER = 4 << 20  # bytes; the paper's model takes a fortieth of it


class _Inert:
    """Stands for an object that is not wanted, and keeps nothing of it."""

    def __new__(cls, *_: Any) -> "_Inert":
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


def read_torch_file(path: Path, inert: Sequence[str] = ()) -> Any:
    """Read what ``torch.save`` wrote: tensors and plain data, memory-mapped where the file's form allows it.

    Args:
        path: the file.
        inert: names that it may ask to import; each becomes an object that does nothing.

    Raises:
        DataError: the file is missing, damaged, or asks to import anything else but tensors; nothing of it was run.
    """
    check_file(path)
    if not path.is_file():
        raise DataError("there is no such file", where=path)
    if zipfile.is_zipfile(path):
        _check_zip(path)
    stand_ins: list[Any] = [(_Inert, name) for name in inert]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):
            warnings.simplefilter("ignore")  # of pickle protocols; what cannot be read is an error anyway
            return torch.load(path, map_location="cpu", mmap=zipfile.is_zipfile(path), weights_only=True)
    except Exception as error:  # a damaged file raises whatever its bytes run into
        message = " ".join(str(error).split())
        if asked := re.search(r"GLOBAL (\S+)", message):
            what = f"the file asks to import {printable(asked[1])}, which weights never need; nothing was run"
            raise DataError(what, where=path, todo="do not trust where it came from") from error
        if "Weights only load failed" in message:
            _damaged(path, "it holds something that is not plain data; nothing was run", error)
        _damaged(path, printable(message.partition(". ")[0], 120) or type(error).__name__, error)


def _check_zip(path: Path) -> None:
    """Refuse a zip that torch never writes and whose entries may unpack to any size."""
    try:
        with zipfile.ZipFile(path) as file:
            entries = file.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        _damaged(path, printable(error), error)
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise DataError("is a compressed zip, which torch.save never writes", where=path, todo=AGAIN)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file, memory-mapped. Raises a DataError when it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    check_file(path)
    if not path.is_file():
        raise DataError("there is no such file", where=path)
    with open_file(path) as file:
        length = int.from_bytes(file.read(8), "little")
    if _LONGEST_HEADER < length < path.stat().st_size:
        raise DataError(f"its header has {length:,} bytes, too many for a model", where=path, todo=AGAIN)
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        _damaged(path, printable(" ".join(str(error).split()), 120), error)


def unwrapped(content: Any) -> Any:
    """Take a state dict out of what training code put around it, and the prefixes off that wrappers gave its names.

    Such as ``{"model": {"state_dict": {"module.module.layer.weight": ...}}}``. What is not of this kind comes back as
    it is.
    """
    for _ in range(_DEEPEST):
        if not isinstance(content, Mapping):
            return content
        inner = next((content[name] for name in _AROUND if isinstance(content.get(name), Mapping)), None)
        if not inner:
            break
        content = inner
    while content and all(isinstance(name, str) for name in content):
        prefix = next((candidate for candidate in _PREFIXES if all(name.startswith(candidate) for name in content)), "")
        if not prefix:
            break
        content = {name.removeprefix(prefix): value for name, value in content.items()}
    return content


def only_tensors(values: Any, where: object) -> dict[str, Tensor]:
    """Check that a file holds tensors by name, and nothing else."""
    if not isinstance(values, Mapping) or not values:
        raise DataError("holds no tensors", where=where)
    for name, tensor in values.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise DataError(f"{printable(repr(name))} is not a tensor", where=where)
    return dict(values)


def check_finite(tensors: Mapping[str, Tensor], where: object) -> None:
    """Raise a DataError that names the first tensor with a weight that is NaN or infinite."""
    for name, tensor in tensors.items():
        if tensor.numel() and tensor.is_floating_point():
            low, high = tensor.aminmax()  # neither hides a NaN or an infinity
            if not (low.isfinite() and high.isfinite()):
                raise DataError(f"{name} holds weights that are NaN or infinite", where=where, todo=AGAIN)


def some(names: Sequence[str], count: int = 3) -> str:
    """Name the first few."""
    return ", ".join(names[:count]) + (f", and {len(names) - count} more" if len(names) > count else "")


def _damaged(path: Path, why: str, error: Exception) -> NoReturn:
    raise DataError(f"is not an intact file of weights ({why})", where=path, todo=AGAIN) from error
