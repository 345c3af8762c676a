"""Many runs for one analysis: which are needed, which exist, how long the others will take.

Each run is a folder ``<runs>/<sweep>/<name>``. A finished one is used, a half-done one goes on, a missing one is
trained (``sweep_run``), so that a sweep which was killed does only what is left when it is started again. A run of the
same recipe and seed that lies elsewhere among the runs is as good.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vlmt_cli.base.documents import read_json
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.schema import parse
from vlmt_cli.clean.split_folder import verified_report
from vlmt_cli.runs.best import find_weights
from vlmt_cli.runs.folders import CONFIG, LINEAGE, STATE, run_folders, start_of, trunk_of
from vlmt_cli.runs.lineage import Lineage, Stage
from vlmt_cli.runs.metrics import is_finished, read_metrics
from vlmt_cli.runs.recipe import Recipe, difference_of, read_recipe

RunState = Literal["finished", "half-done", "missing"]


@dataclass(frozen=True)
class Wanted:
    """A run that an analysis needs.

    Attributes:
        name: its folder's.
        recipe: every choice, its tasks among them.
        seed: of everything that is drawn.
    """

    name: str
    recipe: Recipe
    seed: int = 0


@dataclass(frozen=True)
class Found:
    """A wanted run, and how far it is.

    Attributes:
        wanted: the run.
        folder: where it is, or will be.
        state: of it.
        share: of its iterations that are done.
    """

    wanted: Wanted
    folder: Path
    state: RunState
    share: float = 0.0


def beginning_with(recipe: Recipe, runs: Path) -> Recipe:
    """Return a recipe that says in a folder of a sweep what it says in a folder of ``runs``: its start is found there.

    Raises:
        UsageError: the run that the recipe names is not there.
    """
    start = start_of(recipe, runs / "sweep")
    if start is not None and Path(start).parent == runs:
        start = f"../{Path(start).name}"
    return recipe.model_copy(update={"start": start})


def find(wanted: Iterable[Wanted], runs: Path, sweep: str, data: Path) -> list[Found]:
    """Look for runs.

    Args:
        wanted: the runs.
        runs: the folder of all runs.
        sweep: the folder in it for those that are trained.
        data: the data folder; where it has a clean split, a run of another one is another run.

    Raises:
        UsageError: a folder of the sweep holds another run.
        DataError: a run's files are damaged.
    """
    report = verified_report(data)
    split_hash = report.split_hash if report else None
    others: list[tuple[Path, Recipe]] | None = None
    runs_found = []
    for run in wanted:
        folder = runs / sweep / run.name
        own = look(run, folder)
        if own.state != "missing":
            if difference := _difference(run, read_recipe(folder), folder, folder, split_hash):
                todo = "name another sweep with --sweep, or remove the folder"
                raise UsageError(f"holds another run: {difference}", where=folder, todo=todo)
        else:
            others = finished_runs(runs) if others is None else others
            same = (path for path, recipe in others if not _difference(run, recipe, path, folder, split_hash))
            if path := next(same, None):
                own = Found(run, path, "finished", 1.0)
        runs_found.append(own)
    return runs_found


def look(wanted: Wanted, folder: Path) -> Found:
    """Say how far the run in a folder is; whether it is the wanted one is not looked at."""
    if is_finished(folder):
        return Found(wanted, folder, "finished", 1.0)
    if not (folder / STATE).exists():
        return Found(wanted, folder, "missing")
    lines = read_metrics(folder)
    planned = max((line["iterations"] for line in lines if line["kind"] == "start"), default=1)
    saved = max((line["iteration"] for line in lines if line["kind"] == "save"), default=0)
    return Found(wanted, folder, "half-done", saved / planned)


def finished_runs(runs: Path) -> list[tuple[Path, Recipe]]:
    """Return the finished runs in a folder and in its sweeps."""
    finished = []
    for folder in run_folders(runs):
        with contextlib.suppress(DataError):  # a damaged run that nobody asked for
            if is_finished(folder):
                finished.append((folder, read_recipe(folder)))
    return finished


def _difference(wanted: Wanted, recipe: Recipe, folder: Path, own: Path, split_hash: str | None) -> str | None:
    """Say in what the run of a recipe in ``folder`` differs from the wanted one, whose own folder is ``own``."""
    if wanted.recipe.model.trunk != "auto" and recipe.model.trunk == "auto" and (folder / CONFIG).exists():
        # It left the trunk open, and has one now.
        recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"trunk": trunk_of(folder)})})
    if difference := difference_of(wanted.recipe, recipe):
        return difference
    seed = next((line.get("seed") for line in read_metrics(folder) if line["kind"] == "start"), None)
    if seed != wanted.seed:
        return f"its seed is {seed}, not {wanted.seed}"
    if not (folder / LINEAGE).exists():
        return None
    *before, last = _stages(folder) or [Stage(name=folder.name)]
    if wanted.recipe.split == "clean" and split_hash and last.split_hash not in (None, split_hash):
        return f"it was trained on split {last.split_hash}, and the data now have {split_hash}"
    start = start_of(wanted.recipe, own)
    if start is not None and not (Path(start) / CONFIG).exists():
        return None if recipe.start == wanted.recipe.start else f"it began with {recipe.start}, and not with {start}"
    if before != (_stages(Path(find_weights(start, wanted.recipe.start_weights).source)) if start else []):
        began = " and ".join(stage.name for stage in before) or "initial weights"
        return f"it began with {began}, and not with {'initial weights' if start is None else f'{start} as it is now'}"
    return None


def _stages(run: Path) -> list[Stage]:
    path = run / LINEAGE
    try:
        return list(parse(Lineage, read_json(path), path).stages)
    except FileNotFoundError as error:
        raise DataError("is missing", where=path) from error
