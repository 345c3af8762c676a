"""Visual Genome QA: free questions about Visual Genome images, one answer each.

question_answers.json
    [{"id": 1, "qas": [{"qa_id": 986768, "image_id": 1, "question": "What color is the clock?", "answer": "Green.",
                        "a_objects": [], "q_objects": []}, ...]}, ...]

From https://homes.cs.washington.edu/~ranjay/visualgenome/api.html. About 1.44 million questions on 108,249 images.
There is no official split: the last 5,000 questions by id are the paper's test set (tables 2 and 8 call it val), and
5,000 more before them are held out here for validation, so that no test question decides when training stops.

Traps: an older release says ``id`` and ``image`` for ``qa_id`` and ``image_id``; answers are short sentences
("Green.") and are normalised like VQA's, whose vocabulary they share (section 3.2); one image has a dozen questions,
which cleaning then takes out of train together.
"""

from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.keys import image_keys
from vlmt_cli.datasets import answers
from vlmt_cli.datasets.options import Options, held_out
from vlmt_cli.datasets.pieces import read_columns
from vlmt_cli.datasets.source import Int64, find
from vlmt_cli.datasets.tables import VQA, Examples, example_table

FILE = "question_answers.json"
OLDER = {"qa_id": "id", "image_id": "image"}
"""What an older release calls otherwise."""


class Question(msgspec.Struct, gc=False):
    question: str
    answer: str
    qa_id: Int64 | None = None
    image_id: Int64 | None = None
    id: Int64 | None = None
    image: Int64 | None = None


class Image(msgspec.Struct, gc=False):
    qas: list[Question]
    id: Int64 | None = None


def read(raw: Path, options: Options) -> Examples:
    """Read Visual Genome QA, split by question id."""
    path = find(raw, FILE)
    if path is None:
        return Examples()
    notes: dict[str, int] = {}
    read = read_columns(path, list[Image], _columns, notes=notes, once=_once)
    for name, older in OLDER.items():
        if read[name].null_count:
            what = f"question {read[name].is_null().index(True).as_py()} has neither {name} nor {older}"
            raise DataError(what, where=path, todo="download the official file again")
    distinct, counts = answers.single_answers(answers.normalise_answers(read["answer"]))
    table = example_table(
        VQA,
        path,
        example_id=read["qa_id"],
        images=image_keys("vg", read["image_id"], path),
        text=read["question"],
        answers=distinct,
        counts=counts,
    ).take(pc.sort_indices(read["qa_id"]))
    test = len(table) - held_out(options.vg_qa.test, len(table))
    val = test - held_out(options.vg_qa.val, len(table))
    return Examples(
        {"train": table.slice(0, val), "val": table.slice(val, test - val), "test": table.slice(test)},
        notes=notes,
    )


def _once(images: list[Image]) -> dict[str, int]:
    questions = sum(len(image.qas) for image in images)
    return {"qas": len(images), **dict.fromkeys(("qa_id", "question", "answer"), questions)}


def _columns(images: list[Image]) -> dict[str, pa.Array]:
    questions = [question for image in images for question in image.qas]
    return {
        "question": pa.array([each.question for each in questions], pa.string()),
        "answer": pa.array([each.answer for each in questions], pa.string()),
        "qa_id": pa.array([each.id if each.qa_id is None else each.qa_id for each in questions], pa.int64()),
        "image_id": pa.array(
            [each.image if each.image_id is None else each.image_id for each in questions], pa.int64()
        ),
    }
