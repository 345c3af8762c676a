"""Predictions to scores by each benchmark's official rule; the tasks' own rules are those of ``tasks/*/rules.py``.

GQA's answers are compared as they are where they came in GQA's own form; kits' free text loses capitals and the final
full stop first, as the models' authors do before they upload. NLVR2's yes and no are True and False.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.boxes import iou_of_arrays
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.words import count
from vlmt_cli.datasets.table import AMONG_CANDIDATES, TASKS
from vlmt_cli.evaluation.answers import text_boxes
from vlmt_cli.evaluation.answers.joined import Joined
from vlmt_cli.evaluation.answers.keys import AGREE
from vlmt_cli.evaluation.answers.predicted import Predicted
from vlmt_cli.evaluation.answers.rows import EXACT, YES_NO, Rows
from vlmt_cli.tasks.groups import rules_of
from vlmt_cli.tasks.scoring import Measure, ScoreColumn

_NOWHERE = [-2.0, -2.0, -1.0, -1.0]
"""A box that overlaps none: of an answer that has none."""
_UNFAIR = 0.1
"""By how much the share of yes may differ between the joined rows and all."""
_ROUNDING = 1e-6
_LABEL_WORDS = {"yes": "True", "no": "False"}
_PUNCTUATION = re.compile(r"[^\w\s]")


@dataclass(frozen=True)
class Judgement:
    """What M joined predictions score.

    Attributes:
        counted: of which rows, (M,); those with a right answer.
        scores: (M,) from 0 to 1, whose mean is the metric.
        metric: its name.
        extra: further metrics.
        columns: of the M predictions, how they were understood: ``answer``, or ``box`` and ``iou``.
        said: how they were read, in sentences.
    """

    counted: NDArray[np.int64]
    scores: ScoreColumn
    metric: str
    extra: Mapping[str, Measure | float]
    columns: Mapping[str, Any]
    said: tuple[str, ...] = ()


def judge(predicted: Predicted, rows: Rows, joined: Joined, boxes: str = text_boxes.AUTO) -> Judgement:
    """Score the predictions that were joined.

    Args:
        predicted: of the file.
        rows: of the benchmark.
        joined: which goes with which.
        boxes: the convention of boxes; ``auto`` takes what the form says, else what the data show.

    Raises:
        DataError: the benchmark's answers are boxes, and what they mean is not known.
    """
    known = rows.known[joined.rows]
    at, to = joined.predicted[known], joined.rows[known]
    judged = _by_rule(predicted, rows, joined, at, to, boxes)
    return replace(judged, said=(*_unanswered(predicted.answers.take(pa.array(at)), rows), *judged.said))


def _unanswered(answers: pa.Array, rows: Rows) -> tuple[str, ...]:
    """Say how many answers are null or empty, where no other sentence counts them, and how they count."""
    if rows.kind in ("referring", "verification"):
        return ()
    nothing = pc.sum(pc.equal(pc.utf8_trim_whitespace(answers.fill_null("")), ""), min_count=0).as_py()
    if not nothing:
        return ()
    is_pope = rows.kind == YES_NO and rows.task != "mme"
    counts = ("is", "are") if is_pope else ("counts", "count")
    how = "read as yes, by the benchmark's rule" if is_pope else "as wrong"
    what = f"{nothing:,} of {count(len(answers), 'prediction')}"
    return (f"Warning: {what} {'has' if nothing == 1 else 'have'} no answer, and {counts[nothing > 1]} {how}.",)


def _by_rule(
    predicted: Predicted, rows: Rows, joined: Joined, at: NDArray[np.int64], to: NDArray[np.int64], boxes: str
) -> Judgement:
    """Score M predictions by the rule of the benchmark's kind."""
    answers = predicted.answers.take(pa.array(at))
    table = rows.table.take(pa.array(to)).combine_chunks()
    if rows.kind == YES_NO:
        said = _fairness(predicted, rows, joined, to)
        judgement = _yes_no(rows, to, table, answers)
        easier = _yes_no(rows, to, table, _bare_ends(answers))
        return replace(judgement, said=(*said, *_strict(rows, judgement.scores, easier.scores)))
    if rows.kind == EXACT:
        return _exact(to, table, answers)
    said = ()
    if rows.kind == "referring":
        given, said = _of_boxes(predicted, rows, at, to, table, boxes)
    elif rows.kind == "verification":
        given = {"answer": _labels(answers, rows.task)}
        if wrong := sum(each is None for each in given["answer"]):
            said = (f"{count(wrong, 'answer')} that {'is' if wrong == 1 else 'are'} no label, counted as wrong.",)
    else:
        official = predicted.form in ("vqa", "gqa", "vlmt")
        given = {"answer": answers.fill_null("") if official else _short(answers, rows.task)}
    judged = rules_of(rows.task).judge(rows.task, rows.split, table, given)
    if rows.kind == "vqa":
        bare = rules_of(rows.task).judge(rows.task, rows.split, table, {"answer": _bare_ends(answers)})
        said = _strict(rows, judged.scores, bare.scores)
    columns = {name: column for name, column in judged.columns.items() if name in ("answer", "box", "iou", "choice")}
    return Judgement(to[judged.counted], judged.scores, TASKS[rows.task].metric, judged.extra, columns, said)


