"""Table 2 from runs: single-task, group-task and all-tasks models, and what fine-tuning them gains.

A row is a kind of model, such as ``GT clean``: one run in the all-tasks rows, four in the group-task row, twelve in the
single-task rows. Which row a run belongs to, its recipe says (``reproduces``). A cell stands beside others only where
it was measured on the same split, and beside the paper's only where that is the official test set and training saw
none of its images, or was meant to (the rows of the full split).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from vlmt_cli.analysis.relations.seeds import OverSeeds, one_seed, one_seed_mark
from vlmt_cli.analysis.relations.table2_runs import RECIPES, PassedOver, ScoredRun
from vlmt_cli.base.words import count
from vlmt_cli.datasets.table import TASKS, TWELVE
from vlmt_cli.evaluation.bootstrap import Estimate, coverage_explained
from vlmt_cli.evaluation.marks import MEANING, mark_of
from vlmt_cli.evaluation.run_scores import evaluate_command
from vlmt_cli.evaluation.score_tables import comparable_figures, compares, official_split, paper_rows
from vlmt_cli.evaluation.scores import COLUMNS, TaskScore, averages
from vlmt_cli.paper import numbers, table

_RECALLS = {"AT clean": "token per dataset", "AT w/o G4 clean": "AT w/o G4"}
_RECALLS_OF_TABLE_9 = {"ST full": "Ours ST", "AT->ST full": "Ours AT->ST"}
KS = (1, 5, 10)


@dataclass(frozen=True)
class Score:
    """A cell of the table, in percent.

    Attributes:
        number: over seeds.
        split, metric: what was measured.
        mark: any of ``marks.MEANING``, if any seed's score has it.
        interval: 95%: over seeds from two on, else over the images of the one run.
        n, images: examples and images, of the first seed.
        recalls: Recall@1, 5 and 10 of retrieval, in percent, the mean over seeds.
        paper: the paper's figure where it compares.
    """

    number: OverSeeds
    split: str
    metric: str
    mark: str
    interval: tuple[float, float]
    n: int
    images: int
    recalls: dict[int, float]
    paper: float | None


def few_images(scores: Iterable[Score]) -> str:
    """Say what the intervals over few images cover, where some are shown; those over seeds are none of these."""
    return coverage_explained(score.images for score in scores if score.number.interval is None)


@dataclass(frozen=True)
class Table2Row:
    """A kind of model.

    Attributes:
        name: as in the paper, with its split: ``AT clean``.
        tasks: the scores by task.
        groups: the mean of each group that is complete, in percent.
        average: of the twelve tasks; None unless all are there.
        models: how many runs make the row, in one seed that has the most.
        parameters: of these together; None unless all say it.
        better, compared: in how many tasks the row beats the single-task models of its split, of how many.
        gain: of its mean over theirs, over the tasks that both have, in points; within a seed.
        paper: the paper's figures by task, group and ``average``, those that compare.
        lacking: tasks of the row that no run here has a score of.
    """

    name: str
    tasks: dict[str, Score]
    groups: dict[str, OverSeeds]
    average: OverSeeds | None
    models: int
    parameters: int | None
    better: int | None
    compared: int
    gain: OverSeeds | None
    paper: dict[str, float]
    lacking: tuple[str, ...]


def caveat(rows: Sequence[Table2Row]) -> str:
    """Say that a gain may be chance, where rows are compared some of whose numbers are of one seed; else nothing."""
    return one_seed(_over_seeds(rows)) if len(rows) > 1 else ""


def seed_mark(rows: Sequence[Table2Row]) -> str:
    """Return what stands behind numbers of one seed among others of several; see ``caveat``."""
    return one_seed_mark(_over_seeds(rows)) if len(rows) > 1 else ""


def _over_seeds(rows: Sequence[Table2Row]) -> Iterator[OverSeeds]:
    for row in rows:
        means = [*row.groups.values(), row.average, row.gain]
        yield from (score.number for score in row.tasks.values())
        yield from (number for number in means if number is not None)


def table2_rows(runs: Sequence[ScoredRun]) -> tuple[list[Table2Row], list[PassedOver]]:
    """Assemble table 2.

    Args:
        runs: at most one of each row, set of tasks and seed.

    Returns:
        The rows that have a run, in the paper's order; and the scores that were left out, because they are of another
        split than the rest of their column.
    """
    splits = _splits(runs)
    left_out = []
    cells: dict[str, dict[str, dict[int, TaskScore]]] = {}
    for run in runs:
        for task, score in run.scores.items():
            if score.split != splits[task]:
                what = f"{COLUMNS[task]} is scored on {score.split}, the other runs on {splits[task]}"
                left_out.append(PassedOver(run.folder, what, evaluate_command(run.folder)))
                continue
            cells.setdefault(run.row, {}).setdefault(task, {})[run.seed] = score
    rows = []
    for name in RECIPES:
        if name in cells:
            single = cells.get("ST full" if name.endswith(" full") else "ST clean", {})
            mine = [run for run in runs if run.row == name]
            rows.append(_row(name, cells[name], single if not name.startswith("ST ") else {}, mine))
    return rows, left_out


def _splits(runs: Sequence[ScoredRun]) -> dict[str, str]:
    """Say on which split each task's column is: the official one where any run was scored on it."""
    splits: dict[str, str] = {}
    for run in runs:
        for task, score in run.scores.items():
            if task not in splits or score.split == official_split(task):
                splits[task] = score.split
    return splits


