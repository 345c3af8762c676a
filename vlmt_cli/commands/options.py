"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

DataFolder = Annotated[
    Path,
    typer.Option("--data", envvar="VLMT_DATA", help="Data folder: raw/, examples/, clean/, features/ are in it."),
]
Recipe = Annotated[str, typer.Option("--recipe", help="Recipe, by name or as a YAML file, for all other choices.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Override a recipe key: --set vqa.minval=5000. Repeat it for more.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

DATA = Path("data")


def device_of(name: str) -> str:
    """Check a device.

    Raises:
        UsageError: it is not there.
    """
    import torch

    from vlmt_cli.base.errors import UsageError

    there = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if there else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"there is no device {name!r}", todo="write cpu, cuda or cuda:1") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"there is no device {name!r}", todo="write cpu, cuda or cuda:1")
    if device.type == "cuda" and not (there and (device.index or 0) < torch.cuda.device_count()):
        raise UsageError(f"--device {name}: there is no such GPU that torch can use", todo="give --device cpu")
    return name
