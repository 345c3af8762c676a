"""Which row of a benchmark each prediction answers.

By ids where a file has them, else by image and question, else by the row number that the file states, and only then by
order, which is said. Whatever joins, it is checked by what else both sides say: the question's text, the image, the
right answer. Ids that lead to other questions are not this benchmark's, as where a kit numbers questions by itself.
Where the same question about the same image stands in several categories, the category decides. Ids of referring
expressions are of sentences, references or objects, see ``refer_ids``.
"""

import numpy as np
import pyarrow.compute as pc

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.words import count, listed
from vlmt_cli.evaluation.answers.expressions import by_refer_ids, of_one_object, said_elsewhere
from vlmt_cli.evaluation.answers.joined import Joined
from vlmt_cli.evaluation.answers.keys import AGREE, NEARLY, numbered
from vlmt_cli.evaluation.answers.predicted import Predicted
from vlmt_cli.evaluation.answers.refer_ids import columns_of
from vlmt_cli.evaluation.answers.rows import Rows
from vlmt_cli.evaluation.answers.sides import Sides, plural


def join(predicted: Predicted, rows: Rows) -> Joined:
    """Find the row of each prediction.

    Raises:
        DataError: none of the ways joins them, or they are in another order, or of another split; or the same questions
            stand in several categories, and it is not said which of them is answered; or ids of referring expressions
            may be of several kinds.
    """
    sides = Sides(predicted, rows)
    refused: list[str] = []
    few: list[Joined] = []
    part: Joined | None = None
    untold: tuple[str, str] | None = None
    if rows.has_refer_ids and columns_of(predicted):
        led, scarce, kinds = by_refer_ids(sides, refused)
        if led:
            return sides.joined(led.at, led.to, led.by, led.checked, led.agrees, refused)
        few = [sides.joined(each.at, each.to, each.by, each.checked, each.agrees, refused) for each in scarce]
        if kinds:
            named = listed([each.partition(",")[0] for each in kinds])
            what = f"has ids that fit {rows.name} as {named}, with different answers, and does not say which they are"
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
            ours, benchmark, only = of_one_object(rows, ours, benchmark)
            if by == "question text" and sides.has_own_ids:
                refused.append(f"{by} contradicts the ids")
                continue
            if by == "question text" and (strange := said_elsewhere(sides.text, sides.row_text)) > 1 - AGREE:
                refused.append(f"{strange:.0%} of the expressions are not in {rows.name}, and no image is named")
                continue
        row = pc.index_in(ours, benchmark)
        with_row = int(len(row) - row.null_count)
        if not with_row:
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
                refused.append(f"{by} leads to other {plural(checked)} in {1 - agrees.mean():.0%} of the rows")
            elif with_row >= NEARLY * min(len(predicted), len(rows)):
                joined = sides.joined(at, to, by + guessed + only, checked, agrees, refused)
                if not only:
                    return joined
                part = part or joined
            else:
                refused.append(f"only {with_row:,} of {len(predicted):,} join by {by}")
                if by != "question text":  # other images may have the same questions
                    few.append(sides.joined(at, to, by + guessed, checked, agrees, refused))
    if part and not sides.is_in_order():
        return part
    if untold:
        raise DataError(untold[0], where=predicted.path, todo=untold[1])
    if few:
        return max(few, key=lambda each: len(each.rows))
    return _by_order(sides, refused)


def _by_order(sides: "Sides", refused: list[str]) -> Joined:
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
        if rows.has_refer_ids:
            todo += "; or name the image, and the expression, in each record"
        reasons = "; ".join(refused) or "it has no ids, and another length"
        raise DataError(f"{what} ({reasons})", where=predicted.path, todo=todo)
    if agrees is not None and agrees.mean() < AGREE:
        differ = f"{1 - agrees.mean():.0%} of its {plural(checked)} differ"
        what = f"is in another order than {rows.name}, or of another split: {differ}"
        todo = ", or name image or sent_id in each record" if rows.has_refer_ids else ""
        raise DataError(what, where=predicted.path, todo=f"give the file as the kit wrote it{todo}")
    return sides.joined(at, at, "order", checked, agrees, refused)
