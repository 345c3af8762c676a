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
