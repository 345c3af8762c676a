"""The official scores of a sweep's runs, so that they are compared as the paper compares them (table 3, 6, 10 to 12).

A run is scored where it was trained, by the code of ``vlmt evaluate``: each task's official metric on its official test
set, or on validation where the test answers are secret. Where any run has no such scores, all are compared by the
validation scores that training logged.
"""

from collections.abc import Iterable
from pathlib import Path

from vlmt_cli.base.errors import UsageError
from vlmt_cli.evaluation.run_scores import run_scores
from vlmt_cli.evaluation.score_tables import why_not_compared
from vlmt_cli.evaluation.scores import SCORES_FILE, read_scores
from vlmt_cli.runs.best import BestOrLast, find_weights
from vlmt_cli.runs.recipe import read_recipe


def is_scored(run: Path, weights: BestOrLast = "best") -> bool:
    """Whether a finished run has scores of all its tasks, of these weights as they are now.

    Raises:
        DataError: ``scores.json`` is damaged.
    """
    scores = run_scores(run).scores
    if scores is None or scores.weights not in (None, find_weights(run, weights).kind):
        return False
    return scores.tasks.keys() >= set(read_recipe(run).tasks)


def score_run(run: Path, data: Path, weights: BestOrLast = "best", device: str = "cpu", partial: bool = False) -> None:
    """Score a run as ``vlmt evaluate`` does; scores of a model of the full split are marked.

    Raises:
        UsageError: the run has scores of its other weights, which stay.
        VlmtError: as ``evaluate`` does.
    """
    import torch

    from vlmt_cli.evaluation.evaluate import evaluate
    from vlmt_cli.tasks.process import Process

    kind = find_weights(run, weights).kind
    if (run / SCORES_FILE).exists() and (before := read_scores(run).weights) not in (None, kind):
        todo = f"compare with --weights {before}, or move the file"
        raise UsageError(f"has the scores of its {before} weights", where=run / SCORES_FILE, todo=todo)
    evaluate(
        str(run),
        data,
        weights=weights,
        allow_leak=read_recipe(run).split == "full",
        partial=partial,
        process=Process(torch.device(device)),
    )


def not_comparable(folders: Iterable[Path]) -> dict[str, str]:
    """Say why the paper's figure of a task does not stand beside some runs' scores, by task.

    Args:
        folders: of the runs; all have scores of the weights that they have now.
    """
    reasons: dict[str, str] = {}
    for folder in folders:
        scores = run_scores(folder).scores
        for task, score in scores.tasks.items() if scores else ():
            if reason := why_not_compared(task, score):
                reasons[task] = reason
    return reasons
