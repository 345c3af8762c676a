"""Predictions and the rows of a benchmark side by side: keys that either has, and whether what both say agrees."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.keys import sources_of_keys
from vlmt_cli.base.words import count, listed, printable
from vlmt_cli.evaluation.answers.categories import KNOWN, categories_of, recur
from vlmt_cli.evaluation.answers.joined import Joined
from vlmt_cli.evaluation.answers.keys import AGREE, as_mask, first_line, keys_of_all, plain, within, without_zeros
from vlmt_cli.evaluation.answers.predicted import Predicted
from vlmt_cli.evaluation.answers.row_files import image_lists
from vlmt_cli.evaluation.answers.rows import EXACT, YES_NO, Rows

_EXAMPLES = 3
_BOX = 2.0
_RECURRING = ("question id and text", "image and question", "question text")
"""Ways whose keys may stand in several categories."""


def plural(noun: str) -> str:
    """Return a noun's plural."""
    return f"{noun}es" if noun.endswith("x") else f"{noun.removesuffix('y')}ies" if noun.endswith("y") else f"{noun}s"


def _same_source(images: pa.Array, others: pa.Array) -> pa.Array:
    """Whether N keys of images are of the same source, and not mere names or numbers of rows."""
    ours, theirs = sources_of_keys(images), sources_of_keys(others)
    return pc.and_(pc.equal(ours, theirs), pc.invert(pc.is_in(ours, value_set=pa.array(["name", "row"]))))


