"""Which tasks help each other when they train together: pairs and triples against single-task training (table 3).

Each number is a relative change in percent: what a task scores when it is trained with others, against what it scores
alone. A row's average says how much a task gains from others, a column's how much it gives to them. A triple stands
beside the sum of its two pairs, as "gains in the paired-experiments are not simply additive" (section 4.3).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Literal

import pandas as pd

from vlmt_cli.analysis.relations.seeds import OverSeeds, ScoreSource, scores_of
from vlmt_cli.analysis.relations.sweep import Wanted
from vlmt_cli.analysis.relations.sweep_scores import not_comparable
from vlmt_cli.base.errors import UsageError
from vlmt_cli.base.schema import nearest
from vlmt_cli.datasets.table import GROUPS, TASKS
from vlmt_cli.evaluation.scores import COLUMNS
from vlmt_cli.paper import table
from vlmt_cli.runs.best import BestOrLast
from vlmt_cli.runs.recipe import Recipe

REPRESENTATIVES = ("vqa", "flickr30k", "visual7w", "nlvr2")
"""One task of each group, chosen for the diversity of their images (section 4.3)."""
_Key = tuple[str, tuple[str, ...]]  # a cell: row and others
Kind = Literal["change", "row average", "column average", "sum of pairs", "beyond the sum"]


@dataclass(frozen=True)
class Item:
    """What is paired: a task, or a whole group."""

    name: str
    tasks: tuple[str, ...]

    @property
    def title(self) -> str:
        """Its name in print."""
        return COLUMNS.get(self.name, self.name)


@dataclass(frozen=True)
class Cell:
    """A number of the table.

    Attributes:
        kind: ``change`` of ``row`` when trained with ``others``, in percent; ``row average``, over all others;
            ``column average``, over all rows; for triples also ``sum of pairs``, and what the measured change is
            ``beyond the sum``.
        together: how many items are trained together: 2 or 3.
        row: the item that is looked at; empty for a column's average.
        others: that it is trained with; none for a row's average.
        number: by seed.
        alone, joint: the item's scores by seed, where this is a change.
    """

    kind: Kind
    together: int
    row: str
    others: tuple[str, ...]
    number: OverSeeds
    alone: Mapping[int, float] | None = None
    joint: Mapping[int, float] | None = None


@dataclass(frozen=True)
class Confounder:
    """What could explain a pair's change, beside what the tasks have in common.

    Attributes:
        row, other: the pair.
        images: the share, in percent, of the row's test images that are in the other's train and val images before
            cleaning; None where that is not known.
        examples, other_examples: that they train on.
    """

    row: str
    other: str
    images: float | None
    examples: int
    other_examples: int


@dataclass(frozen=True)
class PairTable:
    """Table 3 of some runs.

    Attributes:
        items: in order.
        source: what scores are of.
        cells: those that the runs allow.
        confounders: of each ordered pair.
        notes: what a reader should know.
        not_comparable: why the paper's figures of a task do not stand beside its scores, by task.
    """

    items: tuple[Item, ...]
    source: ScoreSource
    cells: tuple[Cell, ...]
    confounders: tuple[Confounder, ...] = ()
    notes: tuple[str, ...] = ()
    not_comparable: Mapping[str, str] = field(default_factory=dict)

    def cell(self, kind: Kind, together: int, row: str = "", others: Iterable[str] = ()) -> Cell | None:
        """Return a cell, or None where the runs do not allow it."""
        wanted = (kind, together, row, tuple(others))
        return next((cell for cell in self.cells if (cell.kind, cell.together, cell.row, cell.others) == wanted), None)

    def gains(self) -> dict[tuple[str, str], float]:
        """Return the changes of pairs by row and other."""
        pairs = (cell for cell in self.cells if cell.kind == "change" and cell.together == 2)
        return {(pair.row, pair.others[0]): pair.number.value for pair in pairs}


def items_of(names: Iterable[str], together: int = 2) -> tuple[Item, ...]:
    """Read tasks and groups, and put them into the order of the paper.

    Raises:
        UsageError: there is no such task, there are too few, or two of them share one.
    """
    items = []
    for name in dict.fromkeys(names):
        tasks = GROUPS.get(name, (name,))
        if tasks[0] not in TASKS:
            raise UsageError(f"there is no task {name!r}", todo=nearest(name, [*TASKS, *GROUPS]))
        items.append(Item(name, tasks))
    if len(items) < together:
        raise UsageError(f"{len(items)} tasks make no {'pair' if together == 2 else 'triple'}", todo="name more")
    for first, second in combinations(items, 2):
        if shared := set(first.tasks) & set(second.tasks):
            raise UsageError(f"{first.name} and {second.name} share {', '.join(sorted(shared))}", todo="leave one out")
    return tuple(sorted(items, key=lambda item: list(TASKS).index(item.tasks[0])))


def wanted_runs(
    items: Sequence[Item], make_recipe: Callable[[tuple[str, ...], bool], Recipe], seeds: int, together: int
) -> dict[tuple[tuple[str, ...], int], Wanted]:
    """List the runs of a table: each item alone, all pairs, and with ``together`` of 3 all triples.

    Args:
        items: what is paired.
        make_recipe: makes the recipe of some tasks, given whether they train without another item.
        seeds: how many, from 0.
        together: how many items train together, at most.

    Returns:
        The runs, by items' names and seed.
    """
    wanted = {}
    for seed in range(seeds):
        for size in range(1, together + 1):
            for chosen in combinations(items, size):
                names = tuple(item.name for item in chosen)
                recipe = make_recipe(tuple(task for item in chosen for task in item.tasks), size == 1)
                wanted[names, seed] = Wanted(f"{'+'.join(names)}-seed{seed}", recipe, seed)
    return wanted


def compare_runs(
    items: Sequence[Item],
    runs: Mapping[tuple[tuple[str, ...], int], Path],
    confounders: Sequence[Confounder] = (),
    weights: BestOrLast = "best",
) -> PairTable:
    """Work out table 3 from finished runs.

    Args:
        items: what is paired, in order.
        runs: folders by items' names and seed; those that are not there leave their cells out.
        confounders: to keep beside it.
        weights: which of each run to compare.
    """
    scores, source = scores_of(runs, weights)
    means_of = {(names, seed): _means(items, by_task) for (names, seed), by_task in scores.items()}
    cells, notes = [], []
    for item in items:
        alone = {seed: means[item.name] for (names, seed), means in means_of.items() if names == (item.name,)}
        if zero := [seed for seed, score in alone.items() if not score]:
            notes.append(f"{item.title} alone scored 0 with seed {zero[0]}: nothing is relative to that")
        others = [other for other in items if other is not item]
        for chosen in [*combinations(others, 1), *combinations(others, 2)]:
            trained = tuple(member.name for member in items if member is item or member in chosen)
            joint = {seed: means[item.name] for (names, seed), means in means_of.items() if names == trained}
            both = [seed for seed in sorted(alone) if seed in joint and alone[seed]]
            if both:
                values = {seed: 100 * (joint[seed] / alone[seed] - 1) for seed in both}
                names = tuple(member.name for member in chosen)
                cells.append(Cell("change", len(trained), item.name, names, OverSeeds(values), alone, joint))
    reasons = not_comparable(runs.values()) if source == "test" else {}
    notes += [f"{COLUMNS[task]}: {reason}" for task, reason in reasons.items()]
    every = (*cells, *_averages([item.name for item in items], cells), *_sums(cells))
    return PairTable(tuple(items), source, every, tuple(confounders), tuple(notes), reasons)


def _means(items: Sequence[Item], scores: Mapping[str, float]) -> dict[str, float]:
    """Return what each item scored on average over its tasks, of those that were trained."""
    trained = [item for item in items if scores.keys() >= set(item.tasks)]
    return {item.name: sum(scores[task] for task in item.tasks) / len(item.tasks) for item in trained}


def _averages(names: Sequence[str], cells: Sequence[Cell]) -> Iterable[Cell]:
    """Average rows and columns, in each seed that has all of their cells."""
    for together in (2, 3):
        columns = [tuple(others) for others in combinations(names, together - 1)]
        averaged: list[tuple[str, tuple[str, ...], list[_Key]]]
        averaged = [(row, (), [(row, others) for others in columns if row not in others]) for row in names]
        averaged += [("", others, [(row, others) for row in names if row not in others]) for others in columns]
        for row, others, keys in averaged:
            means = _in_all_seeds(cells, keys).mean(axis=1)
            if len(means):
                kind: Kind = "row average" if row else "column average"
                yield Cell(kind, together, row, others, OverSeeds(means.to_dict()))


def _sums(cells: Sequence[Cell]) -> Iterable[Cell]:
    """Set triples against the sum of their pairs."""
    for cell in cells:
        if len(cell.others) == 2:
            first, second = cell.others
            changes = _in_all_seeds(cells, [(cell.row, cell.others), (cell.row, (first,)), (cell.row, (second,))])
            if len(changes):
                sums = changes[1] + changes[2]
                yield Cell("sum of pairs", 3, cell.row, cell.others, OverSeeds(sums.to_dict()))
                beyond = changes[0] - sums
                yield Cell("beyond the sum", 3, cell.row, cell.others, OverSeeds(beyond.to_dict()))


def _in_all_seeds(cells: Sequence[Cell], keys: Sequence[_Key]) -> pd.DataFrame:
    """Return the changes of K cells, named by row and others: columns 0 to K - 1, a row a seed that has them all."""
    values = {(cell.row, cell.others): pd.Series(cell.number.values) for cell in cells}
    columns = [values.get(key, pd.Series(dtype=float)) for key in keys]
    return pd.concat(columns, axis=1, join="inner", keys=range(len(keys))) if keys else pd.DataFrame()


def paper_pairs(left_out: Collection[str] = ()) -> PairTable:
    """Return the paper's table 3: its printed changes, and averages of these.

    Args:
        left_out: tasks whose rows are left out, and every mean that they are part of, as ours are of another split.
    """
    cells = []
    by_group = {TASKS[task].group: task for task in REPRESENTATIVES}
    for row in table("table3_pairs_triples"):
        others = tuple(by_group[group] for group in row["trained_with"].split("+"))
        if by_group[row["task"]] in left_out:
            continue
        values = {0: float(row["relative_change_percent"])}
        cells.append(Cell("change", 1 + len(others), by_group[row["task"]], others, OverSeeds(values)))
    averages = _averages(REPRESENTATIVES, cells)
    return PairTable(items_of(REPRESENTATIVES), "test", (*cells, *averages, *_sums(cells)))
