"""``vlmt analyze affinity``: which tasks help each other, from one run."""

from pathlib import Path


def affinity(run: Path, measured: Path | None, to: Path | None, as_json: bool) -> None:
    """Average what the run measured, compare it with a sweep's pairs, draw it."""
    import json

    import numpy as np

    from vlmt_cli.analysis.relations.affinity import (
        WHOLE,
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

    found = read_affinities(run)
    helped, half = helped_by(found), mean_interval(found.lookahead)[1].T
    cosine = mean_interval(found.cosine[WHOLE])[0]
    path = to or run / "affinity.png"
    draw_affinities(path, found, {name: task.short for name, task in TASKS.items()})
    ranks: dict[str, dict[str, float | int | None]] = {}
    if measured is not None:
        gains = gain_matrix(found.tasks, read_pairs(measured).gains())
        for name, values in (("lookahead", helped), ("cosine", cosine)):
            correlation, count = rank_correlation(values, gains)
            ranks[name] = {"spearman": None if np.isnan(correlation) else round(correlation, 4), "pairs": count}
    if as_json:
        print(
            json.dumps(
                {
                    "run": str(run),
                    "tasks": found.tasks,
                    "measurements": len(found.iterations),
                    "cost": None if np.isnan(found.cost) else round(found.cost, 4),
                    "helped_by": helped.tolist(),
                    "half_interval": None if np.isnan(half).any() else half.tolist(),
                    "cosine": {part: mean_interval(values)[0].tolist() for part, values in found.cosine.items()},
                    "rank_correlation": ranks,
                    "plot": str(path),
                },
                indent=2,
            )
        )
        return
    rows = []
    for row, task in enumerate(found.tasks):
        cells = ["" if row == column else f"{100 * helped[row, column]:+.2f}" for column in range(len(found.tasks))]
        others = [column for column in range(len(found.tasks)) if column != row]
        rows.append([short_title(task), *cells, f"{100 * helped[row, others].mean():+.2f}"])
    cost = "" if np.isnan(found.cost) else f", which added {found.cost:.0%} to the time of training"
    title = f"How much a step on the column's task lowers the row's loss, in % ({len(found.iterations)} times{cost})"
    console = stdout()
    console.print(table(["task", *map(short_title, found.tasks), "mean"], rows, title))
    for name, rank in ranks.items():
        told = "too few to tell" if rank["spearman"] is None else f"{rank['spearman']:+.2f}"
        console.print(f"Rank correlation of {name} with {rank['pairs']} measured pairs: {told}")
    console.print(f"Drawn: {path}", markup=False, soft_wrap=True)
