"""Runs, metrics and scores as pandas frames, for notebooks: ``vlmt_cli.load_runs``, ``load_metrics``, ``load_scores``.

They need the core alone.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from vlmt_cli.base.errors import DataError
from vlmt_cli.evaluation.bootstrap import Estimate
from vlmt_cli.evaluation.marks import is_leaked
from vlmt_cli.evaluation.run_scores import run_scores
from vlmt_cli.evaluation.scores import SCORES_FILE, read_scores
from vlmt_cli.runs.folders import run_folders
from vlmt_cli.runs.metrics import METRICS, is_finished, read_metrics
from vlmt_cli.runs.recipe import keys_of, read_recipe


def load_scores(paths: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """Load what ``vlmt evaluate`` measured, a row a model, task and metric.

    Args:
        paths: a run folder, a ``scores.json``, or several of them.

    Returns:
        Columns ``model``, ``task``, ``split``, ``metric``, ``is_main`` (the task's official metric, which averages are
        of), ``value``, ``low`` and ``high`` (the 95% interval; NaN where there is none), ``n`` (examples), ``leaked``
        (training saw some of the images), ``seed``, and ``current`` (of a run, whether the scores are of the weights
        that it has now). Shares go from 0 to 1.
        ``load_scores(runs).query("is_main").pivot(index="model", columns="task", values="value")`` is table 2.

    Raises:
        DataError: there are no scores, or they are damaged or of a newer vlmt.
    """
    rows: list[dict[str, Any]] = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        scores = read_scores(Path(path))
        folder = Path(path).parent if Path(path).name == SCORES_FILE else Path(path)
        current = not (folder.is_dir() and run_scores(folder).is_stale)
        for name, task in scores.tasks.items():
            for metric, value in {task.metric: task.score, **task.extra}.items():
                number = value if isinstance(value, Estimate) else None
                rows.append(
                    {
                        "model": scores.model,
                        "task": name,
                        "split": task.split,
                        "metric": metric,
                        "is_main": metric == task.metric,
                        "value": number.value if number else value,
                        "low": number.low if number else None,
                        "high": number.high if number else None,
                        "n": number.n if number else task.score.n,
                        "leaked": is_leaked(task),
                        "seed": scores.seed,
                        "current": current,
                    }
                )
    columns = ["model", "task", "split", "metric", "is_main", "value", "low", "high", "n", "leaked", "seed", "current"]
    return pd.DataFrame(rows, columns=columns).astype({"value": float, "low": float, "high": float})


def load_metrics(run: str | Path, kind: str | None = None) -> pd.DataFrame:
    """Load the metrics of a run, a row an event, in order.

    Args:
        run: its folder.
        kind: of events, such as ``train`` or ``validation`` (``vlmt_cli.runs.metrics`` lists them and their fields);
            None for all.

    Returns:
        A column a field that any of the events has, ``kind`` and ``iteration`` among them; NaN where an event lacks it.
        ``load_metrics(run, "validation").pivot_table(index="iteration", columns="task", values="score").plot()`` draws
        the curves.

    Raises:
        DataError: there are no metrics, or they are damaged.
    """
    lines = read_metrics(Path(run))
    return pd.DataFrame([line for line in lines if kind is None or line["kind"] == kind])


def load_runs(folder: str | Path = "runs") -> pd.DataFrame:
    """List the runs in a folder and in its sweeps, a row a run, by path.

    Args:
        folder: of runs, such as ``runs`` or ``demo/runs``.

    Returns:
        Indexed by ``run``, its folder. Columns ``finished``, ``iteration`` (the last that the metrics name), ``seed``,
        ``best`` (the best mean validation score; NaN without one), ``average`` (of ``scores.json``; NaN where it is not
        there, not of all twelve tasks, or of other weights than the run has now), and a column for each choice of the
        recipe: ``tasks``, ``split``, ``training.gap``, ...

    Raises:
        DataError: there is no such folder, or a run in it is damaged or of a newer vlmt.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError("there is no such folder", where=folder, todo="name a folder of runs")
    rows = []
    for path in run_folders(folder):
        lines = read_metrics(path) if (path / METRICS).exists() else []
        scores = run_scores(path).scores
        rows.append(
            {
                "run": str(path),
                "finished": is_finished(path),
                "iteration": max((line.get("iteration", 0) for line in lines), default=0),
                "seed": next((line.get("seed") for line in lines if line["kind"] == "start"), None),
                "best": max((line["score"] for line in lines if line["kind"] == "best"), default=None),
                "average": scores.average if scores else None,
                **keys_of(read_recipe(path)),
            }
        )
    frame = pd.DataFrame(rows or None, columns=None if rows else ["run", "finished"]).set_index("run")
    return frame.astype({"best": float, "average": float}) if rows else frame