def _bare_ends(answers: pa.Array) -> pa.Array:
    """Return answers in small letters, without outer blanks and a final period."""
    return pc.utf8_lower(pc.utf8_trim(answers.fill_null(""), " \t\r\n."))


def _strict(rows: Rows, scores: ScoreColumn, easier: ScoreColumn) -> tuple[str, ...]:
    """Say how many answers the benchmark's own rule counts less for capitals, outer blanks or a final period."""
    more = int((easier > scores + _ROUNDING).sum())
    if not more:
        return ()
    what = (
        f"{more:,} of {count(len(scores), 'answer')} would score more without capitals, outer blanks and a final period"
    )
    return (f"{what}: {rows.title}'s own rule takes answers as they are, and so does the score.",)


def _short(answers: pa.Array, task: str) -> pa.Array:
    """Turn free text into an answer; VQA's own normalisation follows in its rule."""
    text = pc.utf8_trim_whitespace(answers.fill_null(""))
    return text if TASKS[task].metric == "VQA accuracy" else pc.utf8_lower(pc.utf8_rtrim(text, "."))


def _labels(answers: pa.Array, task: str) -> list[str | None]:
    """Take answers for labels whatever their case; None for what is no label."""
    names = {label.lower(): label for label in TASKS[task].labels}
    if set(names) == {"true", "false"}:
        names |= _LABEL_WORDS
    words = pc.utf8_lower(pc.utf8_trim(answers.fill_null(""), " \t\r\n.")).dictionary_encode()
    known = [names.get(word) for word in words.dictionary.to_pylist()]
    labels: list[str | None] = pa.array(known, pa.string()).take(words.indices).to_pylist()
    return labels


def says_yes(answers: pa.Array) -> NDArray[np.bool_]:
    """Read N answers as POPE's evaluation does: no where the first sentence has the word No, no or not, else yes."""
    encoded = answers.fill_null("").dictionary_encode()
    words = [text.partition(".")[0].replace(",", "").split(" ") for text in encoded.dictionary.to_pylist()]
    yes = np.array([not {"No", "not", "no"} & set(each) for each in words], bool)
    result: NDArray[np.bool_] = yes[encoded.indices.to_numpy()]
    return result


def _mme_says(answers: pa.Array) -> list[str]:
    """Read N answers as MME's evaluation does: yes or no, by the first four letters, else other."""
    said = []
    for text in pc.utf8_lower(pc.utf8_trim_whitespace(answers.fill_null(""))).to_pylist():
        head = text[:4]
        said.append(text if text in ("yes", "no") else "yes" if "yes" in head else "no" if "no" in head else "other")
    return said


def _yes_no(rows: Rows, to: NDArray[np.int64], table: pa.Table, answers: pa.Array) -> Judgement:
    """Score yes and no: accuracy, with precision, recall, F1 and the share of yes beside it."""
    wanted = pc.equal(table["right"], "yes").to_numpy()
    if rows.task == "mme":
        said = np.array(_mme_says(answers))
        yes, scores = said == "yes", (np.where(wanted, "yes", "no") == said).astype(np.float64)
    else:
        yes = says_yes(answers)
        scores = (yes == wanted).astype(np.float64)
    image = pc.list_element(table["images"].combine_chunks(), 0)
    right = (yes & wanted).astype(np.float64)
    extra: dict[str, Measure | float] = {}
    if yes.any():
        extra["precision"] = Measure(right, image, yes.astype(np.float64))
    if wanted.any():
        extra["recall"] = Measure(right, image, wanted.astype(np.float64))
        # F1 is 2 TP / (2 TP + FP + FN): a mean in which each side that says yes weighs.
        extra["F1"] = Measure(right, image, yes.astype(np.float64) + wanted)
    extra["share of yes"] = Measure(yes.astype(np.float64), image)
    if rows.task == "mme" and pc.count_distinct(image).as_py() < len(image):
        both = np.ones(pc.count_distinct(image).as_py())
        codes = image.dictionary_encode().indices.to_numpy()
        np.minimum.at(both, codes, scores)
        extra["both questions of an image"] = Measure(both)
    columns = {"answer": pa.array(np.where(yes, "yes", "no"))}
    return Judgement(to, scores, "accuracy", extra, columns)


