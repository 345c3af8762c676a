"""What a training reads and the data folder lacks, found before anything runs and without importing torch."""

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vlmt_cli.base.errors import DataError, VlmtError
from vlmt_cli.base.origin import KEEP_FILE
from vlmt_cli.base.words import listed
from vlmt_cli.commands.obstacles import DRAWN, Obstacle
from vlmt_cli.datasets.clean_command import clean_command, listed_files
from vlmt_cli.datasets.official import addresses, missing_files
from vlmt_cli.datasets.table import AMONG_CANDIDATES, TASKS

if TYPE_CHECKING:
    from vlmt_cli.runs.recipe import Recipe

_SHOWN = 4
"""Names that a line lists; of more it says how many there are."""


def missing_data(recipes: "Sequence[Recipe]", data: Path, new: bool = True) -> list[Obstacle]:
    """List what trainings would not find in a data folder: examples, the clean split, features, hard negatives.

    Args:
        recipes: of the trainings.
        data: the data folder.
        new: whether all begin with initial weights; a model's lineage can say which of several stores is meant.
    """
    if not recipes:
        return []
    tasks = list(dict.fromkeys(task for recipe in recipes for task in recipe.tasks))
    cleaned = list(dict.fromkeys(task for recipe in recipes if recipe.split == "clean" for task in recipe.tasks))
    found = _examples(tasks, cleaned, data)
    stores = list((data / "features").glob("*/data.mdb"))
    options = shlex.join(["--data", str(data)])
    is_drawn = (data / DRAWN).exists()  # drawn things, of which the detectors of photos know none
    extracting = f"--extractor pixels {options}" if is_drawn else options
    photos = data / "images"
    put = "" if photos.is_dir() else f"put their photos into {photos}, and "
    named = {recipe.features.store for recipe in recipes}
    absent = sorted(name for name in named if name and not (data / "features" / name).exists())
    absent = [name for name in absent if not Path(name).exists()]
    if absent:
        there = ", ".join(sorted(path.parent.name for path in stores)) or "none"
        todo = f"name one that is there with --set features.store=NAME ({there})"
        found.append(_lacking(f"{data / 'features'}: there is no feature store {absent[0]}", todo))
    elif not stores and None in named:
        todo, instead = (f"{put}make {what} with vlmt extract {extracting}" for what in ("one", "a store"))
        found.append(_lacking(f"{data / 'features'}: holds no feature store", todo, instead))
    elif len(stores) > 1 and new and (ambiguous := _ambiguous(recipes[0], data)):
        found.append(ambiguous)
    among = [task for task in tasks if task in AMONG_CANDIDATES]
    unnamed = any(not recipe.features.candidates for recipe in recipes)
    if among and unnamed and len(stores) < 2 and not absent:  # one store holds detected regions or those of given boxes
        what = f"{_listed(among)} choose among given boxes, and there is no store of their features"
        make = f"with vlmt extract --boxes candidates {extracting}"
        found.append(_lacking(f"{data / 'features'}: {what}", f"make one {make}", f"make that store {make}"))
    negatives = [task for task in tasks if task in TASKS and TASKS[task].head == "retrieval"]
    negatives = [task for task in negatives if not (data / "features" / f"hard_negatives_{task}.parquet").exists()]
    if negatives:
        store = shlex.quote(str(_detected(stores, named, data, is_drawn)))
        make = f"with vlmt pack --hard-negatives {store} {options}"
        path = data / "features" / f"hard_negatives_{negatives[0]}.parquet"
        more = f", and none of {_listed(negatives[1:])}" if negatives[1:] else ""
        what = f"{path}: there are no hard negatives{more}"
        found.append(_lacking(what, f"make them {make}", f"make hard negatives {make}"))
    return found


def _detected(stores: Sequence[Path], named: Collection[str | None], data: Path, is_drawn: bool) -> Path:
    """Say which store of detected regions there is, or will be; what a store holds, only its name says here."""
    from vlmt_cli.commands.extract_input import default_store

    names = sorted(path.parent.name for path in stores if "candidates" not in path.parent.name)
    chosen = next((name for name in sorted(filter(None, named))), None)
    return data / "features" / (chosen or next(iter(names), "pixels" if is_drawn else default_store()))


def _examples(tasks: Sequence[str], cleaned: Sequence[str], data: Path) -> list[Obstacle]:
    """Name the example tables, answer vocabularies and parts of the clean split that are not there."""
    from vlmt_cli.tasks.tables import require_in_split

    examples = data / "examples"
    owners = {task: TASKS[task].vocabulary for task in tasks if task in TASKS and TASKS[task].vocabulary}
    lacking = [
        task for task in tasks if not all((examples / task / f"{split}.parquet").exists() for split in ("train", "val"))
    ]
    unread = [owner for owner in dict.fromkeys(owners.values()) if not (examples / owner / "manifest.json").exists()]
    lacking += [owner for owner in unread if not (examples / owner / "answers.json").exists()]
    lacking = list(dict.fromkeys(lacking))
    if lacking:
        absent = {file: addresses(data, task)[file] for task in lacking for file in missing_files(data, task)}
        put = f"put {listed_files(absent)} below {data / 'raw'}, and " if absent else ""
        todo = f"{put}run {clean_command(data, *lacking, coming=absent)}"
        return [_lacking(f"{examples}: there are no train and val examples of {_listed(lacking)}", todo)]
    if not cleaned:
        return []
    keep = data / "clean" / KEEP_FILE
    if not keep.exists():
        todo = f"make one with {clean_command(data, *cleaned)}, or train on everything with --set split=full"
        return [_lacking(f"{keep}: there is no clean split", todo)]
    try:
        require_in_split(data, cleaned)
    except DataError as error:
        return [_lacking(f"{error.where}: {error.what}", error.todo or "")]
    return []


def _ambiguous(recipe: "Recipe", data: Path) -> Obstacle | None:
    """Return what several stores are in the way of; None where one of them is meant, or nothing here can read them."""
    try:
        from vlmt_cli.evaluation.setup import open_stores
        from vlmt_cli.features.store import close_here
    except ImportError:  # said where it is needed
        return None
    try:
        open_stores(recipe.features, data)
    except VlmtError as error:
        todo = error.todo or ""
        return _lacking(f"{error.where}: {error.what}", todo, todo.replace("choose one", "choose a store"))
    finally:
        for path in (data / "features").glob("*/data.mdb"):
            close_here(path.parent)
    return None


def _lacking(what: str, todo: str, first: str | None = None) -> Obstacle:
    return Obstacle(what, todo, kind=DataError, first=first or todo)


def _listed(names: Sequence[str]) -> str:
    more = [f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN + 1 else []
    return listed([*names[: _SHOWN if more else None], *more])
