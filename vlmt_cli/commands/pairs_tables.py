"""What ``vlmt analyze pairs`` and ``triples`` show: tables, or the same as JSON."""

from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from vlmt_cli.analysis.relations.confounders import rank_correlations
from vlmt_cli.analysis.relations.pairs import Cell, PairTable, paper_pairs
from vlmt_cli.analysis.relations.seeds import ONE_SEED, OverSeeds, one_seed, one_seed_mark
from vlmt_cli.commands.show import stdout, table


def show_pairs(pairs: PairTable, title: str) -> None:
    titles = {item.name: item.title for item in pairs.items}
    numbers = [cell.number for cell in pairs.cells]
    shown = partial(_text, mark=one_seed_mark(numbers))
    for together in (2, 3):
        columns = list(combinations(titles, together - 1))
        if not any(cell.together == together for cell in pairs.cells):
            continue
        rows = []
        for row in titles:
            changes = [pairs.cell("change", together, row, others) for others in columns]
            rows.append([titles[row], *map(shown, changes), shown(pairs.cell("row average", together, row))])
        means = [pairs.cell("column average", together, "", others) for others in columns]
        rows.append(["mean", *map(shown, means), ""])
        header = ["with" if together == 2 else "with both"]
        header += ["\n& ".join(titles[name] for name in others) for others in columns]
        stdout().print(table([*header, "mean"], rows, title if together == 2 else None))
    sums = [cell for cell in pairs.cells if cell.kind == "sum of pairs"]
    if sums:
        rows = []
        for cell in sums:
            measured = pairs.cell("change", 3, cell.row, cell.others)
            beyond = pairs.cell("beyond the sum", 3, cell.row, cell.others)
            name = f"{titles[cell.row]} with {' & '.join(titles[other] for other in cell.others)}"
            rows.append([name, *(shown(each, between=" ") for each in (cell, measured, beyond))])
        stdout().print(table(["triple", "sum of its pairs", "measured", "beyond the sum"], rows))
    said = one_seed(numbers)
    if said != ONE_SEED:
        intervals = "95% intervals over seeds (t); ~ marks those that cross zero."
        said = f"{intervals} {said}".strip()
    stdout().print(f"{said} Scores are {pairs.source}.")


def _text(cell: Cell | None, between: str = "\n", mark: str = "") -> str:
    if cell is None:
        return ""
    number: OverSeeds = cell.number
    if number.interval is None:
        return _signed(number.value) + mark
    low, high = map(_signed, number.interval)
    return f"{'~' if number.crosses_zero else ''}{_signed(number.value)}{between}[{low}, {high}]"


def _signed(value: float) -> str:
    return f"{value:+z.2f}" if abs(value) < 100 else f"{value:+,.0f}"


def show_confounders(pairs: PairTable) -> None:
    """Show confounders, where they are known."""
    if not pairs.confounders:
        return
    titles, gains = {item.name: item.title for item in pairs.items}, pairs.gains()
    rows = [
        [
            titles[confounder.row],
            titles[confounder.other],
            f"{gains[confounder.row, confounder.other]:+.2f}" if (confounder.row, confounder.other) in gains else "",
            "" if confounder.images is None else f"{confounder.images:.0f}%",
            f"{confounder.examples:,}",
            f"{confounder.other_examples:,}",
        ]
        for confounder in pairs.confounders
    ]
    header = ["task", "with", "change", "of its test images in\nthe other's train+val", "its examples", "the other's"]
    stdout().print(table(header, rows, "What else could explain it", left=2))
    known = {name: value for name, value in rank_correlations(pairs).items() if value is not None}
    if known:
        text = ", ".join(f"{name} {value:+.2f}" for name, value in known.items())
        stdout().print(f"Rank correlation with the change: {text}.")


def pairs_json(pairs: PairTable, picture: Path, paper: bool) -> dict[str, Any]:
    return {
        "items": [item.name for item in pairs.items],
        "source": pairs.source,
        "cells": _cells_json(pairs),
        "confounders": [vars(confounder) for confounder in pairs.confounders],
        "rank_correlations": rank_correlations(pairs),
        "caveat": one_seed(cell.number for cell in pairs.cells) or None,
        "notes": list(pairs.notes),
        "picture": str(picture),
        **({"paper": _cells_json(paper_pairs(pairs.not_comparable))} if paper else {}),
    }


def _cells_json(pairs: PairTable) -> list[dict[str, Any]]:
    return [
        {
            "kind": cell.kind,
            "together": cell.together,
            "row": cell.row,
            "others": cell.others,
            **_number_json(cell.number),
        }
        for cell in pairs.cells
    ]


def _number_json(number: OverSeeds) -> dict[str, Any]:
    crosses = number.crosses_zero if number.interval else None
    return {
        "percent": number.value,
        "interval": number.interval,
        "crosses_zero": crosses,
        "by_seed": dict(number.values),
    }
