"""The scores of an evaluation, in the model card of the run that was scored."""

from pathlib import Path

from vlmt_cli.base.documents import read_json
from vlmt_cli.base.files import write_text
from vlmt_cli.base.schema import parse
from vlmt_cli.evaluation.marks import MEANING, mark_of, marks_explained
from vlmt_cli.evaluation.scores import Scores
from vlmt_cli.runs.best import BEST
from vlmt_cli.runs.card import Described, Result, chosen_licence, model_card
from vlmt_cli.runs.checkpoint import Checkpoint
from vlmt_cli.runs.folders import CARD, LINEAGE
from vlmt_cli.runs.lineage import Lineage
from vlmt_cli.runs.recipe import Recipe


def results_of(scores: Scores) -> list[Result]:
    """Return scores as a card shows them."""
    return [
        Result(
            task,
            score.split,
            score.metric,
            score.score.value,
            score.score.low,
            score.score.high,
            score.score.n,
            mark_of(score),
            " ".join(MEANING[mark] for mark in mark_of(score)),
        )
        for task, score in scores.tasks.items()
    ]


def write_card(run: Path, checkpoint: Checkpoint, recipe: Recipe | None, scores: Scores) -> None:
    """Write a run's card anew, with its scores; that of its best weights, too, where these were scored.

    Raises:
        VlmtError: it cannot be written, or the run's lineage is damaged.
    """
    which = f"Of the {scores.weights} weights. " if scores.weights else ""
    if scores.trained and not scores.trained.finished:
        which += f"The run was unfinished ({scores.trained}). "
    split = f"The model was last trained on clean split {scores.split_hash}. " if scores.split_hash else ""
    remark = f"{which}{split}{marks_explained(scores.tasks.values())}"
    name = run.resolve().parent.name if run.name == BEST else run.resolve().name
    folders = [run, run / BEST] if scores.weights == "best" and (run / BEST).is_dir() else [run]
    for folder in folders:
        described = Described(name, recipe, results_of(scores), remark, chosen_licence(folder / CARD))
        lineage = parse(Lineage, read_json(folder / LINEAGE, "train again"), folder / LINEAGE)  # with its own steps
        write_text(folder / CARD, model_card(checkpoint.model, checkpoint.labels, lineage, described))