def _row(
    name: str,
    scores: Mapping[str, Mapping[int, TaskScore]],
    single: Mapping[str, Mapping[int, TaskScore]],
    runs: Sequence[ScoredRun],
) -> Table2Row:
    tasks = {task: _score(name, task, scores[task]) for task in COLUMNS if task in scores}
    by_seed = _by_seed(scores)
    means = {seed: averages(values) for seed, values in by_seed.items()}
    groups = sorted({group for mean, _ in means.values() for group in mean})
    whole = {seed: average for seed, (_, average) in means.items() if average is not None}
    seeds = {seed: [run for run in runs if run.seed == seed] for seed in by_seed}
    largest = max(seeds.values(), key=len)
    sizes = [run.parameters for run in largest]
    both = [task for task in tasks if task in single]
    gains = _gains(by_seed, _by_seed(single), both)
    wanted = [task for task in TWELVE if name != "AT w/o G4 clean" or TASKS[task].group != "G4"]
    return Table2Row(
        name,
        tasks,
        {group: OverSeeds({seed: m[group] for seed, (m, _) in means.items() if group in m}) for group in groups},
        OverSeeds(whole) if whole else None,
        len(largest),
        sum(size for size in sizes if size is not None) if None not in sizes else None,
        sum(tasks[task].number.value > _mean(single[task]) for task in both) if both else None,
        len(both),
        OverSeeds(gains) if gains else None,
        _paper(name, tasks),
        tuple(task for task in wanted if task not in tasks),
    )


def _by_seed(scores: Mapping[str, Mapping[int, TaskScore]]) -> dict[int, dict[str, float]]:
    seeds = sorted({seed for by_seed in scores.values() for seed in by_seed})
    return {seed: {task: 100 * of[seed].score.value for task, of in scores.items() if seed in of} for seed in seeds}


def _gains(
    ours: Mapping[int, Mapping[str, float]], single: Mapping[int, Mapping[str, float]], both: Sequence[str]
) -> dict[int, float]:
    """Return by how much the mean over some tasks is above the single-task models', in each seed that has them all."""
    seeds = [seed for seed in ours if seed in single and both and {*both} <= ours[seed].keys() & single[seed].keys()]
    return {seed: sum(ours[seed][task] - single[seed][task] for task in both) / len(both) for seed in seeds}


