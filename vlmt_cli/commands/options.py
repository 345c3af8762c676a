"""Options that several commands share, each declared once, and checks of what was given that need nothing heavy.

An option is an annotated type: ``data: DataFolder = DATA``. Options that always go together are the fields of a
dataclass, which a command takes as one parameter under ``@grouped``.
"""

import inspect
import shlex
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.commands import completion

DATA = Path("data")

DataFolder = Annotated[
    Path,
    typer.Option("--data", envvar="VLMT_DATA", help="Data folder: raw/, examples/, clean/, features/ are in it."),
]
RecipeName = Annotated[
    str,
    typer.Option("--preset", "--recipe", help="Recipe, by name or as a YAML file.", autocompletion=completion.recipes),
]
Scale = Annotated[
    str | None, typer.Option(help="A second recipe, whose keys override this one's: mini, for the synthetic world.")
]
_KEYS = "Override a recipe key: --set {}. Repeat it for more."
DataKeys = Annotated[list[str] | None, typer.Option("--set", help=_KEYS.format("vqa.minval=5000"))]
Keys = Annotated[list[str] | None, typer.Option("--set", help=_KEYS.format("training.gap=8"))]

AUTO_BOXES = "auto"
AnswerForm = Annotated[
    str | None, typer.Option("--form", help="With --predictions: their form, where the content does not tell.")
]
AnswerBoxes = Annotated[
    str,
    typer.Option(
        "--boxes",
        metavar="UNIT[:ORDER]",
        help="With --predictions: the unit of boxes, pixels, 0-1, 0-100, 0-1000 or loc1024, followed by :xywh or :yxyx"
        " where that is their order; auto tells both from the boxes, and says which.",
    ),
]

Datasets = Annotated[
    str | None,
    typer.Option(
        "--datasets",
        help="Datasets, with commas; all (the default) means the twelve.",
        autocompletion=completion.datasets,
    ),
]
Available = Annotated[
    bool, typer.Option("--available", help="Use only the datasets and splits whose files are present.")
]
ImageLists = Annotated[
    list[str] | None,
    typer.Option(
        "--image-list",
        help="NAME:ROLE=FILE, or NAME:ROLE:SOURCE=FILE where numbers are SOURCE's: image names or keys in text, JSON,"
        " Parquet or .npy, or any mixture that vlmt scan reads; ROLE is train, val, test, pretrain or detector. Repeat"
        " it for more.",
    ),
]
Mixtures = Annotated[
    list[str] | None,
    typer.Option(
        "--mixture",
        help="NAME=FILE, or NAME:SOURCE=FILE where numbers are SOURCE's: a mixture in any form that vlmt scan reads,"
        " written to mixtures/NAME beside the split without the records that show test images. Repeat it for more.",
    ),
]
Identity = Annotated[
    str | None,
    typer.Option(
        "--identity",
        help="strict (the default): every relation that the files give. paper: ids and Visual Genome's crosswalk.",
    ),
]

Runs = Annotated[
    Path | None,
    typer.Option("--runs", help="The folder of all runs; else DATA/runs, and runs beside the default data folder."),
]
MultiTaskRun = Annotated[Path | None, typer.Argument(help="A multi-task run; else RUNS/all-tasks.", show_default=False)]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Take only the first N examples of each task and split, for a quick test."),
]
Partial = Annotated[bool, typer.Option("--partial", help="Leave out examples whose images have no features.")]
Weights = Annotated[
    Literal["best", "last"],
    typer.Option("--weights", help="A run's best weights, by its mean validation score, or its last."),
]
Features = Annotated[
    str | None, typer.Option("--features", help="Feature store, by name or path; else the one that fits the model.")
]
Detector = Annotated[
    str | None,
    typer.Option("--detector", help="Detector for photos, hub id or folder; else that of the model's features."),
]
Backbone = Annotated[
    str | None,
    typer.Option("--backbone", help="Backbone for photos, hub id or folder; else that of the model's features."),
]
DetectorWeights = Annotated[
    Path | None, typer.Option("--detector-weights", help="detectron_model.pth, for a model on features of vg-x152.")
]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, help="Examples at a time.")]
Paper = Annotated[bool, typer.Option("--paper", help="Show the paper's figures, too.")]
Launcher = Annotated[
    str | None,
    typer.Option("--launcher", help="slurm: as jobs of a cluster. local: the same jobs on this machine, as a test."),
]
Sbatch = Annotated[
    list[str] | None,
    typer.Option("--sbatch", help="With --launcher slurm: an option, partition=gpu. Repeat it for more."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take options as one parameter: the fields of the dataclass that it is annotated with.

    The command line, and callers in Python, give each field by its own name; a field without a default is required.
    """
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    groups: dict[str, Any] = {
        parameter.name: parameter.annotation for parameter in parameters if is_dataclass(parameter.annotation)
    }
    shown: list[inspect.Parameter] = []
    for parameter in parameters:
        if group := groups.get(parameter.name):
            hints = get_type_hints(group, include_extras=True)
            shown += [
                inspect.Parameter(field.name, parameter.kind, default=field.default, annotation=hints[field.name])
                for field in fields(group)
            ]
        else:
            shown.append(parameter)

    @wraps(command)
    def takes_fields(*arguments: Any, **given: Any) -> None:
        for name, group in groups.items():
            own = [field.name for field in fields(group) if field.name in given]
            given[name] = group(**{field: given.pop(field) for field in own})
        command(*arguments, **given)

    takes_fields.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    takes_fields.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return takes_fields


def refuse_unused(given: Mapping[str, object], why: str) -> None:
    """Raise a UsageError for the first option that was given and changes nothing; ``why`` has {} for its name."""
    for name, value in given.items():
        if value:
            raise UsageError(why.format(name), todo="leave it out")


def check_named(data: Path) -> None:
    """Raise a DataError where a data folder is named and missing: a typo would become a new folder.

    The default folder may be missing, as where only built-in data is used.
    """
    if data != DATA and not data.is_dir():
        todo = f"name the data folder with --data or VLMT_DATA, or make it with mkdir {shlex.quote(str(data))}"
        raise DataError("there is no such folder", where=data, todo=todo)


def check_data(data: Path) -> None:
    """Raise a DataError where there is no data folder."""
    if not data.is_dir():
        todo = "name the data folder with --data or VLMT_DATA"
        if data.name == "demo":  # the commands of the documentation run on it
            todo = f"make it with vlmt demo --folder {shlex.quote(str(data))}, which takes minutes, or {todo}"
        raise DataError("there is no such folder", where=data, todo=todo)
    if data.resolve().name == "raw" and not any((data / part).exists() for part in ("raw", "examples", "features")):
        todo = f"did you mean --data {data.parent}?"
        raise DataError("is where official files lie, and not the data folder", where=data, todo=todo)


def check_features(store: str | None, data: Path) -> None:
    """Raise a DataError where a feature store that is named does not exist."""
    if store is not None and not (data / "features" / store).exists() and not Path(store).exists():
        todo = "make one with vlmt extract or vlmt pack"
        raise DataError("there is no feature store", where=store, todo=todo)


Croissant = Annotated[
    bool,
    typer.Option(
        "--croissant", help="Write croissant.json, too: what was written, from which files, with their SHA-256."
    ),
]
