"""``vlmt analyze affinity``: which tasks help each other, from one run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmt_cli.commands.options import DATA, DataFolder, Json, MultiTaskRun, Runs

if TYPE_CHECKING:
    from collections.abc import Mapping


def affinity(
    run: MultiTaskRun = None,
    measured: Annotated[
        Path | None,
        typer.Option("--pairs", help="Parquet of vlmt analyze pairs, to compare with; else RUNS/pairs.parquet."),
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", help="PNG; else RUN/affinity.png.")] = None,
    data: DataFolder = DATA,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Show which tasks help each other, from one run: look-ahead affinity and the cosine of gradients.

    The run must have measured them: vlmt train --set training.affinity_every=100. If there are
    also results of vlmt analyze pairs, a rank correlation says how well this one run predicts them.

    Examples:

      vlmt analyze affinity

      vlmt analyze affinity runs/all-tasks --pairs runs/pairs.parquet
    """
    import json

    import numpy as np

    from vlmt_cli.analysis.relations.affinity import (
        FEWEST,
        FEWEST_TASKS,
        WHOLE,
        chance_correlations,
        correlation_interval,
        draw_affinities,
        gain_matrix,
        helped_by,
        mean_interval,
        rank_correlation,
        read_affinities,
    )
    from vlmt_cli.analysis.relations.pairs_file import read_pairs
    from vlmt_cli.commands.show import stdout, table
    from vlmt_cli.datasets.table import TASKS, short_title
    from vlmt_cli.runs.folders import find_run, runs_folder

    folder = runs or runs_folder(data)
    run = Path(find_run(run, data)) if run else folder / "all-tasks"
    usual = folder / "pairs.parquet"
    measured = Path(find_run(measured, data)) if measured else usual if usual.exists() else None
    affinities = read_affinities(run)
    helped, half = helped_by(affinities), mean_interval(affinities.lookahead)[1].T
    cosine = mean_interval(affinities.cosine[WHOLE])[0]
    path = to or run / "affinity.png"
    draw_affinities(path, affinities, {name: task.short for name, task in TASKS.items()})
    ranks: dict[str, dict[str, float | int | list[float] | None]] = {}
    if measured is not None:
        pairs = read_pairs(measured)
        seeds = min((len(cell.number.values) for cell in pairs.cells if cell.kind == "change"), default=0)
        gains = gain_matrix(affinities.tasks, pairs.gains())
        for name, values in (("lookahead", helped), ("cosine", cosine)):
            correlation, count = rank_correlation(values, gains)
            chance, interval = chance_correlations(values, gains), correlation_interval(values, gains)
            ranks[name] = {
                "spearman": None if np.isnan(correlation) else round(correlation, 4),
                "interval": None if interval is None else [round(bound, 4) for bound in interval],
                "pairs": count,
                "seeds": seeds,
                "by_chance": None if chance is None else [round(bound, 4) for bound in chance],
            }
    if as_json:
        print(
            json.dumps(
                {
                    "run": str(run),
                    "tasks": affinities.tasks,
                    "measurements": len(affinities.iterations),
                    "cost": None if np.isnan(affinities.cost) else round(affinities.cost, 4),
                    "helped_by": helped.tolist(),
                    "half_interval": None if np.isnan(half).any() else half.tolist(),
                    "cosine": {part: mean_interval(values)[0].tolist() for part, values in affinities.cosine.items()},
                    "rank_correlation": ranks,
                    "plot": str(path),
                },
                indent=2,
            )
        )
        return
    rows = []
    for row, task in enumerate(affinities.tasks):
        cells = [
            "" if row == column else f"{100 * helped[row, column]:+.2f}" for column in range(len(affinities.tasks))
        ]
        others = [column for column in range(len(affinities.tasks)) if column != row]
        rows.append([short_title(task), *cells, f"{100 * helped[row, others].mean():+.2f}"])
    cost = "" if np.isnan(affinities.cost) else f", which added {affinities.cost:.0%} to the time of training"
    title = (
        f"How much a step on the column's task lowers the row's loss, in % ({len(affinities.iterations)} times{cost})"
    )
    console = stdout()
    console.print(table(["task", *map(short_title, affinities.tasks), "mean"], rows, title))
    for name, rank in ranks.items():
        console.print(f"Rank correlation of {name} with {rank['pairs']} measured pairs: {_told(rank)}")
    if len(affinities.iterations) < FEWEST:
        console.print(f"Too few measurements for intervals: {len(affinities.iterations)}, of at least {FEWEST}.")
    if ranks and any(rank["by_chance"] is None for rank in ranks.values()):
        console.print(f"Fewer than {FEWEST_TASKS} tasks have measured pairs, which is not enough for a claim.")
    console.print(f"Drawn: {path}", soft_wrap=True)


def _told(rank: "Mapping[str, Any]") -> str:
    """Say a rank correlation beside what chance gives, and whether it allows a claim."""
    if rank["spearman"] is None:
        return "too few to tell"
    text = f"{rank['spearman']:+.2f}"
    if rank["by_chance"] is None:
        return text
    if rank["interval"] is not None:
        text += f" [{rank['interval'][0]:+.2f}, {rank['interval'][1]:+.2f}]"
    low, high = rank["by_chance"]
    text += f" (95% by chance: {low:+.2f} to {high:+.2f})"
    if low <= rank["spearman"] <= high:
        return f"{text}, which chance explains"
    return f"{text}, of one seed: not enough for a claim" if rank["seeds"] < 2 else text