class Sides:
    """Predictions and rows, with the keys that either has, made once."""

    def __init__(self, predicted: Predicted, rows: Rows) -> None:
        self.predicted, self.rows = predicted, rows
        table = rows.table
        self.text = None if predicted.texts is None else first_line(predicted.texts)
        self.row_text = first_line(table["text"].combine_chunks())
        self._row_image = pc.list_element(table["images"].combine_chunks(), 0)
        self._image = None
        if predicted.images is not None:
            lists = image_lists(predicted.images, rows.task, pa.nulls(len(predicted), pa.string()), predicted.images)
            self._image = lists.flatten()
        self._category = self._row_category = None
        self.has_own_ids = False
        """Whether ids whose field says their kind lead to rows of the benchmark."""
        self._recurs = self._do_questions_recur()
        if predicted.categories is not None and (self._recurs or rows.task in KNOWN):
            named = plain(predicted.categories)
            told = categories_of(rows, named)
            if told is not None:
                self._category, self._row_category = named, told

    def _do_questions_recur(self) -> bool:
        """Whether either side has the same question about the same image in several categories."""
        if self.text is None or self.rows.kind not in (YES_NO, EXACT):
            return False
        ours, table = self.predicted.categories, self.rows.table
        if ours is not None and self._image is not None and recur(keys_of_all(self._image, self.text), ours):
            return True
        theirs = table["category"].combine_chunks() if "category" in table.column_names else None
        return theirs is not None and recur(keys_of_all(self._row_image, self.row_text), theirs)

    def of_untold_category(self, by: str, ours: pa.Array, benchmark: pa.Array) -> tuple[str, str] | None:
        """Say that keys recur in several categories of which one side names none, and what to do; None where it is
        told, or where as many predictions as rows have each key, so that all of them are answered."""
        if not self._recurs or self._category is not None or by not in _RECURRING:
            return None
        asked, answered = (each.drop_null().value_counts() for each in (benchmark, ours))
        at = pc.index_in(asked.field("values"), value_set=answered.field("values"))
        rows = asked.field("counts").filter(at.is_valid()).to_numpy()
        predictions = answered.field("counts").take(at.drop_null()).to_numpy()
        if (rows != predictions).sum() <= (1 - AGREE) * len(rows):
            return None
        if self.predicted.categories is None:
            what = f"does not say of which category its answers are, and {self.rows.name} asks the same in several"
            return what, "give --questions with their categories, or --rows the file of their category alone"
        names = self.predicted.categories.drop_null().unique().to_pylist()
        what = f"asks the same about the same image in {count(len(names), 'category', 'categories')}"
        named = f"{self.rows.task}_{names[0]}.json"
        return (
            f"{what}, and it is not said which of them the rows of {self.rows.name} are of",
            f"name the file of --rows after its category, as {printable(named)}, or give the files of all",
        )

    @property
    def can_be_asked(self) -> bool:
        """Whether a file of questions could tell which image each prediction is about, as its ids alone do not."""
        named = pc.invert(pc.starts_with(self._row_image, "row:"))
        return self.predicted.ids is not None and self._image is None and bool(pc.any(named, min_count=0).as_py())

    @property
    def is_category_guessed(self) -> bool:
        """Whether rows have categories, and predictions of the same question do not say theirs."""
        return self._category is None and "category" in self.rows.table.column_names

    def asked_otherwise(self, row: pa.Array) -> float:
        """Return the share of predictions that the question differs in, of those whose id the benchmark has."""
        has_id = pc.is_in(self.predicted.ids, value_set=self.rows.table["example_id"].combine_chunks())
        ids = int(pc.sum(has_id, min_count=0).as_py())
        return 1 - (len(row) - row.null_count) / ids if ids else 0.0

    def is_in_order(self) -> bool:
        """Whether predictions and rows say the same in their order."""
        if len(self.predicted) != len(self.rows):
            return False
        at = np.arange(len(self.rows))
        agrees, _ = self.agree(at, at, "order")
        return agrees is not None and bool(agrees.mean() >= AGREE)

    def ways(self) -> Any:
        """Yield ways to join: what in words, N keys of the predictions, and M of the rows."""
        table, predicted = self.rows.table, self.predicted
        ids = table["example_id"].combine_chunks()
        if predicted.ids is not None and not self.rows.has_refer_ids:
            yield "question id", predicted.ids, ids
            bare = [without_zeros(each) for each in (predicted.ids, ids)]
            if not (bare[0].equals(predicted.ids) and bare[1].equals(ids)):
                yield "question id without leading zeros", *bare
            if self.text is not None:
                yield "question id and text", keys_of_all(predicted.ids, self.text), keys_of_all(ids, self.row_text)
        if self.text is not None:
            if self._image is not None and self._category is not None:
                yield (
                    "category, image and question",
                    keys_of_all(self._category, self._image, self.text),
                    keys_of_all(self._row_category, self._row_image, self.row_text),
                )
            if self._image is not None:
                yield (
                    "image and question",
                    keys_of_all(self._image, self.text),
                    keys_of_all(self._row_image, self.row_text),
                )
        if predicted.rows is not None:
            yield "row number", pa.array(predicted.rows), pa.array(np.arange(len(self.rows)))
        if self.text is not None:
            yield "question text", self.text, self.row_text
        if self._image is not None and self.text is None:
            yield "image", self._image, self._row_image

    def is_ambiguous(self, ours: pa.Array, benchmark: pa.Array, row: pa.Array) -> str:
        """Say why equal keys do not mean one row; nothing where they do."""
        used = pc.is_in(benchmark, value_set=ours).to_numpy(zero_copy_only=False)
        distinct = pc.count_distinct(benchmark.filter(pa.array(used))).as_py()
        if twice := int(used.sum()) - distinct:
            return f"{count(twice, 'row')} of {self.rows.name} {'has' if twice == 1 else 'have'} that of another row"
        known = ours.filter(row.is_valid())
        again = len(known) - pc.count_distinct(known).as_py()
        if again <= (1 - AGREE) * len(known) or self.text is None:
            return ""
        with_text = pc.count_distinct(keys_of_all(known.cast(pa.string()), self.text.filter(row.is_valid()))).as_py()
        if with_text == len(known) - again:
            return ""
        return f"{count(again, 'prediction')} {'has' if again == 1 else 'have'} that of another question"

    def are_copies(self, ours: pa.Array, benchmark: pa.Array) -> bool:
        """Whether rows with equal keys ask the same of the same image, and have the same right answer, as POPE's do in
        several categories: then it does not matter which of them a prediction answers."""
        if self.rows.kind not in (YES_NO, EXACT) or pc.count_distinct(benchmark).as_py() == len(benchmark):
            return False
        chosen = pa.array(np.flatnonzero(pc.is_in(benchmark, value_set=ours).to_numpy(zero_copy_only=False)))
        right = pc.coalesce(self.rows.table["right"].combine_chunks().take(chosen), "")
        keys = benchmark.take(chosen)
        asked = keys_of_all(keys, self._row_image.take(chosen), self.row_text.take(chosen), right)
        return bool(pc.count_distinct(asked).as_py() == pc.count_distinct(keys).as_py())

    def agree(self, at: NDArray[np.int64], to: NDArray[np.int64], by: str) -> tuple[NDArray[np.bool_] | None, str]:
        """Say of M joined pairs whether what both sides say agrees, and what that is; None where nothing compares."""
        ours, theirs = pa.array(at), pa.array(to)
        compared: dict[str, NDArray[np.bool_]] = {}
        if self.text is not None and "question" not in by.removeprefix("question id") and "text" not in by:
            texts, asked = self.text.take(ours), self.row_text.take(theirs)
            same = pc.equal(texts, asked)
            if same.null_count < len(same):
                assert self.predicted.texts is not None
                compared["question"] = within(same, self.predicted.texts.take(ours), asked)
        if self._image is not None and "image" not in by:
            images, shown = self._image.take(ours), self._row_image.take(theirs)
            same = pc.equal(images, shown)
            if compared:  # names of which one tells no source may be those of the same image
                same = pc.if_else(_same_source(images, shown), same, None)
            if same.null_count < len(same):
                compared["image"] = as_mask(same)
        if self._category is not None and self._row_category is not None and "category" not in by:
            same = pc.equal(self._category.take(ours), self._row_category.take(theirs))
            if same.null_count < len(same):
                compared["category"] = as_mask(same)
        if compared:
            # Of several, what differs most is named where they refuse.
            worst = min(compared, key=lambda name: compared[name].mean())
            agrees = np.logical_and.reduce(list(compared.values()))
            return agrees, listed(list(compared)) if agrees.mean() >= AGREE else worst
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
                among = pc.equal(plain(self.predicted.targets.take(ours)), plain(first))
                return as_mask(among), "right answer"
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
        disagreeing = at[:0] if agrees is None else np.setdiff1d(at[~agrees], at[agrees])
        if agrees is not None:
            at, to = at[agrees], to[agrees]
        first = np.sort(np.unique(to, return_index=True)[1])
        again = np.setdiff1d(np.arange(len(to)), first, assume_unique=True)
        conflicts = 0
        if len(again):
            answer_of = dict(zip(to[first].tolist(), at[first].tolist(), strict=True))
            earlier = [answer_of[each] for each in to[again].tolist()]
            conflicts = int((~self._answer_alike(np.array(earlier), at[again])).sum())
        doubled = len(again)
        lost = np.setdiff1d(np.arange(len(self.predicted)), np.concatenate([at, disagreeing]))
        strange = self._is_strange(lost)
        at, to = at[first], to[first]
        answered = np.zeros(len(self.rows), bool)
        answered[to] = True
        return Joined(
            predicted=at,
            rows=to,
            by=by,
            checked=checked,
            unjoined=len(lost),
            disagreeing=len(disagreeing),
            doubled=doubled,
            conflicts=conflicts,
            missing=int((self.rows.known & ~answered).sum()),
            examples=self._described(lost[strange]),
            differing=self._described(disagreeing),
            refused=tuple(refused),
            elsewhere=int((~strange).sum()),
        )

    def _answer_alike(self, some: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the first and the second of each pair of predictions answer the same."""
        answers, boxes = self.predicted.answers, self.predicted.boxes
        ours, theirs = (answers.take(pa.array(each)) for each in (some, others))
        same = pc.or_(pc.equal(ours, theirs).fill_null(False), pc.and_(ours.is_null(), theirs.is_null()))
        alike: NDArray[np.bool_] = same.to_numpy(zero_copy_only=False)
        if boxes is None:
            return alike
        return np.asarray(
            alike & ((boxes[some] == boxes[others]) | np.isnan(boxes[some]) & np.isnan(boxes[others])).all(1)
        )

    def _is_strange(self, lost: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether a row might be expected of predictions that have none: those of other categories have no row here."""
        if self._category is None or self._row_category is None:
            return np.ones(len(lost), bool)
        here = self._row_category.drop_null().unique()
        category = self._category.take(pa.array(lost))
        is_here = pc.or_(pc.is_in(category, value_set=here), category.is_null())
        strange: NDArray[np.bool_] = is_here.to_numpy(zero_copy_only=False)
        return strange

    def _described(self, numbers: NDArray[np.int64]) -> tuple[str, ...]:
        """Name the first of some predictions by what they say of their questions."""
        return tuple(self._described_one(number) for number in numbers[:_EXAMPLES].tolist())

    def _described_one(self, number: int) -> str:
        said = []
        for column in (self.predicted.ids, self.predicted.categories, self.predicted.images, self.text):
            if column is not None and (value := column[number].as_py()) is not None:
                said.append(printable(value, 60))
        return f"prediction {number} ({', '.join(said)})" if said else f"prediction {number}"
