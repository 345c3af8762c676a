"""The file of questions that answers are of: it says which image each one is about, and of which category it is."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.errors import DataError
from vlmt_cli.evaluation.answers.keys import AGREE, first_line, keys_of_all, within
from vlmt_cli.evaluation.answers.predicted import Predicted
from vlmt_cli.evaluation.answers.records import read_records, strings

_IDS = ("question_id", "questionId", "id")


def with_questions(predicted: Predicted, path: Path) -> Predicted:
    """Add images, categories and texts to predictions that name only their question's id.

    Ids may repeat, as MME's do, whose two questions about an image share one: then id and text go together.

    Raises:
        DataError: it is not a file of questions, has none of the predictions' ids, or asks something else by them.
    """
    records = read_records(path)
    ids, texts = strings(records, _IDS), strings(records, ("text", "question"))
    if ids is None or predicted.ids is None:
        lacking = path if ids is None else predicted.path
        raise DataError("has no question ids", where=lacking, todo="leave --questions out")
    ours, theirs = predicted.ids, ids
    if pc.count_distinct(ids).as_py() < len(ids) and texts is not None and predicted.texts is not None:
        ours = keys_of_all(ours, first_line(predicted.texts))
        theirs = keys_of_all(theirs, first_line(texts))
    rows = pc.index_in(ours, value_set=theirs)
    if rows.null_count > len(rows) / 2:
        what = f"has the questions of only {len(rows) - rows.null_count:,} of {len(rows):,} predictions"
        raise DataError(what, where=path, todo="give the file that the model was asked")
    if texts is not None and predicted.texts is not None:
        asked = first_line(texts).take(rows)
        agrees = within(pc.equal(first_line(predicted.texts), asked), predicted.texts, asked)
        if agrees.mean() < AGREE:
            what = f"asks something else than the predictions' prompts in {1 - agrees.mean():.0%} of the ids"
            raise DataError(what, where=path, todo="give the file that the model was asked")
    added = {}
    for column, names in (("images", ("image",)), ("categories", ("category",)), ("texts", ("text", "question"))):
        values = strings(records, names)
        if values is not None:
            mine = values.take(rows)
            earlier: pa.Array | None = getattr(predicted, column)
            added[column] = mine if earlier is None else pc.coalesce(earlier, mine)
    return replace(predicted, **added)
