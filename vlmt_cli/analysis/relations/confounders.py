"""What else could explain that tasks help each other: shared images, and how large their datasets are."""

from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path

import numpy as np

from vlmt_cli.analysis.relations.pairs import Confounder, Item, PairTable
from vlmt_cli.clean.split_folder import verified_report
from vlmt_cli.runs.metrics import read_metrics


def confounders_of(
    items: Sequence[Item], runs: Mapping[tuple[tuple[str, ...], int], Path], data: Path
) -> list[Confounder]:
    """Put together what is known of each ordered pair.

    Args:
        items: what is paired.
        runs: folders by items' names and seed; those of single items say how many examples they train on.
        data: the data folder; its clean split says which images are shared.
    """
    sizes: dict[str, int] = {}
    for item in items:
        alone = [folder for (names, _), folder in runs.items() if names == (item.name,)]
        for line in read_metrics(alone[0]) if alone else ():
            if line["kind"] == "start":
                sizes[item.name] = sum(part["examples"] for part in line["tasks"].values())
    report = verified_report(data)
    matrix = report.test_images_before if report else None
    confounders = []
    for row, other in permutations([item for item in items if item.name in sizes], 2):
        images = None
        if matrix is not None and len(other.tasks) == 1:  # what two datasets hold together, no matrix says
            shares = [matrix[task][other.tasks[0]] for task in row.tasks if other.tasks[0] in matrix.get(task, {})]
            if len(shares) == len(row.tasks):
                images = 100 * sum(share.hit for share in shares) / max(1, sum(share.of for share in shares))
        confounders.append(Confounder(row.name, other.name, images, sizes[row.name], sizes[other.name]))
    return confounders


def rank_correlations(pairs: PairTable) -> dict[str, float | None]:
    """Return Spearman's correlation of the pairs' changes with each confounder; None where either is always the same.

    Sizes are compared as the other's by the row's, how much is added to what the row has.
    """
    gains = pairs.gains()
    known = [confounder for confounder in pairs.confounders if (confounder.row, confounder.other) in gains]
    shared = [pair for pair in known if pair.images is not None]
    return {
        "shared images": _spearman(
            [gains[pair.row, pair.other] for pair in shared], [pair.images or 0 for pair in shared]
        ),
        "other's size by its own": _spearman(
            [gains[pair.row, pair.other] for pair in known], [pair.other_examples / pair.examples for pair in known]
        ),
    }


def _spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    from scipy.stats import spearmanr

    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(spearmanr(first, second).statistic)
