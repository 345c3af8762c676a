"""Which row of a benchmark each prediction answers.

By ids where a file has them, else by image and question, else by the row number that the file states, and only then by
order, which is said. Whatever joins, it is checked by what else both sides say: the question's text, the image, the
right answer. Ids that lead to other questions are no ids of this benchmark, as where a kit numbers questions by itself.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.words import count, printable
from vlmt_cli.evaluation.answers.keys import as_mask, first_line, keys_of_all, numbered, plain, within
from vlmt_cli.evaluation.answers.predicted import Predicted
from vlmt_cli.evaluation.answers.row_files import image_lists
from vlmt_cli.evaluation.answers.rows import EXACT, YES_NO, Rows

AGREE = 0.95
"""What share of the joined predictions must agree with their rows in what both say."""
_NEARLY = 0.5
_EXAMPLES = 3
_BOX = 2.0


@dataclass(frozen=True)
class Joined:
    """M predictions and the rows that they answer.

    Attributes:
        predicted, rows: (M,) each.
        by: what joins them, in words: ``question id``.
        checked: what else agrees; empty where nothing could be compared.
        unjoined: predictions of no row.
        disagreeing: predictions whose row says something else, left out.
        doubled: predictions of a row that an earlier one answers, left out; ``conflicts`` of them answer otherwise.
        missing: rows with a right answer, and without a prediction.
        examples: of predictions without a row, what they say.
        refused: what did not join, and why, in sentences.
    """

    predicted: NDArray[np.int64]
    rows: NDArray[np.int64]
    by: str
    checked: str
    unjoined: int
    disagreeing: int
    doubled: int
    conflicts: int
    missing: int
    examples: tuple[str, ...]
    refused: tuple[str, ...]


def join(predicted: Predicted, rows: Rows) -> Joined:
    """Find the row of each prediction.

    Raises:
        DataError: none of the ways joins them, or they are in another order, or of another split.
    """
    sides = _Sides(predicted, rows)
    refused: list[str] = []
    few: list[Joined] = []
    for by, ours, benchmark in sides.ways():
        if sides.are_copies(ours, benchmark):
            ours, benchmark = numbered(ours), numbered(benchmark)
        row = pc.index_in(ours, benchmark)
        found = int(len(row) - row.null_count)
        if not found:
            refused.append(f"no {by} is one of {rows.name}")
        elif why := sides.is_ambiguous(ours, benchmark, row):
            refused.append(f"{by} does not tell rows apart: {why}")
        else:
            at = np.flatnonzero(row.is_valid().to_numpy(zero_copy_only=False))
            to = row.drop_null().to_numpy().astype(np.int64)
            agrees, checked = sides.agree(at, to, by)
            if agrees is not None and agrees.mean() < AGREE:
                refused.append(f"{by} leads to other {_plural(checked)} in {1 - agrees.mean():.0%} of the rows")
            elif found >= _NEARLY * min(len(predicted), len(rows)):
                return sides.joined(at, to, by, checked, agrees, refused)
            else:
                refused.append(f"only {found:,} of {len(predicted):,} join by {by}")
                if by != "question text":  # other images may have the same questions
                    few.append(sides.joined(at, to, by, checked, agrees, refused))
    if few:
        return max(few, key=lambda each: len(each.rows))
    return _by_order(sides, refused)


def _by_order(sides: "_Sides", refused: list[str]) -> Joined:
    """Take predictions in the benchmark's order, where nothing in the file says another one."""
    predicted, rows = sides.predicted, sides.rows
    at = np.arange(len(rows))
    agrees, checked = sides.agree(at, at, "order") if len(predicted) == len(rows) else (None, "")
    if len(predicted) != len(rows) or (refused and agrees is None):
        what = f"its {count(len(predicted), 'prediction')} do not join with the {len(rows):,} rows of {rows.name}"
        todo = "name another split with --benchmark, or give the file with its rows to --rows"
        reasons = "; ".join(refused) or "it has no ids, and another length"
        raise DataError(f"{what} ({reasons})", where=predicted.path, todo=todo)
    if agrees is not None and agrees.mean() < AGREE:
        differ = f"{1 - agrees.mean():.0%} of its {_plural(checked)} differ"
        what = f"is in another order than {rows.name}, or of another split: {differ}"
        raise DataError(what, where=predicted.path, todo="give the file as the kit wrote it")
    return sides.joined(at, at, "order", checked, agrees, refused)


def _plural(noun: str) -> str:
    return f"{noun}es" if noun.endswith("x") else f"{noun}s"


