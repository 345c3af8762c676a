"""The scores of a run, where they are of the weights that it has now.

A run is trained on after it was scored, or scored before it came to its end. All that compares or shows runs reads
their scores here, so that none of it takes the scores of other weights for the run's.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

from vlmt_cli.evaluation.scores import SCORES_FILE, Scores, read_scores
from vlmt_cli.runs.best import Weights, find_weights
from vlmt_cli.runs.folders import WEIGHTS
from vlmt_cli.runs.trained import Trained, file_weights_hash, run_of, trained_of


@dataclass(frozen=True)
class RunScores:
    """What a run's ``scores.json`` is worth.

    Attributes:
        run: its folder.
        scores: of the weights that the run has now; None where there are none.
        lack: why there are none, as ``has no scores``; else nothing.
        unfinished: how far the run is that has not come to its end, as ``iteration 50 of 3,000``; else nothing. Of an
            evaluation that lies elsewhere, how far the run was.
    """

    run: Path
    scores: Scores | None
    lack: str
    unfinished: str

    @property
    def is_stale(self) -> bool:
        """Whether there are scores, of other weights than the run has now."""
        return self.scores is None and self.lack != _NONE

    @property
    def todo(self) -> str:
        """The command that scores the run as it is now, without the data folder."""
        return evaluate_command(self.run)

    @property
    def resume(self) -> str:
        """The command that trains the run to its end, without the data folder."""
        return shlex.join(["vlmt", "train", "--resume", "--run", str(run_of(self.run))])


_NONE = "has no scores"


def evaluate_command(run: Path) -> str:
    """Return the command that scores a run, without the data folder."""
    return shlex.join(["vlmt", "evaluate", "--model", str(run)])


def run_scores(run: Path) -> RunScores:
    """Read a run's scores, and say whether they are of the weights that it has now.

    Args:
        run: its folder, or a folder that ``vlmt evaluate --to`` wrote.

    Raises:
        DataError: ``scores.json``, or what says when the weights were best, is damaged.
    """
    scores = read_scores(run) if (run / SCORES_FILE).exists() else None
    weights = find_weights(run, scores.weights if scores and scores.weights else "best")
    now = trained_of(run, weights)
    trained = now or (scores.trained if scores else None)
    unfinished = str(trained) if trained and not trained.finished else ""
    lack = _difference(run, scores, weights, now) if scores else _NONE
    return RunScores(run, None if lack else scores, lack, unfinished)


def _difference(run: Path, scores: Scores, weights: Weights, now: Trained | None) -> str:
    """Say of which other weights scores are; nothing where they are of those that the run has now.

    The iteration tells it at once. Where it is not known, or the weights were written after the scores, their hash
    does, for which the file is read.
    """
    file = Path(weights.source) / WEIGHTS
    if not file.is_file():
        return ""
    kind = weights.kind or "only"
    if scores.trained and now and scores.trained.iteration != now.iteration:
        return (
            f"has scores of iteration {scores.trained.iteration:,}, and its {kind} weights are now those of iteration"
            f" {now.iteration:,}"
        )
    is_newer = file.stat().st_mtime > (run / SCORES_FILE).stat().st_mtime
    if scores.trained and now and not is_newer:
        return ""
    here = file_weights_hash(file) if scores.weights_hash else None
    if here is not None:
        return "" if here == scores.weights_hash else f"has scores of other weights than its {kind} weights now"
    return f"has scores that are older than its {kind} weights" if is_newer else ""
