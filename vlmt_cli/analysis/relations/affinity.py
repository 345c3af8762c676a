"""Which tasks help each other, from one multi-task run: look-ahead affinity and the cosine of gradients.

``training.affinity`` measures both while a model trains (recipe key ``training.affinity_every``). Here they are
averaged over the run, drawn by layer and over time, and compared with what a sweep of pairs measured (table 3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from scipy.stats import t as student

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import atomic
from vlmt_cli.runs.metrics import read_metrics

WHOLE = "trunk"
FEWEST = 4
"""Measurements of one run that allow an interval."""
FEWEST_TASKS = 5
"""Tasks that allow a claim from a rank correlation, or its interval: four can be ordered in 24 ways only."""
ORDERS = 2000
BRACKETS = "in brackets where the 95% interval holds zero or is unknown"


@dataclass(frozen=True)
class Affinities:
    """K measurements of N tasks.

    Attributes:
        tasks: N names.
        iterations: when, (K,).
        lookahead: 1 - L_j(after a step on i) / L_j, (K, N, N): row i, column j.
        cosine: of the gradients of two tasks, by part of the trunk, (K, N, N).
        cost: what the measurements added to the time of training, as a share of it.
    """

    tasks: list[str]
    iterations: NDArray[np.int64]
    lookahead: NDArray[np.float64]
    cosine: dict[str, NDArray[np.float64]]
    cost: float


def read_affinities(run: Path) -> Affinities:
    """Read what a run measured.

    Raises:
        DataError: it measured nothing.
    """
    lines = read_metrics(run)
    measured = [line for line in lines if line["kind"] == "affinity"]
    if not measured:
        todo = "train it with --set training.affinity_every=20"
        raise DataError("measured no affinities", where=run, todo=todo)
    end = next((line["seconds"] for line in reversed(lines) if line["kind"] == "end"), None)
    spent = sum(line["seconds"] for line in measured)
    return Affinities(
        tasks=list(measured[0]["tasks"]),
        iterations=np.array([line["iteration"] for line in measured]),
        lookahead=np.array([line["lookahead"] for line in measured]),
        cosine={part: np.array([line["cosine"][part] for line in measured]) for part in measured[0]["cosine"]},
        cost=spent / (end - spent) if end is not None and end > spent else float("nan"),
    )


def mean_interval(values_KNN: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean over measurements, and half the width of its 95% interval, both (N, N).

    Successive measurements of one run are alike. Their correlation is estimated from all cells together, as a single
    cell has too few; the interval is Student's t with as many independent measurements as they are worth. With fewer
    than ``FEWEST`` it is not a number.
    """
    count, mean = len(values_KNN), values_KNN.mean(0)
    if count < FEWEST:
        return mean, np.full(mean.shape, np.nan)
    worth = _independent(values_KNN - mean)
    # The spread around a mean of measurements that are alike is too small by what the mean itself varies.
    variance = values_KNN.var(0) / (1 - 1 / worth)
    return mean, student.ppf(0.975, worth - 1) * np.sqrt(variance / worth)


def _independent(off_KNN: NDArray[np.float64]) -> float:
    """Say how many independent measurements K successive ones are worth, given what they are off their mean."""
    count = len(off_KNN)
    varying = off_KNN[:, off_KNN.any(0)]
    if not varying.size:
        return float(count)
    varying = varying / varying.std(0)
    raw = float((varying[1:] * varying[:-1]).sum() / (varying**2).sum())
    options = np.linspace(0, 0.9, 91)
    # Off their own mean, K measurements correlate less than they do: take what explains what is seen.
    like = options[np.argmin(np.abs([_seen_correlation(option, count) - raw for option in options]))]
    return max(count / _inflation(like, count), 1.5)


def _inflation(like: float, count: int) -> float:
    """By what the variance of a mean of measurements is larger than if they were independent."""
    lags = np.arange(1, count)
    return float(1 + 2 * ((1 - lags / count) * like**lags).sum())


def _seen_correlation(like: float, count: int) -> float:
    """Return the lag-1 correlation to be expected around the measurements' own mean."""
    apart = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    centre = np.eye(count) - 1 / count
    covariance = centre @ (like**apart) @ centre
    return float(np.trace(covariance, offset=1) / np.trace(covariance))