class _Sides:
    """Predictions and rows, with the keys that either has, made once."""

    def __init__(self, predicted: Predicted, rows: Rows) -> None:
        self.predicted, self.rows = predicted, rows
        table = rows.table
        self._text = None if predicted.texts is None else first_line(predicted.texts)
        self._row_text = first_line(table["text"].combine_chunks())
        self._row_image = pc.list_element(table["images"].combine_chunks(), 0)
        self._image = None
        if predicted.images is not None:
            lists = image_lists(predicted.images, rows.task, pa.nulls(len(predicted), pa.string()), predicted.images)
            self._image = lists.flatten()

    def ways(self) -> Any:
        """Yield ways to join: what in words, N keys of the predictions, and M of the rows."""
        table, predicted = self.rows.table, self.predicted
        ids = table["example_id"].combine_chunks()
        if predicted.ids is not None:
            yield "question id", predicted.ids, ids
            bare = [pc.utf8_ltrim(each, "0") for each in (predicted.ids, ids)]
            if not (bare[0].equals(predicted.ids) and bare[1].equals(ids)):
                yield "question id without leading zeros", *bare
            if self._text is not None:
                yield "question id and text", keys_of_all(predicted.ids, self._text), keys_of_all(ids, self._row_text)
        if self._text is not None:
            if self._image is not None and "category" in table.column_names and predicted.categories is not None:
                theirs = table["category"].combine_chunks()
                yield (
                    "category, image and question",
                    keys_of_all(predicted.categories, self._image, self._text),
                    keys_of_all(theirs, self._row_image, self._row_text),
                )
            if self._image is not None:
                yield (
                    "image and question",
                    keys_of_all(self._image, self._text),
                    keys_of_all(self._row_image, self._row_text),
                )
        if predicted.rows is not None:
            yield "row number", pa.array(predicted.rows), pa.array(np.arange(len(self.rows)))
        if self._text is not None:
            yield "question text", self._text, self._row_text
        if self._image is not None and self._text is None:
            yield "image", self._image, self._row_image

    def is_ambiguous(self, ours: pa.Array, benchmark: pa.Array, row: pa.Array) -> str:
        """Say why equal keys do not mean one row; nothing where they do."""
        used = pc.is_in(benchmark, value_set=ours).to_numpy(zero_copy_only=False)
        distinct = pc.count_distinct(benchmark.filter(pa.array(used))).as_py()
        if twice := int(used.sum()) - distinct:
            return f"{twice:,} rows of {self.rows.name} share theirs with another"
        known = ours.filter(row.is_valid())
        again = len(known) - pc.count_distinct(known).as_py()
        if again <= (1 - AGREE) * len(known) or self._text is None:
            return ""
        with_text = pc.count_distinct(keys_of_all(known.cast(pa.string()), self._text.filter(row.is_valid()))).as_py()
        return f"{again:,} predictions share theirs with another question" if with_text > len(known) - again else ""

    def are_copies(self, ours: pa.Array, benchmark: pa.Array) -> bool:
        """Whether rows with equal keys ask the same of the same image, and have the same right answer, as POPE's do in
        several categories: then it does not matter which of them a prediction answers."""
        if self.rows.kind not in (YES_NO, EXACT) or pc.count_distinct(benchmark).as_py() == len(benchmark):
            return False
        chosen = pa.array(np.flatnonzero(pc.is_in(benchmark, value_set=ours).to_numpy(zero_copy_only=False)))
        right = pc.coalesce(self.rows.table["right"].combine_chunks().take(chosen), "")
        keys = benchmark.take(chosen)
        asked = keys_of_all(keys, self._row_image.take(chosen), self._row_text.take(chosen), right)
        return bool(pc.count_distinct(asked).as_py() == pc.count_distinct(keys).as_py())

    def agree(self, at: NDArray[np.int64], to: NDArray[np.int64], by: str) -> tuple[NDArray[np.bool_] | None, str]:
        """Say of M joined pairs whether what both sides say agrees, and what that is; None where nothing compares."""
        ours, theirs = pa.array(at), pa.array(to)
        if self._text is not None and "question" not in by.removeprefix("question id") and "text" not in by:
            texts, asked = self._text.take(ours), self._row_text.take(theirs)
            same = pc.equal(texts, asked)
            if same.null_count < len(same):
                assert self.predicted.texts is not None
                return within(same, self.predicted.texts.take(ours), asked), "question"
        if self._image is not None and "image" not in by:
            same = pc.equal(self._image.take(ours), self._row_image.take(theirs))
            if same.null_count < len(same):
                return as_mask(same), "image"
        if self.predicted.target_boxes is not None and "box" in self.rows.table.column_names:
            return self._same_boxes(at, to), "right box"
        if self.predicted.targets is not None and self.rows.kind in (YES_NO, EXACT):
            same = pc.equal(plain(self.predicted.targets.take(ours)), plain(self.rows.table["right"].take(theirs)))
            if same.null_count < len(same):
                return as_mask(same), "right answer"
        if self.predicted.targets is not None and "answers" in self.rows.table.column_names:
            said = self.rows.table["answers"].combine_chunks().take(theirs)
            first = pc.list_element(said.filter(pc.greater(pc.list_value_length(said), 0)), 0)
            if len(first) == len(ours):
                listed = pc.equal(plain(self.predicted.targets.take(ours)), plain(first))
                return as_mask(listed), "right answer"
        return None, ""

    def _same_boxes(self, at: NDArray[np.int64], to: NDArray[np.int64]) -> NDArray[np.bool_]:
        boxes = self.rows.table["box"].combine_chunks().take(pa.array(to))
        known = boxes.is_valid().to_numpy(zero_copy_only=False)
        right = np.full((len(to), 4), np.nan)
        right[known] = boxes.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
        assert self.predicted.target_boxes is not None
        ours = self.predicted.target_boxes[at]
        sizes = self.predicted.sizes[at] if self.predicted.sizes is not None else None
        if np.nanmax(ours, initial=0) <= 1 and np.nanmax(right, initial=0) > 1 and sizes is not None:
            ours = ours * np.tile(sizes, 2)
        differ = np.abs(ours - right).max(1, initial=0)
        return np.asarray(~(differ > _BOX))  # a box that is not known differs from none

    def joined(
        self,
        at: NDArray[np.int64],
        to: NDArray[np.int64],
        by: str,
        checked: str,
        agrees: NDArray[np.bool_] | None,
        refused: list[str],
    ) -> Joined:
        """Leave out what disagrees and what is doubled, and count what is missing."""
        disagreeing = 0 if agrees is None else int((~agrees).sum())
        if agrees is not None:
            at, to = at[agrees], to[agrees]
        first = np.sort(np.unique(to, return_index=True)[1])
        again = np.setdiff1d(np.arange(len(to)), first, assume_unique=True)
        conflicts = 0
        if len(again):
            answer_of = dict(zip(to[first].tolist(), at[first].tolist(), strict=True))
            earlier = [answer_of[each] for each in to[again].tolist()]
            answers = self.predicted.answers
            same = pc.equal(answers.take(pa.array(earlier)), answers.take(pa.array(at[again])))
            conflicts = len(again) - int(pc.sum(same.fill_null(True), min_count=0).as_py())
        doubled = len(again)
        kept = np.zeros(len(self.predicted), bool)
        kept[at] = True
        lost = np.flatnonzero(~kept)
        at, to = at[first], to[first]
        answered = np.zeros(len(self.rows), bool)
        answered[to] = True
        return Joined(
            predicted=at,
            rows=to,
            by=by,
            checked=checked,
            unjoined=len(lost) - disagreeing,
            disagreeing=disagreeing,
            doubled=doubled,
            conflicts=conflicts,
            missing=int((self.rows.known & ~answered).sum()),
            examples=tuple(self._described(number) for number in lost[:_EXAMPLES].tolist()),
            refused=tuple(refused),
        )

    def _described(self, number: int) -> str:
        """Name one prediction by what it says of its question."""
        said = []
        for column in (self.predicted.ids, self.predicted.categories, self.predicted.images, self._text):
            if column is not None and (value := column[number].as_py()) is not None:
                said.append(printable(value, 60))
        return f"prediction {number} ({', '.join(said)})" if said else f"prediction {number}"


def in_words(joined: Joined, predicted: int, name: str) -> list[str]:
    """Say in sentences how predictions were joined, and what could not be."""
    by = "by order alone, as nothing in the file says which row a prediction answers" if joined.by == "order" else (
        f"by {joined.by}")  # fmt: skip
    check = f"; the {joined.checked} agrees" if joined.checked else ""
    said = [f"{len(joined.rows):,} of {count(predicted, 'prediction')} joined with {name} {by}{check}."]
    if joined.unjoined:
        examples = "; ".join(joined.examples)
        said.append(f"Without a row: {count(joined.unjoined, 'prediction')}, such as {examples}.")
    if joined.disagreeing:
        said.append(f"Left out, as the {joined.checked} differs: {count(joined.disagreeing, 'prediction')}.")
    if joined.doubled:
        otherwise = f", {joined.conflicts:,} of them with another answer" if joined.conflicts else ""
        said.append(f"Answered again: {count(joined.doubled, 'row')}{otherwise}; the first answer counts.")
    if joined.missing:
        said.append(f"Without a prediction: {count(joined.missing, 'row')} with a right answer.")
    return said
