"""The effect of each design choice: tables 6, 10, 11 and 12 from runs, beside the paper's.

A row is a recipe; a group's column is the mean of its tasks, "All" that of all of them, as the paper has it. Two of the
paper's printed averages are not these: table 6 swaps the averages of curriculum and anti-curriculum, and table 12
divides the sum of ten tasks by twelve (56.63, where section 4.3 has 67.96).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vlmt_cli.analysis.relations.seeds import OverSeeds, ScoreSource, scores_of
from vlmt_cli.analysis.relations.sweep_scores import not_comparable
from vlmt_cli.datasets.table import DATASETS, GROUPS, TWELVE
from vlmt_cli.evaluation.bootstrap import Estimate
from vlmt_cli.evaluation.run_scores import run_scores
from vlmt_cli.evaluation.scores import averages
from vlmt_cli.paper import table
from vlmt_cli.runs.best import BestOrLast

FULL = "all-tasks"
TABLES: dict[str, dict[str, tuple[str, str]]] = {
    "6": {
        FULL: ("token per dataset, DSG", "token per dataset"),
        "token-per-group": ("token per group", "token per head"),
        "no-task-token": ("no task token", "w/o task token"),
        "no-dsg": ("no DSG", "w/o DSG"),
        "curriculum": ("curriculum, no token, no DSG", "w/ curriculum"),
        "anti-curriculum": ("anti-curriculum, no token, no DSG", "w/ anti-curriculum"),
        "vanilla": ("vanilla: no token, no DSG", "vanilla multitask"),
    },
    "10": {"no-pretraining": ("no pre-training on captions", "w/o CC pretraining")},
    "11": {
        "no-dsg": ("gap 1: no DSG", "DSG gap 1"),
        FULL: ("gap 4", "DSG gap 4"),
        "gap-8": ("gap 8", "DSG gap 8"),
        "gap-16": ("gap 16", "DSG gap 16"),
    },
    "12": {
        FULL: ("all tasks", "token per dataset"),
        "all-tasks-without-g4": ("without G4", "AT w/o G4"),
        "without-g4-no-task-token": ("without G4, no task token", "AT w/o G4 w/o task token"),
        "without-g4-no-dsg": ("without G4, no DSG", "AT w/o G4 w/o DSG"),
    },
}
"""Each table's recipes, with their rows here and in the paper's data. Table 10 is table 6 by task, and one more row."""
TABLES["10"] = TABLES["6"] | TABLES["10"]
RECIPES = tuple(dict.fromkeys(recipe for rows in TABLES.values() for recipe in rows))


@dataclass(frozen=True)
class AblationRow:
    """A row of a table, in percent.

    Attributes:
        recipe: of the runs.
        title: in print.
        tasks, groups: by name.
        average: of all its tasks; over G1 to G3 where G4 is not among them.
        recalls: Recall@5 and 10 of retrieval where it was evaluated, by names such as ``coco_r5``.
        paper: what the paper has, by task, recall, group and ``average``; of table 12 without G4 for all rows.
    """

    recipe: str
    title: str
    tasks: dict[str, OverSeeds]
    groups: dict[str, OverSeeds]
    average: OverSeeds | None
    recalls: dict[str, OverSeeds]
    paper: dict[str, float]


def ablation_table(
    number: str, runs: Mapping[tuple[str, int], Path], only: Sequence[str] = RECIPES, weights: BestOrLast = "best"
) -> tuple[list[AblationRow], ScoreSource]:
    """Make a table from runs.

    Args:
        number: of the table.
        runs: folders by recipe and seed; a row whose runs are not there has no numbers.
        only: recipes whose rows are wanted.
        weights: which of each run to compare.

    Returns:
        The rows, and what their scores are of.
    """
    mine = {key: folder for key, folder in runs.items() if key[0] in TABLES[number]}
    scores, source = scores_of(mine, weights)
    tasks_of_table = [task for task in TWELVE if number != "12" or DATASETS[task].group != "G4"]
    rows = []
    for recipe, (title, recipes) in TABLES[number].items():
        if recipe not in only:
            continue
        by_seed = {
            seed: {task: 100 * score for task, score in task_scores.items() if task in tasks_of_table}
            for (name, seed), task_scores in sorted(scores.items())
            if name == recipe
        }
        scored = {seed: mine[name, seed] for name, seed in sorted(mine) if name == recipe and source == "test"}
        recalls = pd.DataFrame({seed: _recalls(folder) for seed, folder in scored.items()})
        paper = _paper(recipes, tasks_of_table)
        rows.append(_row(recipe, title, by_seed, len(tasks_of_table), _over_seeds(recalls), paper))
    return rows, source


def _row(
    recipe: str,
    title: str,
    by_seed: Mapping[int, Mapping[str, float]],
    complete: int,
    recalls: dict[str, OverSeeds],
    paper: dict[str, float],
) -> AblationRow:
    means = {seed: averages(scores)[0] for seed, scores in by_seed.items()}
    groups = pd.DataFrame(means).reindex([group for group in GROUPS if any(group in mean for mean in means.values())])
    whole = {seed: sum(scores.values()) / complete for seed, scores in by_seed.items() if len(scores) == complete}
    average = OverSeeds(whole) if whole else None
    return AblationRow(recipe, title, _over_seeds(pd.DataFrame(by_seed)), _over_seeds(groups), average, recalls, paper)


def _over_seeds(scores: pd.DataFrame) -> dict[str, OverSeeds]:
    """Return the rows of a frame with a column a seed, each over the seeds that have it."""
    return {str(name): OverSeeds(values.dropna().to_dict()) for name, values in scores.iterrows()}


def _recalls(run: Path) -> dict[str, float]:
    """Return Recall@5 and 10 of a run's evaluated retrieval tasks, in percent."""
    scores = run_scores(run).scores
    tasks = scores.tasks if scores else {}
    measured = {f"{task}_r{k}": tasks[task].extra.get(f"Recall@{k}") for task in _COLUMNS if task in tasks for k in KS}
    return {name: 100 * recall.value for name, recall in measured.items() if isinstance(recall, Estimate)}


KS = (5, 10)
_COLUMNS = {"coco": "coco_r1", "flickr30k": "flickr30k_r1"}


def _paper(name: str, tasks: Sequence[str]) -> dict[str, float]:
    """Return a row of the paper's by task, with the means of these; of all twelve as it is printed."""
    row = next(row for row in table("table10_ablations") if row["run"] == name)
    values = {task: float(cell) for task in tasks if (cell := row[_COLUMNS.get(task, task)])}
    recalls = {name: float(row[name]) for task in _COLUMNS if task in values for name in (f"{task}_r{k}" for k in KS)}
    printed = row["mt_score"] if len(values) == len(TWELVE) else ""
    return values | recalls | averages(values)[0] | {"average": float(printed or sum(values.values()) / len(values))}


def beside(paper: Mapping[str, float], source: ScoreSource, runs: Mapping[tuple[str, int], Path]) -> dict[str, float]:
    """Return those of the paper's figures that stand beside the runs' scores: all are of test scores.

    Args:
        paper: of a row, by task, group and ``average``.
        source: what the runs' scores are of.
        runs: the runs.

    Returns:
        None of them beside validation scores; and no mean that a task is part of which does not compare.
    """
    if source != "test":
        return {}
    lost = not_comparable(runs.values()).keys()
    groups = {DATASETS[task].group for task in lost}
    recalls = {f"{task}_r{k}" for task in lost for k in KS}
    left_out = {*lost, *groups, *recalls, *(["average"] if lost else [])}
    return {name: figure for name, figure in paper.items() if name not in left_out}
