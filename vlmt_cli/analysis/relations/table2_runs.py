"""Which runs are models of the paper's table 2, by what their recipes say that they reproduce."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vlmt_cli.base.errors import VlmtError
from vlmt_cli.evaluation.run_scores import run_scores
from vlmt_cli.evaluation.scores import COLUMNS, TaskScore
from vlmt_cli.runs.metrics import METRICS, read_metrics
from vlmt_cli.runs.recipe import other_length, read_recipe

RECIPES = {
    "ST full": "single-task",
    "ST clean": "single-task",
    "GT clean": "group-task",
    "AT clean": "all-tasks",
    "AT w/o G4 clean": "all-tasks-without-g4",
    "GT->ST clean": "group-to-single",
    "AT->ST clean": "all-to-single",
    "AT->ST full": "all-to-single",
}
"""The rows of table 2 in its order, with the recipe that trains the models of each."""
NO_ROW = "reproduces no row of table 2"


@dataclass(frozen=True)
class ScoredRun:
    """A run of a row of table 2.

    Attributes:
        folder: of the run.
        row: of table 2.
        trained: its tasks.
        seed: of its training.
        scores: of its tasks on their official test sets, or on what stands in for these.
        parameters: of the model; None where its metrics do not say.
    """

    folder: Path
    row: str
    trained: tuple[str, ...]
    seed: int
    scores: Mapping[str, TaskScore]
    parameters: int | None


@dataclass(frozen=True)
class PassedOver:
    """A folder, or a score in it, that does not join the table.

    Attributes:
        folder: of the run.
        reason: why.
        todo: the command that mends it, without the data folder; nothing where there is none.
        of_many: the reason in words that do not name the folder, where it can be that of many runs.
    """

    folder: Path
    reason: str
    todo: str = ""
    of_many: str = ""


def scored_runs(folders: Iterable[Path]) -> tuple[list[ScoredRun], list[PassedOver]]:
    """Read the runs that belong to table 2 among some folders; and why the others do not."""
    runs: dict[tuple[str, tuple[str, ...], int], ScoredRun] = {}
    passed_over = []
    for folder in folders:
        try:
            run = _scored_run(folder)
        except VlmtError as error:
            passed_over.append(PassedOver(folder, error.what))
            continue
        if isinstance(run, PassedOver):
            passed_over.append(run)
            continue
        key = run.row, run.trained, run.seed
        if key in runs:
            tasks = ", ".join(COLUMNS[task] for task in run.trained)
            what = f"is {run.row} of {tasks} with seed {run.seed}, as {runs[key].folder} is; name the one to show"
            passed_over.append(PassedOver(folder, what))
            continue
        runs[key] = run
    return list(runs.values()), passed_over


def _scored_run(folder: Path) -> ScoredRun | PassedOver:
    recipe = read_recipe(folder)
    row = recipe.recipes_row("table2")
    if row is None:
        return PassedOver(folder, NO_ROW, of_many="of no row of table 2")
    if recipe.changed:
        keys = ", ".join(recipe.changed)
        return PassedOver(folder, f"is another experiment than {row}: --set or --limit changed {keys}",
                          of_many=f"of another experiment: --set or --limit changed {keys}")  # fmt: skip
    if length := other_length(recipe, RECIPES[row]):
        return PassedOver(folder, f"is another experiment than {row}: it was trained with {length}",
                          of_many=f"of another experiment: trained with {length}")  # fmt: skip
    mine = run_scores(folder)
    if mine.unfinished:
        return PassedOver(folder, f"is unfinished ({mine.unfinished})", mine.resume)
    if mine.scores is None:
        return PassedOver(folder, mine.lack, mine.todo)
    start = next((line for line in read_metrics(folder) if line["kind"] == "start"), {}) if _has_metrics(folder) else {}
    tasks = {task: score for task, score in mine.scores.tasks.items() if task in recipe.tasks}
    if not tasks:
        return PassedOver(folder, "has no scores of its own tasks", mine.todo)
    seed = start.get("seed")
    parameters = start.get("parameters")
    return ScoredRun(
        folder,
        row,
        recipe.tasks,
        seed if isinstance(seed, int) else 0,
        tasks,
        parameters if isinstance(parameters, int) else None,
    )


def _has_metrics(folder: Path) -> bool:
    return (folder / METRICS).exists()
