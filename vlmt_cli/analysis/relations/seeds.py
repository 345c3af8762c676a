"""Scores of runs, and their mean over seeds with, from two seeds on, its interval.

Seeds are independent repetitions, and every number here is first worked out within a seed, whose runs begin with the
same weights and see a task's examples in the same order. Student's t over these numbers is then honest for two seeds,
too, where a bootstrap over seeds would be far too narrow.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from scipy.special import stdtrit

from vlmt_cli.base.errors import DataError
from vlmt_cli.evaluation.run_scores import RunScores, run_scores
from vlmt_cli.evaluation.scores import Scores
from vlmt_cli.runs.best import BestOrLast, find_weights
from vlmt_cli.runs.metrics import read_metrics

LEVEL = 0.95
ONE_SEED = "One seed: there are no intervals over seeds, and a change may be chance."
ONE_SEED_MARK = "¹"
"""Stands behind a number of one seed where others are of several."""
_SOME_OF_ONE_SEED = (
    f"Numbers without an interval over seeds ({ONE_SEED_MARK}) are of one seed, and a change may be chance."
)
Key = TypeVar("Key", bound=Hashable)
ScoreSource = Literal["validation", "test"]


@dataclass(frozen=True)
class OverSeeds:
    """A number over seeds.

    Attributes:
        values: by seed.
    """

    values: Mapping[int, float]

    @property
    def value(self) -> float:
        """The mean."""
        return float(np.mean(list(self.values.values())))

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% interval of the mean (Student's t); None with one seed, which says nothing about another."""
        n = len(self.values)
        if n < 2:
            return None
        half = stdtrit(n - 1, (1 + LEVEL) / 2) * np.std(list(self.values.values()), ddof=1) / np.sqrt(n)
        return self.value - float(half), self.value + float(half)

    @property
    def crosses_zero(self) -> bool:
        """Whether there is an interval, and zero is in it."""
        return self.interval is not None and self.interval[0] <= 0 <= self.interval[1]


def one_seed(numbers: Iterable[OverSeeds]) -> str:
    """Say that a change may be chance, where all or some of the numbers are of one seed; else nothing."""
    several = {number.interval is not None for number in numbers}
    return "" if several == {True} else _SOME_OF_ONE_SEED if several == {True, False} else ONE_SEED


def one_seed_mark(numbers: Iterable[OverSeeds]) -> str:
    """Return what stands behind each number of one seed: a mark where others are of several, else nothing."""
    return ONE_SEED_MARK if one_seed(numbers) == _SOME_OF_ONE_SEED else ""


def validation_scores(run: Path, weights: BestOrLast = "best") -> dict[str, float]:
    """Return each task's validation score of a run's best weights or, where it has none, of its last.

    The best weights are chosen by these very scores, so that these flatter them a little, in every run alike.

    Raises:
        DataError: the run has no validation scores.
    """
    if best := find_weights(run, weights).best:
        return dict(best.tasks)
    scores = {line["task"]: float(line["score"]) for line in read_metrics(run) if line["kind"] == "validation"}
    if not scores:
        raise DataError("holds no validation scores", where=run, todo="train it to its end")
    return scores


def scores_of(
    runs: Mapping[Key, Path], weights: BestOrLast = "best"
) -> tuple[dict[Key, dict[str, float]], ScoreSource]:
    """Return what runs scored by task, all of them on the same.

    Args:
        runs: their folders.
        weights: which of each run; one that has no best weights has only its last.

    Returns:
        The scores, by run and task; and what they were measured on: ``test`` where every run has a ``scores.json`` with
        all its tasks, of these weights as they are now and the same splits; else ``validation``. The two are never
        mixed.
    """
    validation = {key: validation_scores(folder, weights) for key, folder in runs.items()}
    test: dict[Key, Scores] = {
        key: scores for key, folder in runs.items() if (scores := run_scores(folder).scores) is not None
    }
    complete = all(
        key in test
        and test[key].tasks.keys() >= validation[key].keys()
        and test[key].weights in (None, find_weights(folder, weights).kind)
        for key, folder in runs.items()
    )
    splits = {(task, task_score.split) for scores in test.values() for task, task_score in scores.tasks.items()}
    if runs and complete and len(splits) == len({task for task, _ in splits}):
        values = {
            key: {task: task_score.score.value for task, task_score in scores.tasks.items()}
            for key, scores in test.items()
        }
        return values, "test"
    return validation, "validation"


def stale_runs(runs: Iterable[Path]) -> list[RunScores]:
    """Return what is to be said of the runs whose scores are of other weights than they have now."""
    return [mine for mine in map(run_scores, runs) if mine.is_stale]
