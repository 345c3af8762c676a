"""Files of predictions to scores: read, joined, judged, split by what training saw, and set beside each other."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.progress import Progress
from vlmt_cli.clean.croissant import sha256_of
from vlmt_cli.datasets.table import TASKS
from vlmt_cli.evaluation.answers import text_boxes
from vlmt_cli.evaluation.answers.figures import by_category, contrasted, mean, paired
from vlmt_cli.evaluation.answers.forms import read_predictions
from vlmt_cli.evaluation.answers.join import join
from vlmt_cli.evaluation.answers.joined import Joined, in_words
from vlmt_cli.evaluation.answers.judge import Judgement, judge
from vlmt_cli.evaluation.answers.other_splits import Other, other_set
from vlmt_cli.evaluation.answers.predicted import Predicted
from vlmt_cli.evaluation.answers.ranking import JudgedFile, is_ranking, ranked
from vlmt_cli.evaluation.answers.report import AnswerScores, JoinReport
from vlmt_cli.evaluation.answers.row_files import rows_of_files, rows_of_predictions
from vlmt_cli.evaluation.answers.rows import (
    EXACT,
    HELD_OUT,
    HELD_OUT_WORDS,
    OWN_FILES,
    Rows,
    near_name,
    rows_of_examples,
    split_name,
)
from vlmt_cli.evaluation.answers.seen import Saw, seen_by_scan, seen_of
from vlmt_cli.evaluation.answers.unit import CIRCULAR, Unit, circular, unit_of
from vlmt_cli.evaluation.bootstrap import RESAMPLES, Estimate, estimate
from vlmt_cli.evaluation.scores import TaskScore
from vlmt_cli.tasks.scoring import ScoreColumn


@dataclass(frozen=True)
class Asked:
    """What is to be scored, and how.

    Attributes:
        benchmark: ``refcoco:testA``, or the name of one whose file is given.
        rows: the benchmark's files; empty for the data folder's examples, or the predictions' own records.
        questions: the file of questions that answers are of, where it says which image a question is about.
        form: of the predictions; None to tell by their content.
        boxes: the convention of boxes.
        seen: what a scan of the model's mixture wrote.
        trained_on: a mixture, or a dataset.
        control: another model's predictions.
        data: the data folder.
        resamples, seed: of the intervals.
    """

    benchmark: str
    rows: tuple[Path, ...] = ()
    questions: Path | None = None
    form: str | None = None
    boxes: str = text_boxes.AUTO
    seen: Path | None = None
    trained_on: str | None = None
    control: Path | None = None
    data: Path = Path("data")
    resamples: int = RESAMPLES
    seed: int = 0


@dataclass(frozen=True)
class Scored:
    """One file, scored.

    Attributes:
        report: what to show.
        by_row: each row's score, (N,); NaN where it has none.
        said: how it was joined, in sentences.
        table: the judged rows: ``example_id``, ``images``, ``score``, and how the prediction was understood.
    """

    report: AnswerScores
    by_row: ScoreColumn
    said: list[str]
    table: pa.Table = field(repr=False)


def score_files(
    paths: Sequence[Path], asked: Asked, progress: Progress = lambda name, done, total: None
) -> list[Scored]:
    """Score files of predictions of one benchmark.

    Args:
        paths: one or more; the first is what the others are compared with.
        asked: which benchmark, and how.
        progress: called while a mixture is scanned.

    Raises:
        UsageError: options exclude each other, or there is no such benchmark.
        DataError: a file cannot be read, or its predictions cannot be joined with the benchmark's rows.
    """
    if asked.seen and asked.trained_on:
        raise UsageError("--seen and --trained-on exclude each other", todo="leave one of them out")
    if asked.control and not (asked.seen or asked.trained_on):
        what = "--control goes with --seen or --trained-on, which say what training saw"
        raise UsageError(what, todo="give one of them")
    text_boxes.parse_convention(asked.boxes)
    is_matrix = is_ranking(paths[0], asked.benchmark)
    if is_matrix and (asked.form not in (None, "vlmt") or asked.questions):
        option = "--questions" if asked.questions else "--form"
        raise UsageError(f"a matrix of scores has no use for {option}", where=paths[0], todo="leave it out")
    first = None if is_matrix else _read(paths[0], asked)
    rows = _rows(asked, first)
    if asked.boxes != text_boxes.AUTO and rows.kind != "referring":
        raise UsageError(f"--boxes says what boxes are, and {rows.name} asks for none", todo="leave it out")
    saw = None
    if asked.seen:
        saw = seen_by_scan(rows, asked.seen, asked.data)
    elif asked.trained_on:
        saw = seen_of(rows, asked.trained_on, asked.data, progress)
    unit = unit_of(rows)
    control = None
    if asked.control:
        other = _judged(rows, asked.control, None, asked)
        control = (str(asked.control), other.judgement) if other.judgement else None
    scored: list[Scored] = []
    for number, path in enumerate(paths):
        judged = _judged(rows, path, first if not number else None, asked)
        scored.append(_scored(rows, unit, judged, saw, control, scored[0] if scored else None, asked))
    return scored


def _read(path: Path, asked: Asked) -> Predicted:
    predicted = read_predictions(path, asked.form)
    if asked.questions is None:
        return predicted
    from vlmt_cli.evaluation.answers.questions import with_questions

    return with_questions(predicted, asked.questions)


def _rows(asked: Asked, predicted: Predicted | None) -> Rows:
    """Read the benchmark's rows: from files, else examples, else the predictions themselves, where these do not say
    which example they answer but what is right."""
    task, _ = split_name(asked.benchmark)
    if asked.rows:
        return rows_of_files(asked.rows, asked.benchmark)
    is_prepared = (asked.data / "examples" / task).is_dir() or (asked.data / "raw" / task).is_dir()
    if predicted is None or not predicted.has_targets:
        return rows_of_examples(asked.data, asked.benchmark)
    if task in TASKS and is_prepared:
        with suppress(DataError, UsageError):  # as where the split is not one that was prepared
            rows = rows_of_examples(asked.data, asked.benchmark)
            join(predicted, rows)
            return rows
    return rows_of_predictions(predicted, asked.benchmark)


def _judged(rows: Rows, path: Path, predicted: Predicted | None, asked: Asked) -> JudgedFile:
    if is_ranking(path, rows.name):
        return ranked(rows, path)
    predicted = predicted or _read(path, asked)
    joined = _joined(predicted, rows, asked)
    if rows.kind == "retrieval":
        todo = "give the scores of all captions and images, as .npy or Parquet"
        what = f"{rows.title} is scored by ranking, and captions rank nothing"
        if rows.known[joined.rows].any() and predicted.form != "coco":
            raise DataError(what, where=path, todo=todo)
        return JudgedFile(path, predicted.form, len(predicted), joined, None, (*predicted.notes, f"{what}; {todo}."))
    judgement = judge(predicted, rows, joined, asked.boxes) if rows.known[joined.rows].any() else None
    notes = predicted.notes
    if rows.kind == EXACT and (near := near_name(rows.task)):
        notes += (f"{rows.task} has no rule of its own here: if {near} is meant, give --benchmark {near}.",)
    if judgement is None and (advice := _what_to_give(predicted, rows)):
        notes += (advice,)
    elsewhere = ""
    if joined.unjoined and (other := _other_set(predicted, rows, asked)) and other.held == other.total:
        elsewhere = other.name
    return JudgedFile(path, predicted.form, len(predicted), joined, judgement, notes, elsewhere)


def _what_to_give(predicted: Predicted, rows: Rows) -> str:
    """Say what would make predictions scored whose rows do not say what is right."""
    if rows.kind != "referring" and (predicted.boxes is not None or predicted.target_boxes is not None):
        return f"Boxes are scored as RefCOCO's are: give --benchmark refcoco:{rows.task}."
    if rows.task in OWN_FILES:
        return f"To score them, give --rows {OWN_FILES[rows.task]}."
    return "To score them, give --rows a file that says what is right, in a field such as answer, label or bbox."


def _joined(predicted: Predicted, rows: Rows, asked: Asked) -> Joined:
    """Join; where the ids are those of another split of the dataset, the error names it."""
    try:
        return join(predicted, rows)
    except DataError:
        if other := _other_set(predicted, rows, asked):
            its = "its ids" if other.held == other.total else f"{other.held:,} of its {other.total:,} ids"
            what = f"{its} are {'those' if other.ids == 'ids' else other.ids} of {other.name}, not of {rows.name}"
            raise DataError(what, where=predicted.path, todo=f"give --benchmark {other.name}") from None
        if rows.name in HELD_OUT and not asked.rows:
            what = f"its predictions do not join with {rows.name}, which is {HELD_OUT_WORDS}"
            raise DataError(what, where=predicted.path, todo=f"give --benchmark {HELD_OUT[rows.name]}") from None
        raise


def _other_set(predicted: Predicted, rows: Rows, asked: Asked) -> Other | None:
    is_other = predicted.ids is not None and not asked.rows and rows.task in TASKS
    return other_set(predicted, rows, asked.data) if is_other else None


def _scored(
    rows: Rows,
    unit: Unit,
    file: JudgedFile,
    saw: Saw | None,
    control: tuple[str, Judgement] | None,
    first: Scored | None,
    asked: Asked,
) -> Scored:
    drawn, groups = (asked.resamples, asked.seed), unit.groups
    joined, judgement = file.joined, file.judgement
    by_row = np.full(len(rows), np.nan)
    task = training = None
    categories: dict[str, dict[str, Estimate | float]] = {}
    with_missing = None
    table = pa.table({})
    reading = file.notes
    if judgement is not None:
        counted = judgement.counted
        by_row[counted] = judgement.scores
        extra = {name: mean(value, drawn) for name, value in judgement.extra.items()}
        if unit.questions is not None:
            extra[CIRCULAR] = mean(circular(unit.questions, judgement), drawn)
        contamination = beside = None
        if saw is not None:
            contamination, beside, training = contrasted(rows, groups, judgement, saw, control, drawn)
        task = TaskScore(
            metric=judgement.metric,
            split=rows.split or rows.task,
            score=estimate(judgement.scores, groups[counted], None, *drawn),
            extra=extra,
            contamination=contamination,
            control=beside,
        )
        categories = by_category(rows, groups, judgement, drawn)
        if joined.missing:
            with_missing = float(judgement.scores.sum() / (len(counted) + joined.missing))
        reading += (*judgement.said, *unit.said)
        chosen = pa.array(counted)
        table = pa.table(
            {
                **{name: rows.table[name].combine_chunks().take(chosen) for name in ("example_id", "images")},
                "score": pa.array(judgement.scores),
                **judgement.columns,
            }
        )
    report = AnswerScores(
        predictions=str(file.path),
        sha256=sha256_of(file.path),
        form=file.form,
        benchmark=rows.name,
        rows_from=rows.origin,
        rows=len(rows),
        unit=unit.name,
        join=_join_report(joined, file.total),
        reading=reading,
        task=task,
        with_missing=with_missing,
        categories=categories,
        training=training,
        against_first=paired(by_row, first.by_row, groups, drawn) if first is not None else None,
        resamples=asked.resamples,
        seed=asked.seed,
    )
    said = in_words(joined, file.total, rows.name)
    if joined.unjoined and rows.name in HELD_OUT and not asked.rows:
        said.append(f"{rows.name} is {HELD_OUT_WORDS}; the official set is {HELD_OUT[rows.name]}.")
    elif file.elsewhere:
        said.append(f"{file.elsewhere} has all of its ids: is that the benchmark?")
    return Scored(report, by_row, said, table)


def _join_report(joined: Joined, total: int) -> JoinReport:
    names = ("by", "checked", "unjoined", "disagreeing", "doubled", "conflicts", "missing", "examples", "refused",
             "elsewhere", "differing")  # fmt: skip
    with_row = len(np.unique(joined.predicted))
    return JoinReport(predictions=total, joined=with_row, **{name: getattr(joined, name) for name in names})
