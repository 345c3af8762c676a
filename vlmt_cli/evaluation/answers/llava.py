"""LLaVA's answers, JSON lines; the questions are in a file of their own, which a benchmark's rows may come from.

{"question_id": 1, "prompt": "Is there a snowboard in the image?\\nAnswer the question using a single word or phrase.",
 "text": "No", "answer_id": "3wn9aPE3PL7qsd7mzWnuyL", "model_id": "llava-v1.5-13b", "metadata": {}}

``question_id`` is the question file's own: LLaVA numbers POPE through all its categories, and gives both of MME's
questions about an image the image's name.
"""

from pathlib import Path

import msgspec
import pyarrow as pa

from vlmt_cli.datasets.source import read_json_lines
from vlmt_cli.evaluation.answers.predicted import Form, Predicted
from vlmt_cli.evaluation.answers.records import Record, has, has_any

_LARGEST = 1 << 62


class Answer(msgspec.Struct, gc=False):
    question_id: str | int
    text: str
    prompt: str | None = None
    category: str | None = None


def is_form(path: Path, record: Record) -> bool:
    """Whether a record is an answer; one with an image is a question."""
    is_answer = has_any(record, ("answer_id", "model_id", "prompt")) or "image" not in record
    return has(record, "question_id", "text") and is_answer


def read(path: Path) -> Predicted:
    """Read all answers of a file. Raises a DataError that names a damaged line."""
    records = read_json_lines(path, Answer)
    return Predicted(
        path,
        "llava",
        pa.array([each.text for each in records], pa.string()),
        ids=ids_of([each.question_id for each in records]),
        texts=_or_none(pa.array([each.prompt for each in records], pa.string())),
        categories=_or_none(pa.array([each.category for each in records], pa.string())),
    )


def ids_of(ids: list[str | int]) -> pa.Array:
    """Return N ids as strings; numbers by the column, as there may be many."""
    if all(type(each) is int and abs(each) < _LARGEST for each in ids):
        return pa.array(ids, pa.int64()).cast(pa.string())
    return pa.array(map(str, ids), pa.string())


def _or_none(column: pa.Array) -> pa.Array | None:
    return None if column.null_count == len(column) else column


LLAVA = Form("LLaVA's answers", is_form, read)
