"""The body of ``vlmt analyze ablations``."""

import json
from collections.abc import Sequence
from typing import Any

from vlmt_cli.analysis.relations.ablations import TABLES, AblationRow, ablation_table
from vlmt_cli.analysis.relations.seeds import OverSeeds
from vlmt_cli.analysis.relations.sweep import Wanted, beginning_with
from vlmt_cli.base.errors import UsageError
from vlmt_cli.base.recipes import load_recipe
from vlmt_cli.commands.analyze_sweeps import SweepOptions, sweep
from vlmt_cli.commands.show import stdout, table
from vlmt_cli.evaluation.scores import COLUMNS
from vlmt_cli.runs.recipe import Recipe


def ablations(options: SweepOptions, number: str, only: str | None, train: bool, paper: bool, as_json: bool) -> None:
    """Show a table of ablations, after training what is missing where that is asked for."""
    if number not in TABLES:
        raise UsageError(f"there is no table {number!r} of ablations", todo=f"choose {', '.join(TABLES)}")
    recipes = tuple(only.replace(",", " ").split()) if only else tuple(TABLES[number])
    if wrong := [recipe for recipe in recipes if recipe not in TABLES[number]]:
        todo = f"choose among {', '.join(TABLES[number])}"
        raise UsageError(f"table {number} has no recipe {wrong[0]!r}", todo=todo)
    wanted = {}
    for recipe in recipes:
        loaded = load_recipe(recipe, Recipe, options.settings or (), options.scale)
        for seed in range(options.seeds):
            wanted[recipe, seed] = Wanted(f"{recipe}-seed{seed}", beginning_with(loaded, options.runs), seed)
    runs = sweep(options, wanted, lambda _: True, as_json, trains=train or options.yes)
    if runs is None:
        return
    rows, source = ablation_table(number, runs, recipes, options.weights)
    if as_json:
        print(json.dumps({"table": number, "source": source, "rows": [_row_json(row) for row in rows]}, indent=2))
        return
    _show_ablations(number, rows, source, paper)


def _row_json(row: AblationRow) -> dict[str, Any]:
    numbers = {**row.tasks, **row.groups, **({"average": row.average} if row.average else {})}
    ours = {
        name: {"percent": number.value, "interval": number.interval, "by_seed": dict(number.values)}
        for name, number in numbers.items()
    }
    return {"recipe": row.recipe, "title": row.title, "ours": ours, "paper": row.paper}


def _show_ablations(number: str, rows: Sequence[AblationRow], source: str, paper: bool) -> None:
    groups = ["G1", "G2", "G3"] + ["G4"] * (number != "12")
    named = [name for name in COLUMNS if name in rows[0].paper] if number != "6" else []
    header = ["", *(COLUMNS[name] for name in named), *groups, "All"]
    lines = []
    for row in rows:
        ours = {**row.tasks, **row.groups, "average": row.average}
        lines.append([row.title, *(_plain(ours.get(name)) for name in [*named, *groups, "average"])])
        if paper:
            published = [f"{row.paper[name]:.2f}" for name in [*named, *groups, "average"]]
            lines.append(["  the paper's", *published])
    stdout().print(table(header, lines, f"Table {number}: {source} scores, %"))
    if any(group.interval for row in rows for group in row.groups.values()):
        stdout().print("± is half a 95% interval over seeds (t).")


def _plain(number: OverSeeds | None) -> str:
    if number is None:
        return "-"
    if number.interval is None:
        return f"{number.value:.2f}"
    return f"{number.value:.2f}\n±{(number.interval[1] - number.interval[0]) / 2:.2f}"
