"""Options that several commands share, and checks of what was given that need nothing heavy."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.commands import completion

DataFolder = Annotated[
    Path,
    typer.Option("--data", envvar="VLMT_DATA", help="Data folder: raw/, examples/, clean/, features/ are in it."),
]
Recipe = Annotated[
    str,
    typer.Option(
        "--preset",
        "--recipe",
        help="Recipe, by name or as a YAML file, for all other choices.",
        autocompletion=completion.recipes,
    ),
]
Preset = Annotated[
    str,
    typer.Option("--preset", "--recipe", help="Recipe, by name or as a YAML file.", autocompletion=completion.recipes),
]
DataSettings = Annotated[
    list[str] | None, typer.Option("--set", help="Override a recipe key: --set vqa.minval=5000. Repeat it for more.")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Override a recipe key: --set training.gap=8. Repeat it for more.")
]
Weights = Annotated[
    Literal["best", "last"],
    typer.Option("--weights", help="A run's best weights, by its mean validation score, or its last."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Sbatch = Annotated[
    list[str] | None, typer.Option(help="With --launcher slurm: an option, partition=gpu. Repeat it for more.")
]

DATA = Path("data")


def check_device(name: str) -> None:
    """Raise a UsageError where a device is not one by its name, without importing torch."""
    if not re.fullmatch(r"auto|(cpu|cuda)(:\d+)?", name):
        raise UsageError(f"there is no device {name!r}", todo="write cpu, cuda or cuda:1")


def device_of(name: str) -> str:
    """Check a device.

    Raises:
        UsageError: this machine does not have it.
    """
    check_device(name)
    import torch

    has_gpu = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if has_gpu else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and not (has_gpu and (device.index or 0) < torch.cuda.device_count()):
        raise UsageError(f"--device {name}: there is no such GPU that torch can use", todo="give --device cpu")
    return name


def check_data(data: Path) -> None:
    """Raise a DataError where there is no data folder."""
    if not data.is_dir():
        raise DataError("there is no such folder", where=data, todo="name the data folder with --data or VLMT_DATA")


def check_features(store: str | None, data: Path) -> None:
    """Raise a DataError where a feature store that is named does not exist."""
    if store is not None and not (data / "features" / store).exists() and not Path(store).exists():
        todo = "make one with vlmt extract or vlmt pack"
        raise DataError("there is no feature store", where=store, todo=todo)
