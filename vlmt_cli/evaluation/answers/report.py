"""What a file of predictions scored, as ``--json`` and ``scores.json`` have it, and as tables and sentences."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat, NonNegativeInt, PositiveInt

from vlmt_cli.evaluation.bootstrap import Estimate, coverage_explained
from vlmt_cli.evaluation.contamination import in_words
from vlmt_cli.evaluation.marks import images_of, is_validation
from vlmt_cli.evaluation.scores import TaskScore


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class JoinReport(_Model):
    """How predictions were joined with a benchmark's rows; see ``joined.Joined``."""

    by: str
    checked: str
    predictions: NonNegativeInt
    joined: NonNegativeInt
    unjoined: NonNegativeInt
    disagreeing: NonNegativeInt
    doubled: NonNegativeInt
    conflicts: NonNegativeInt
    missing: NonNegativeInt
    examples: tuple[str, ...]
    refused: tuple[str, ...]
    elsewhere: NonNegativeInt = 0
    differing: tuple[str, ...] = ()


class TrainingReport(_Model):
    """What training is taken to have seen.

    Attributes:
        what: where that is from.
        is_proxy: whether it is only supposed.
        seen, unseen, unknown: images of the scored rows.
        balanced: seen less unseen, unseen rows weighted to the seen ones' kinds; None where that cannot be said.
        balanced_by: what tells kinds apart.
        caveats: what is left open.
    """

    what: str
    is_proxy: bool
    seen: NonNegativeInt
    unseen: NonNegativeInt
    unknown: NonNegativeInt
    balanced: Estimate | None = None
    balanced_by: str = ""
    caveats: tuple[str, ...] = ()


class AnswerScores(_Model):
    """What one file of predictions scored.

    Attributes:
        format: of this report.
        predictions, sha256: the file.
        form: of it.
        benchmark, rows_from: which, and where its rows are from.
        rows: how many it has.
        unit: what intervals resample, and ``groups`` of an estimate count: images; where nothing names them, questions
            or rows.
        join: how both go together.
        reading: how answers were understood, in sentences.
        task: the score; None where no row has a right answer.
        with_missing: the score if rows without a prediction count as wrong; None where none is missing.
        categories: of the benchmark, each one's metrics.
        training: None unless it was asked for.
        against_first: by how much the score is above that of the first file, on the rows that both answer.
        resamples, seed: of the intervals.
        versions: of ``vlmt``.
    """

    format: Literal["vlmt answer scores 1"] = "vlmt answer scores 1"
    predictions: str
    sha256: str
    form: str
    benchmark: str
    rows_from: str
    rows: PositiveInt
    unit: str = "images"
    join: JoinReport
    reading: tuple[str, ...]
    task: TaskScore | None
    with_missing: FiniteFloat | None = None
    categories: dict[str, dict[str, Estimate | FiniteFloat]] = {}
    training: TrainingReport | None = None
    against_first: Estimate | None = None
    resamples: PositiveInt
    seed: NonNegativeInt
    versions: dict[str, str] = {"vlmt": version("vlmt")}


_PARTS = (("seen", "images seen"), ("unseen", "images not seen"), ("difference", "seen less unseen"))


def header_of(scores: Sequence[AnswerScores]) -> list[str]:
    """Return what stands above the columns of ``rows_of``."""
    units = dict.fromkeys(each.unit for each in scores)
    return ["predictions", "metric", "%", "95% interval", "n", " or ".join(units)]


def rows_of(scores: Sequence[AnswerScores], names: Sequence[str]) -> list[list[str]]:
    """Lay out the scores of some files, a row a metric."""
    rows: list[list[str]] = []
    for each, name in zip(scores, names, strict=True):
        if each.task is None:
            continue
        rows.append([name, each.task.metric, *_cells(each.task.score)])
        rows += [["", metric, *_cells(value)] for metric, value in each.task.extra.items()]
        for category, metrics in each.categories.items():
            rows += [["", f"{category}: {metric}", *_cells(value)] for metric, value in metrics.items()]
        if each.with_missing is not None:
            rows.append(["", "with rows without a prediction as wrong", f"{100 * each.with_missing:.2f}", "", "", ""])
        rows += _contrasted(each)
        if each.against_first is not None:
            rows.append(["", f"more than {names[0]}", *_cells(each.against_first)])
    return rows


def _contrasted(scores: AnswerScores) -> list[list[str]]:
    task, training = scores.task, scores.training
    if task is None or task.contamination is None or training is None:
        return []
    rows = [
        ["", title, *_cells(value)]
        for part, title in _PARTS
        if (value := getattr(task.contamination, part)) is not None
    ]
    if training.balanced is not None:
        rows.append(["", "seen less unseen, balanced", *_cells(training.balanced)])
    if task.control:
        rows += [["", f"control: {title}", *_cells(getattr(task.control, part))] for part, title in _PARTS]
        rows.append(["", "difference in differences", *_cells(task.control.in_differences)])
    return rows


def _cells(value: Estimate | float) -> list[str]:
    if not isinstance(value, Estimate):
        return [f"{value:g}", "", "", ""]
    interval = f"[{100 * value.low:.2f}, {100 * value.high:.2f}]"
    return [f"{100 * value.value:.2f}", interval, f"{value.n:,}", f"{value.groups:,}"]


def notes_of(scores: AnswerScores) -> list[str]:
    """Say what the numbers of one file do not."""
    notes = list(scores.reading)
    task, training = scores.task, scores.training
    if task is None:
        return [f"{scores.benchmark}'s rows do not say what is right: there is nothing to score.", *notes]
    if training is not None:
        unknown = f"; {training.unknown:,} could not be looked up and are in neither part" if training.unknown else ""
        notes.append(f"By {training.what}: images seen {training.seen:,}, not seen {training.unseen:,}{unknown}.")
        notes += training.caveats
        if task.contamination is not None:
            notes.append(in_words(task.contamination, task.control, "FILE"))
        if task.control:
            notes.append(
                f"The control is {task.control.model}; whether its training saw any of them is not known here."
            )
        if training.balanced is not None:
            notes.append(f"Balanced: unseen rows are weighted to the seen ones' {training.balanced_by}.")
    if is_validation(task.split):
        notes.append("On validation images, not on the test set.")
    groups = [each.groups for each in metrics_of(scores)]
    if said := coverage_explained([*images_of(task), *groups], scores.unit):
        notes.append(said)
    return notes


def metrics_of(scores: AnswerScores) -> list[Estimate]:
    """Return the estimates of all categories."""
    return [
        value for metrics in scores.categories.values() for value in metrics.values() if isinstance(value, Estimate)
    ]
