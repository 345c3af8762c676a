"""Which runs are models of the paper's table 2, by what their recipes say that they reproduce."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vlmt_cli.base.errors import DataError, VlmtError
from vlmt_cli.evaluation.scores import COLUMNS, SCORES_FILE, TaskScore, read_scores
from vlmt_cli.runs.metrics import METRICS, read_metrics
from vlmt_cli.runs.recipe import read_recipe


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
    """A folder, or a score in it, that does not join the table, and why."""

    folder: Path
    reason: str


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
        if isinstance(run, str):
            passed_over.append(PassedOver(folder, run))
            continue
        key = run.row, run.trained, run.seed
        if key in runs:
            tasks = ", ".join(COLUMNS[task] for task in run.trained)
            what = f"is {run.row} of {tasks} with seed {run.seed}, as {runs[key].folder} is; name the one to show"
            passed_over.append(PassedOver(folder, what))
            continue
        runs[key] = run
    return list(runs.values()), passed_over


def _scored_run(folder: Path) -> "ScoredRun | str":
    recipe = read_recipe(folder)
    row = recipe.paper_row("table2")
    if row is None:
        return "reproduces no row of table 2"
    if not (folder / SCORES_FILE).exists():
        return f"has no scores; run vlmt evaluate --model {folder}"
    start = next((line for line in read_metrics(folder) if line["kind"] == "start"), {}) if _has_metrics(folder) else {}
    scores = read_scores(folder)
    tasks = {task: score for task, score in scores.tasks.items() if task in recipe.tasks}
    if not tasks:
        raise DataError(f"has no scores of its own tasks; run vlmt evaluate --model {folder}", where=folder)
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