def rank_correlation(ours_NN: NDArray[np.float64], theirs_NN: NDArray[np.float64]) -> tuple[float, int]:
    """Return Spearman's correlation of two matrices off their diagonals, over entries that both have, and how many.

    With fewer than three entries it is not a number.
    """
    both = _both_have(ours_NN, theirs_NN)
    count = int(both.sum())
    return float(_ranks_alike(ours_NN, theirs_NN, both[None])[0]) if count >= 3 else float("nan"), count


def chance_correlations(ours_NN: NDArray[np.float64], theirs_NN: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return between what 95% of the rank correlations lie if it says nothing which task is which.

    The pairs of a task are not independent, so that tasks are exchanged, not pairs: Mantel's permutations, of a fixed
    seed. None where tasks are fewer than ``FEWEST_TASKS``, or entries too few.
    """
    tasks = int((np.isfinite(theirs_NN) & ~np.eye(len(theirs_NN), dtype=bool)).any(1).sum())
    if tasks < FEWEST_TASKS or rank_correlation(ours_NN, theirs_NN)[1] < FEWEST_TASKS:
        return None
    rng = np.random.default_rng(0)
    orders = np.array([rng.permutation(len(ours_NN)) for _ in range(ORDERS)])
    ours = ours_NN[orders[:, :, None], orders[:, None]]
    draws = _ranks_alike(ours, theirs_NN, _both_have(ours, theirs_NN))
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return float(low), float(high)


def correlation_interval(ours_NN: NDArray[np.float64], theirs_NN: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the 95% interval of the rank correlation, as if the tasks were drawn from many.

    Student's t with a task fewer than there are, on Fisher's z and the jackknife: each task is left out with all its
    pairs. Since a pair belongs to two tasks it is counted twice so, and what leaving out each pair gives is taken off
    again (Aronow et al. 2015, "Cluster-Robust Variance Estimation for Dyadic Data"), at most half of it all. It covers
    92 to 98%. None where tasks are fewer than ``FEWEST_TASKS``, or entries too few without one of them.
    """
    both = _both_have(ours_NN, theirs_NN)
    tasks, pairs = np.flatnonzero(both.any(0) | both.any(1)), np.argwhere(np.triu(both | both.T))
    count = len(tasks)
    if count < FEWEST_TASKS:
        return None
    kept = np.broadcast_to(both, (1 + count + len(pairs), *both.shape)).copy()
    for left, task in zip(kept[1:], tasks, strict=False):
        left[task], left[:, task] = False, False
    for left, (first, second) in zip(kept[1 + count :], pairs, strict=True):
        left[first, second] = left[second, first] = False
    if kept.sum((1, 2)).min() < FEWEST_TASKS:
        return None
    # Clipped, as ranks that agree in full are infinite in z.
    whole, *z = np.arctanh(np.clip(_ranks_alike(ours_NN, theirs_NN, kept), -0.999, 0.999))
    without_task, without_pair = np.array(z[:count]), np.array(z[count:])
    of_tasks, of_pairs = (float((len(without) - 1) * np.var(without)) for without in (without_task, without_pair))
    half = student.ppf(0.975, count - 1) * np.sqrt(max(of_tasks / 2, of_tasks - of_pairs))
    if not np.isfinite([whole, half]).all():
        return None
    return float(np.tanh(whole - half)), float(np.tanh(whole + half))


def _both_have(ours_NN: NDArray[np.float64], theirs_NN: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which entries off the diagonal two matrices both have."""
    both: NDArray[np.bool_] = np.isfinite(ours_NN) & np.isfinite(theirs_NN) & ~np.eye(len(theirs_NN), dtype=bool)
    return both


def _ranks_alike(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], kept_MNN: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return Spearman's correlation of two matrices over each of M choices of entries, NaN where all are equal.

    Args:
        ours, theirs: (N, N), or (M, N, N).
        kept_MNN: the choices.
    """
    off = []
    for values in (ours, theirs):
        rows = np.where(kept_MNN, values, np.nan).reshape(len(kept_MNN), -1)
        ranks = rankdata(rows, axis=1, nan_policy="omit")
        off.append(ranks - np.nanmean(ranks, axis=1, keepdims=True))
    first, second = off
    with np.errstate(invalid="ignore"):
        spread = np.sqrt(np.nansum(first**2, axis=1) * np.nansum(second**2, axis=1))
        correlations: NDArray[np.float64] = np.nansum(first * second, axis=1) / spread
    return correlations


def helped_by(affinities: Affinities) -> NDArray[np.float64]:
    """Return how much each task (row) is helped by each other (column), as table 3 is laid out: (N, N)."""
    return mean_interval(affinities.lookahead)[0].T


def gain_matrix(tasks: Sequence[str], gains: Mapping[tuple[str, str], float]) -> NDArray[np.float64]:
    """Lay out measured pairs, (task, trained with) to relative change, as ``helped_by`` is; NaN where none is."""
    return np.array([[gains.get((task, other), np.nan) for other in tasks] for task in tasks])


def draw_affinities(path: Path, affinities: Affinities, titles: Mapping[str, str]) -> None:
    """Draw look-ahead affinity and gradient cosines, these by part of the trunk and over time, as a PNG.

    Args:
        path: the PNG.
        affinities: of one run.
        titles: tasks' names in print.
    """
    from matplotlib.figure import Figure

    names = [titles.get(task, task) for task in affinities.tasks]
    size = max(4.5, 0.52 * len(names) + 2.2)
    figure = Figure(figsize=(2 * size + 1, size + 3.4), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=[size, 3.2])
    ahead, error = mean_interval(affinities.lookahead)
    cosine, cosine_error = mean_interval(affinities.cosine[WHOLE])
    panels = (
        ("Look-ahead affinity, %\na step on the column's task lowers the row's loss", 100 * ahead.T, 100 * error.T),
        (
            "Cosine of gradients, whole trunk\nin brackets where the 95% interval holds zero or is unknown",
            cosine,
            cosine_error,
        ),
    )
    for panel_number, (title, values, half) in enumerate(panels):
        axes = figure.add_subplot(grid[0, panel_number])
        off = np.where(np.eye(len(names), dtype=bool), np.nan, values)
        most = np.nanmax(np.abs(off)) if np.isfinite(off).any() else 1.0
        axes.imshow(off, cmap="PuOr", vmin=-most, vmax=most)
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=9)
        axes.set_yticks(range(len(names)), names, fontsize=9)
        axes.set_title(title, fontsize=10)
        for row in range(len(names)):
            for column in range(len(names)):
                if row != column:
                    unsure = not abs(values[row, column]) >= half[row, column]
                    dark = abs(values[row, column]) > 0.6 * most
                    axes.text(
                        column,
                        row,
                        f"({values[row, column]:.2f})" if unsure else f"{values[row, column]:.2f}",
                        ha="center",
                        va="center",
                        fontsize=7,
                        color="white" if dark else "black",
                    )
        axes.tick_params(length=0)
    axes = figure.add_subplot(grid[1, 0])
    off = ~np.eye(len(names), dtype=bool)
    parts = [part for part in affinities.cosine if part != WHOLE]
    means = [affinities.cosine[part][:, off].mean() for part in parts]
    axes.barh(range(len(parts)), means, color=["#5e3c99" if mean >= 0 else "#e66101" for mean in means])
    axes.set_yticks(range(len(parts)), [part.replace("_", " ") for part in parts], fontsize=8)
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.6)
    axes.set_title("Mean cosine between tasks, by part of the trunk", fontsize=9)
    axes = figure.add_subplot(grid[1, 1])
    for row, name in enumerate(names):
        others = [column for column in range(len(names)) if column != row]
        over_time = affinities.cosine[WHOLE][:, row][:, others].mean(1)
        colour, line = f"C{row % 6}", ("-", "--", ":")[row // 6 % 3]
        axes.plot(affinities.iterations, over_time, linewidth=1.2, label=name, color=colour, linestyle=line)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_title("Mean cosine with the other tasks, over time", fontsize=9)
    axes.set_xlabel("iteration", fontsize=8)
    axes.legend(fontsize=8, ncols=2, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    for axes in figure.axes[2:]:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
