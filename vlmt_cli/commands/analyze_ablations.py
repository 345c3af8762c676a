"""``vlmt analyze ablations``: the effect of each design choice."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmt_cli.commands.options import grouped
from vlmt_cli.commands.sweep_options import NO_PAPER, SweepName, SweepOptions

if TYPE_CHECKING:
    from vlmt_cli.analysis.relations.ablations import AblationRow
    from vlmt_cli.analysis.relations.seeds import OverSeeds


@grouped
def ablations(
    number: Annotated[
        str, typer.Option("--table", help="6: tokens and schedules. 10: the same by task. 11: gaps. 12: without G4.")
    ] = "6",
    only: Annotated[str | None, typer.Option("--only", help="Recipes of the table, with commas; else all.")] = None,
    train: Annotated[bool, typer.Option("--train", help="Train missing runs.")] = False,
    sweep: SweepName = "ablations",
    *,
    options: SweepOptions,
) -> None:
    """Show the effect of each design choice (tables 6, 10, 11 and 12), from runs of the recipes in the tables.

    Runs are looked for in RUNS and its sweeps, such as those that vlmt train --preset no-dsg leaves. With --train or
    --yes missing ones are trained, in RUNS/SWEEP; as for pairs, it asks before more than ten minutes of work.

    Examples:

      vlmt analyze ablations --paper

      vlmt analyze ablations --table 11 --plan

      vlmt analyze ablations --table 12 --train --parallel 4

      vlmt analyze ablations --only all-tasks,no-dsg --seeds 3 --yes
    """
    import json
    from dataclasses import replace

    from vlmt_cli.analysis.relations.ablations import TABLES, ablation_table, beside
    from vlmt_cli.analysis.relations.sweep import Wanted, beginning_with
    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.commands.analyze_sweeps import sweep as find_or_train
    from vlmt_cli.runs.recipe import load_training

    if number not in TABLES:
        raise UsageError(f"there is no table {number!r} of ablations", todo=f"choose {', '.join(TABLES)}")
    recipes = tuple(only.replace(",", " ").split()) if only else tuple(TABLES[number])
    if wrong := [recipe for recipe in recipes if recipe not in TABLES[number]]:
        todo = f"choose among {', '.join(TABLES[number])}"
        raise UsageError(f"table {number} has no recipe {wrong[0]!r}", todo=todo)
    wanted, keys = {}, options.keys or ()
    for recipe in recipes:
        loaded = beginning_with(load_training(recipe, keys, options.scale), options.folder)
        for seed in range(options.seeds):
            wanted[recipe, seed] = Wanted(f"{recipe}-seed{seed}", loaded, seed)
    runs = find_or_train(options, sweep, wanted, lambda _: True, trains=train or options.yes)
    if runs is None:
        return
    rows, source = ablation_table(number, runs, recipes, options.weights)
    rows = [replace(row, paper=beside(row.paper, source, runs)) for row in rows]
    if options.as_json:
        content = {
            "table": number,
            "source": source,
            "caveat": _caveat(rows) or None,
            "rows": list(map(_row_json, rows)),
        }
        print(json.dumps(content, indent=2))
        return
    _show_ablations(number, rows, source, options.paper)


def _row_json(row: "AblationRow") -> dict[str, Any]:
    numbers = {**row.tasks, **row.recalls, **row.groups, **({"average": row.average} if row.average else {})}
    ours = {
        name: {"percent": number.value, "interval": number.interval, "by_seed": dict(number.values)}
        for name, number in numbers.items()
    }
    return {"recipe": row.recipe, "title": row.title, "ours": ours, "paper": row.paper}


def _show_ablations(number: str, rows: "Sequence[AblationRow]", source: str, paper: bool) -> None:
    from vlmt_cli.commands.show import stdout, table
    from vlmt_cli.evaluation.scores import COLUMNS

    beside = paper and source == "test"
    groups = ["G1", "G2", "G3"] + ["G4"] * (number != "12")
    named = [name for name in COLUMNS if number != "6" and any(name in {*row.tasks, *row.paper} for row in rows)]
    header = ["", *(COLUMNS[name] for name in named), *groups, "All"]
    lines, mark = [], _mark(rows)
    for row in rows:
        ours = {**row.tasks, **row.groups, "average": row.average}
        lines.append([row.title, *(_plain(ours.get(name), mark) for name in [*named, *groups, "average"])])
        if beside:
            figures = (row.paper.get(name) for name in [*named, *groups, "average"])
            published = ["-" if figure is None else f"{figure:.2f}" for figure in figures]
            lines.append(["  the paper's", *published])
    stdout().print(table(header, lines, f"Table {number}: {source} scores, %"))
    _show_recalls(number, rows, beside)
    if paper and not beside:
        stdout().print(NO_PAPER)
    if any(group.interval for row in rows for group in row.groups.values()):
        stdout().print("± is half a 95% interval over seeds (t).")
    if caveat := _caveat(rows):
        stdout().print(caveat)


def _caveat(rows: "Sequence[AblationRow]") -> str:
    """Say that a difference may be chance, where rows of one seed are compared."""
    from vlmt_cli.analysis.relations.seeds import one_seed

    return one_seed(_numbers(rows)) if len(rows) > 1 else ""


def _mark(rows: "Sequence[AblationRow]") -> str:
    """Return what stands behind numbers of one seed among others of several."""
    from vlmt_cli.analysis.relations.seeds import one_seed_mark

    return one_seed_mark(_numbers(rows)) if len(rows) > 1 else ""


def _numbers(rows: "Sequence[AblationRow]") -> "list[OverSeeds]":
    numbers = [[*row.tasks.values(), *row.groups.values(), row.average] for row in rows]
    return [number for of_row in numbers for number in of_row if number is not None]


def _show_recalls(number: str, rows: "Sequence[AblationRow]", paper: bool) -> None:
    from vlmt_cli.analysis.relations.ablations import KS
    from vlmt_cli.commands.show import stdout, table
    from vlmt_cli.evaluation.scores import COLUMNS

    names = {f"{task}_r{k}": f"{COLUMNS[task]}\nR@{k}" for task in ("coco", "flickr30k") for k in KS}
    lines, mark = [], _mark(rows)
    for row in (row for row in rows if row.recalls):
        lines.append([row.title, *(_plain(row.recalls.get(name), mark) for name in names)])
        if paper:
            lines.append(["  the paper's", *(f"{row.paper[name]:.2f}" if name in row.paper else "-" for name in names)])
    if lines and number != "6":
        stdout().print(table(["", *names.values()], lines, f"Table {number}: Recall@5 and 10 of image retrieval, %"))


def _plain(number: "OverSeeds | None", mark: str) -> str:
    if number is None:
        return "-"
    if number.interval is None:
        return f"{number.value:.2f}{mark}"
    return f"{number.value:.2f}\n±{(number.interval[1] - number.interval[0]) / 2:.2f}"