def _score(row: str, task: str, by_seed: Mapping[int, TaskScore]) -> Score:
    first = next(iter(by_seed.values()))
    number = OverSeeds({seed: 100 * score.score.value for seed, score in by_seed.items()})
    marks = "".join(mark_of(score) for score in by_seed.values())
    mark = "".join(sign for sign in MEANING if sign in marks)
    estimate = first.score
    over_images = 100 * estimate.low, 100 * estimate.high
    compared = all(compares(task, score, row) for score in by_seed.values())
    return Score(
        number,
        first.split,
        first.metric,
        mark,
        number.interval or over_images,
        estimate.n,
        estimate.groups,
        _recalls(by_seed.values()) if TASKS[task].group == "G2" else {},
        comparable_figures(row, {task: first}).get(task) if compared else None,
    )


def _recalls(scores: Iterable[TaskScore]) -> dict[int, float]:
    """Return Recall@1, 5 and 10 of image retrieval, where all of the scores have them."""
    values: dict[int, list[float]] = {k: [] for k in KS}
    count = 0
    for score in scores:
        count += 1
        for k, listed in values.items():
            measured = score.score if k == 1 else score.extra.get(f"Recall@{k}")
            if isinstance(measured, Estimate):
                listed.append(100 * measured.value)
    return {k: sum(listed) / count for k, listed in values.items() if len(listed) == count}


def _paper(row: str, tasks: Mapping[str, Score]) -> dict[str, float]:
    """Return the paper's figures that compare, and means of groups and of all where every task of them does."""
    figures = {task: score.paper for task, score in tasks.items() if score.paper is not None}
    groups, average = averages(figures)
    printed = paper_rows()[row]["average"]
    return figures | groups | ({"average": float(printed or average)} if average is not None else {})


def paper_recalls(row: str, task: str) -> dict[int, float]:
    """Return the paper's Recall@1, 5 and 10 of a row of table 2: tables 9, 10 and 12 have 5 and 10 of some rows."""
    recalls = {1: float(paper_rows()[row][task])}
    if row in _RECALLS:
        found = next(each for each in table("table10_ablations") if each["run"] == _RECALLS[row])
        recalls |= {k: float(found[f"{task}_r{k}"]) for k in KS}
    if row in _RECALLS_OF_TABLE_9:
        lines = [each for each in table("table9_state_of_the_art") if each["task"] == task]
        recalls |= {int(each["metric"].removeprefix("R@")): float(each[_RECALLS_OF_TABLE_9[row]]) for each in lines}
    return recalls


def other_sizes(rows: Sequence[Table2Row]) -> dict[str, tuple[int, int]]:
    """Return by task how many examples our test set has and the paper's, where they differ by more than a tenth.

    Retrieval is left out: table 8 counts its images, and scores are of captions.
    """
    papers = {task: int(size) for task, size in numbers("table8_samples", "dataset", "test").items()}
    ours = {task: score for row in rows for task, score in row.tasks.items() if score.paper is not None}
    return {
        task: (score.n, papers[task])
        for task, score in ours.items()
        if TASKS[task].group != "G2" and not 0.9 < score.n / papers[task] < 1.1
    }


def missing_models(rows: Sequence[Table2Row], at: str = "") -> list[str]:
    """Return the commands that train what table 2 lacks, row by row: for each row the first, which ends with ``at``."""
    by_name = {row.name: row for row in rows}
    commands = []
    for name, recipe in RECIPES.items():
        row = by_name.get(name)
        if row is not None and not row.lacking:
            continue
        full = " --set split=full" if name.endswith(" full") else ""
        what = "" if recipe.startswith("all-tasks") else f" --task {_first_lacking(name, row)}"
        which = f"{name}, {count(len(row.lacking), 'task')}" if row is not None else name
        commands.append(f"{which}: vlmt train --preset {recipe}{what}{full}{at}")
    return commands


def _first_lacking(name: str, row: Table2Row | None) -> str:
    task = row.lacking[0] if row is not None else TWELVE[0]
    return TASKS[task].group if name.startswith("GT ") else task


def _mean(by_seed: Mapping[int, TaskScore]) -> float:
    return 100 * sum(score.score.value for score in by_seed.values()) / len(by_seed)
