"""Which row of a benchmark each prediction answers.

By ids where a file has them, else by image and question, else by the row number that the file states, and only then by
order, which is said. Whatever joins, it is checked by what else both sides say: the question's text, the image, the
right answer. Ids that lead to other questions are no ids of this benchmark, as where a kit numbers questions by itself.
Where the same question about the same image stands in several categories, the category decides. Ids of referring
expressions are of sentences, references or objects, see ``refer_ids``.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.words import count, listed, printable
from vlmt_cli.evaluation.answers.categories import KNOWN, categories_of, recur
from vlmt_cli.evaluation.answers.joined import Joined
from vlmt_cli.evaluation.answers.keys import (
    AGREE,
    NEARLY,
    as_mask,
    first_line,
    keys_of_all,
    numbered,
    plain,
    within,
)
from vlmt_cli.evaluation.answers.predicted import Predicted
from vlmt_cli.evaluation.answers.refer_ids import Led, choose, columns_of, leads
from vlmt_cli.evaluation.answers.row_files import image_lists
from vlmt_cli.evaluation.answers.rows import EXACT, YES_NO, Rows

_EXAMPLES = 3
_BOX = 2.0
_RECURRING = ("question id and text", "image and question", "question text")
"""Ways whose keys may stand in several categories."""


def join(predicted: Predicted, rows: Rows) -> Joined:
    """Find the row of each prediction.

    Raises:
        DataError: none of the ways joins them, or they are in another order, or of another split; or the same questions
            stand in several categories, and it is not said which of them is answered; or ids of referring expressions
            may be of several kinds.
    """
    sides = _Sides(predicted, rows)
    refused: list[str] = []
    few: list[Joined] = []
    part: Joined | None = None
    untold: tuple[str, str] | None = None
    if rows.has_refer_ids and columns_of(predicted):
        led, scarce, kinds = sides.by_refer_ids(refused)
        if led:
            return sides.joined(led.at, led.to, led.by, led.checked, led.agrees, refused)
        few = [sides.joined(each.at, each.to, each.by, each.checked, each.agrees, refused) for each in scarce]
        if kinds:
            what = (
                f"has ids that fit {rows.name} as {listed([each.partition(',')[0] for each in kinds])}, with different"
            )
            what += " answers, and nothing beside them says which they are"
            untold = what, "name their field sent_id, ref_id or ann_id, or add the image's name and the expression"
    for by, ours, benchmark in sides.ways():
        if said := sides.of_untold_category(by, ours, benchmark):
            untold = untold or said
            refused.append(f"{by} does not tell categories apart")
            continue
        guessed = ""
        if sides.are_copies(ours, benchmark):
            ours, benchmark = numbered(ours), numbered(benchmark)
            guessed = ", and in each of their categories by order" if sides.is_category_guessed else ""
        only = ""
        if rows.kind == "referring" and "question" in by:
            ours, benchmark, only = sides.of_one_object(ours, benchmark)
            if by == "question text" and sides.has_own_ids:
                refused.append(f"{by} contradicts the ids")
                continue
            if by == "question text" and (strange := sides.said_elsewhere()) > 1 - AGREE:
                refused.append(f"{strange:.0%} of the expressions are none of {rows.name}, and no image is named")
                continue
        row = pc.index_in(ours, benchmark)
        found = int(len(row) - row.null_count)
        if not found:
            refused.append(f"no {by} is one of {rows.name}")
        elif why := sides.is_ambiguous(ours, benchmark, row):
            refused.append(f"{by} does not tell rows apart: {why}")
        elif by == "question id and text" and (strange := sides.asked_otherwise(row)) > 1 - AGREE:
            refused.append(f"{by} leads to other questions in {strange:.0%} of the rows")
        else:
            at = np.flatnonzero(row.is_valid().to_numpy(zero_copy_only=False))
            to = row.drop_null().to_numpy().astype(np.int64)
            agrees, checked = sides.agree(at, to, by)
            if agrees is not None and agrees.mean() < AGREE:
                refused.append(f"{by} leads to other {_plural(checked)} in {1 - agrees.mean():.0%} of the rows")
            elif found >= NEARLY * min(len(predicted), len(rows)):
                joined = sides.joined(at, to, by + guessed + only, checked, agrees, refused)
                if not only:
                    return joined
                part = part or joined
            else:
                refused.append(f"only {found:,} of {len(predicted):,} join by {by}")
                if by != "question text":  # other images may have the same questions
                    few.append(sides.joined(at, to, by + guessed, checked, agrees, refused))
    if part and not sides.is_in_order():
        return part
    if untold:
        raise DataError(untold[0], where=predicted.path, todo=untold[1])
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
        if sides.can_be_asked:
            asked = "give --questions the file that was asked, which names the image of each question"
            todo = asked if any(" to other questions" in each for each in refused) else f"{asked}; or {todo}"
        reasons = "; ".join(refused) or "it has no ids, and another length"
        raise DataError(f"{what} ({reasons})", where=predicted.path, todo=todo)
    if agrees is not None and agrees.mean() < AGREE:
        differ = f"{1 - agrees.mean():.0%} of its {_plural(checked)} differ"
        what = f"is in another order than {rows.name}, or of another split: {differ}"
        todo = ", or name image or sent_id in each record" if rows.has_refer_ids else ""
        raise DataError(what, where=predicted.path, todo=f"give the file as the kit wrote it{todo}")
    return sides.joined(at, at, "order", checked, agrees, refused)


def _plural(noun: str) -> str:
    return f"{noun}es" if noun.endswith("x") else f"{noun.removesuffix('y')}ies" if noun.endswith("y") else f"{noun}s"


def _same_source(images: pa.Array, others: pa.Array) -> pa.Array:
    """Whether N keys of images are of the same source, and not mere names or numbers of rows."""
    ours, theirs = (pc.replace_substring_regex(each, ":.*", "") for each in (images, others))
    return pc.and_(pc.equal(ours, theirs), pc.invert(pc.is_in(ours, value_set=pa.array(["name", "row"]))))


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
        if self._text is None or self.rows.kind not in (YES_NO, EXACT):
            return False
        ours, table = self.predicted.categories, self.rows.table
        if ours is not None and self._image is not None and recur(keys_of_all(self._image, self._text), ours):
            return True
        theirs = table["category"].combine_chunks() if "category" in table.column_names else None
        return theirs is not None and recur(keys_of_all(self._row_image, self._row_text), theirs)

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

    def by_refer_ids(self, refused: list[str]) -> tuple[Led | None, list[Led], list[str]]:
        """Choose among the kinds of ids that referring expressions have; ``refused`` gets what does not join."""
        ids = self.rows.table["example_id"].combine_chunks()
        columns = columns_of(self.predicted)
        box = self.rows.table["box"].combine_chunks() if "box" in self.rows.table.column_names else None
        of_rows = self.rows.find_ids() if columns.keys() != {"sent_id"} or self.rows.raw is None else {"sent_id": ids}
        said = list(leads(self.predicted, self.rows.name, of_rows, ids, self._row_text, self.agree))
        led = [each for each in said if not isinstance(each, str)]
        chosen = choose(led, box)
        self.has_own_ids = any(each.is_stated and each.fits for each in led)
        refused += [each for each in said if isinstance(each, str)]
        refused += [
            f"{each.by} leads to other {_plural(each.checked)} in {1 - each.agrees.mean():.0%} of the rows"
            for each in led
            if each.agrees is not None and each.agrees.mean() < AGREE
        ]
        refused += [f"only {each.found:,} of {len(self.predicted):,} join by {each.by}" for each in chosen[1]]
        refused += [f"{each.by} contradicts the other ids of the file" for each in led if each.is_contradicted]
        return chosen

    def of_one_object(self, ours: pa.Array, benchmark: pa.Array) -> tuple[pa.Array, pa.Array, str]:
        """Leave out the keys that mean several objects, and number those that mean one several times.

        Returns:
            N and M keys, null where they are left out, and what to say of it.
        """
        table = self.rows.table
        if pc.count_distinct(benchmark).as_py() == len(benchmark) or "box" not in table.column_names:
            return ours, benchmark, ""
        keys, boxes = benchmark.to_pylist(), table["box"].combine_chunks().to_pylist()
        images = self._row_image.to_pylist()
        meant: dict[str, tuple[str, Any]] = {}
        several = {
            key
            for key, image, box in zip(keys, images, boxes, strict=True)
            if key is not None and meant.setdefault(key, (image, box)) != (image, box)
        }
        left_out = pa.array(sorted(several), pa.string())
        ours, benchmark = (
            pc.if_else(pc.is_in(each, value_set=left_out), None, numbered(each)) for each in (ours, benchmark)
        )
        # A null of the rows would be that of the predictions.
        alone = pc.binary_join_element_wise("\x1e", pa.array(np.arange(len(benchmark))).cast(pa.string()), "")
        return ours, pc.coalesce(benchmark, alone), ", where that means one object" if several else ""

    def said_elsewhere(self) -> float:
        """Return the share of expressions that the other side does not have, of the side that has fewer such."""
        sides = [(self._text, self._row_text), (self._row_text, self._text)]
        return min(1 - float(pc.mean(pc.is_in(ours, value_set=theirs)).as_py()) for ours, theirs in sides)

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
            bare = [pc.utf8_ltrim(each, "0") for each in (predicted.ids, ids)]
            if not (bare[0].equals(predicted.ids) and bare[1].equals(ids)):
                yield "question id without leading zeros", *bare
            if self._text is not None:
                yield "question id and text", keys_of_all(predicted.ids, self._text), keys_of_all(ids, self._row_text)
        if self._text is not None:
            if self._image is not None and self._category is not None:
                yield (
                    "category, image and question",
                    keys_of_all(self._category, self._image, self._text),
                    keys_of_all(self._row_category, self._row_image, self._row_text),
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
        compared: dict[str, NDArray[np.bool_]] = {}
        if self._text is not None and "question" not in by.removeprefix("question id") and "text" not in by:
            texts, asked = self._text.take(ours), self._row_text.take(theirs)
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
            answers = self.predicted.answers
            same = pc.equal(answers.take(pa.array(earlier)), answers.take(pa.array(at[again])))
            conflicts = len(again) - int(pc.sum(same.fill_null(True), min_count=0).as_py())
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
        for column in (self.predicted.ids, self.predicted.categories, self.predicted.images, self._text):
            if column is not None and (value := column[number].as_py()) is not None:
                said.append(printable(value, 60))
        return f"prediction {number} ({', '.join(said)})" if said else f"prediction {number}"