def _fairness(predicted: Predicted, rows: Rows, joined: Joined, to: NDArray[np.int64]) -> tuple[str, ...]:
    """Say where yes is not as often right as in all rows, as where answers are of another category, which shares the
    questions that are answered with yes.

    Raises:
        DataError: so it is, and predictions have no row.
    """
    is_yes = pc.equal(rows.table["right"].combine_chunks(), "yes")
    share, every = pc.mean(is_yes.take(pa.array(to))).as_py(), pc.mean(is_yes).as_py()
    if abs(share - every) <= _UNFAIR:
        return ()
    what = f"yes is right in {share:.0%} of the rows that are answered, and in {every:.0%} of all of {rows.name}"
    lost = joined.unjoined - joined.elsewhere
    if lost > (1 - AGREE) * len(predicted):
        todo = "give --rows the file that was asked, as of POPE's categories, or --questions, which names them"
        raise DataError(f"{count(lost, 'prediction')} have no row, and {what}", where=predicted.path, todo=todo)
    return (f"Warning: this is not a fair sample: {what}.",)


def _exact(to: NDArray[np.int64], table: pa.Table, answers: pa.Array) -> Judgement:
    """Compare texts without case, punctuation and outer blanks, as lmms-eval's exact match does with both flags."""
    ours, right = (_bare(column) for column in (answers.fill_null(""), table["right"].combine_chunks()))
    scores = np.array([mine == theirs for mine, theirs in zip(ours, right, strict=True)], np.float64)
    said = ("Compared without case and punctuation, which need not be the benchmark's own metric.",)
    return Judgement(to, scores, "exact match", {}, {"answer": answers}, said)


def _bare(column: pa.Array) -> list[str]:
    return [_PUNCTUATION.sub("", text.lower()).strip() for text in column.to_pylist()]


def _of_boxes(
    predicted: Predicted,
    rows: Rows,
    at: NDArray[np.int64],
    to: NDArray[np.int64],
    table: pa.Table,
    convention: str,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return boxes in pixels, or chosen candidates, and how they were read."""
    answers = predicted.answers.take(pa.array(at))
    among = rows.task in AMONG_CANDIDATES
    if among and predicted.boxes is None:
        numbers = pc.struct_field(pc.extract_regex(answers, r"^\s*(?P<number>[0-9]{1,6})\s*\.?\s*$"), "number")
        if numbers.null_count < len(numbers) / 2:
            choice = numbers.cast(pa.int32()).fill_null(-1)
            lost = count(numbers.null_count, "answer names", "answers name")
            said = (f"{lost} no candidate, and count as wrong.",) if numbers.null_count else ()
            return {"choice": choice.to_pylist(), "box": [_NOWHERE] * len(at)}, said
    if predicted.boxes is not None:
        corners, is_loc = predicted.boxes[at], False
    else:
        corners, is_loc = text_boxes.boxes_in(answers)
    if not np.isfinite(corners).all(1).any():
        raise DataError("has no boxes", where=predicted.path, todo="look at its answers: boxes are asked for")
    stated = predicted.convention
    if convention == text_boxes.AUTO and stated:
        convention = stated.replace("?", text_boxes.AUTO)
    sizes = _taken(predicted.sizes, at)
    if sizes is None and predicted.form != "vlmt":
        sizes = _taken(rows.find_sizes(), to)
    read = text_boxes.read_boxes(corners, sizes, convention, predicted.path, is_loc)
    if read.shares and not _right_is_shares(table):
        what = f"its boxes are {read.convention}, and the sizes of the images are not known"
        todo = "give a file with width and height to --rows, or put the official files below raw/"
        raise DataError(what, where=predicted.path, todo=todo)
    said = (text_boxes.in_words(read, len(at)),)
    boxes = np.where(np.isfinite(read.corners), read.corners, _NOWHERE)
    if not among:
        return {"box": boxes.tolist()}, said
    options = table["candidates"].combine_chunks()
    choice = [_nearest(box, each) for box, each in zip(boxes, options, strict=True)]
    return {"choice": choice, "box": boxes.tolist()}, (*said, "The candidate that overlaps a box most is chosen.")


def _taken(column: NDArray[np.float64] | None, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
    return None if column is None else column[rows]


def _right_is_shares(table: pa.Table) -> bool:
    right = table["box"].combine_chunks().drop_null().flatten()
    return bool(len(right)) and pc.max(right).as_py() <= 1


def _nearest(box: NDArray[np.float64], candidates: pa.ListScalar) -> int:
    options = np.array(candidates.as_py(), np.float64).reshape(-1, 4)
    overlap = iou_of_arrays(box[None], options)[0] if len(options) else np.zeros(0)
    return int(overlap.argmax()) if len(overlap) and overlap.max() > 0 else -1
