"""VQA v2: questions about COCO images, ten answers each.

v2_OpenEnded_mscoco_train2014_questions.json
    {"info": {...}, "task_type": "Open-Ended", "data_type": "mscoco", "license": {...}, "data_subtype": "train2014",
     "questions": [{"image_id": 458752, "question": "What is this photo taken looking through?",
                    "question_id": 458752000}, ...]}
v2_mscoco_train2014_annotations.json
    {..., "annotations": [{"question_type": "what is this", "multiple_choice_answer": "net", "answers": [
        {"answer": "net", "answer_confidence": "maybe", "answer_id": 1}, ... ten],
        "image_id": 458752, "answer_type": "other", "question_id": 458752000}, ...]}

From https://visualqa.org/download.html. 443,757 train, 214,354 val and 447,793 test questions. The paper trains on
train and val less the last 3,000 val questions ("minval"): 655,111 (table 8).

Traps: questions and annotations come in separate files, in an order that need not agree; multiple_choice_answer, the
most frequent of the ten, is missing where people kept the ten alone; the test set's answers are
secret, and test-dev is a part of it, which stands for it as ``testdev`` where its file is missing.
"""

from itertools import chain
from operator import attrgetter
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.keys import image_keys
from vlmt_cli.datasets import answers
from vlmt_cli.datasets.options import Options, VqaOptions, held_out
from vlmt_cli.datasets.pieces import read_columns
from vlmt_cli.datasets.source import Int64, find
from vlmt_cli.datasets.tables import VQA, Examples, check_unique, example_table, lists, note

QUESTIONS = "v2_OpenEnded_mscoco_{}_questions.json"
ANNOTATIONS = "v2_mscoco_{}_annotations.json"
TESTS = {"test": "test2015", "testdev": "test-dev2015"}
LABELLED = ("train2014", "val2014")
_BOTH = "download both files again"
_LARGEST_ID = 1 << 63
_MOST_ANSWERS = 100


class Question(msgspec.Struct, gc=False):
    question_id: Int64
    image_id: Int64
    question: str


class Answer(msgspec.Struct, gc=False):
    answer: str


class Annotation(msgspec.Struct, gc=False):
    question_id: Int64
    answers: list[Answer]
    multiple_choice_answer: str | None = None
    image_id: Int64 | None = None


def read(raw: Path, options: Options) -> Examples:
    """Read VQA v2; the vocabulary holds the right answers of at least nine train and val questions."""
    labelled, right = {}, []
    notes: dict[str, int] = {}
    for year in LABELLED:
        asked, answered = find(raw, QUESTIONS.format(year)), find(raw, ANNOTATIONS.format(year))
        if asked and answered:
            labelled[year], best = _read_labelled(asked, answered, options.vqa, notes)
            right.append(best)
    splits = {}
    if labelled:
        check_unique(pa.concat_tables(labelled.values())["example_id"], raw)
        minval = held_out(options.vqa.minval, len(labelled.get("val2014", ())))
        if "val2014" in labelled:
            val = labelled["val2014"]
            labelled["val2014"] = val = val.take(pc.sort_indices(val["example_id"].cast(pa.int64())))
            splits["val"] = val.slice(len(val) - minval)
        everything = pa.concat_tables(labelled.values())
        splits["train"] = everything.slice(0, len(everything) - minval)
    asked_of = pa.array([], pa.int64())
    for split, part in TESTS.items():
        if path := find(raw, QUESTIONS.format(part)):
            # Of test-dev, which is a part of test2015, nothing is left where that is there.
            questions = _questions(path, notes)
            questions = questions.filter(pc.invert(pc.is_in(questions["image_id"], value_set=asked_of)))
            nothing = np.zeros(len(questions), dtype=np.int32)
            secret = lists(nothing, pa.array([], pa.string())), lists(nothing, pa.array([], pa.int8()))
            table = _table(path, questions, *secret, pa.nulls(len(questions), pa.string()))
            if split == "test" or len(table):
                splits[split] = table
            asked_of = pa.concat_arrays([asked_of, questions["image_id"].unique()])
    known = None
    if right:
        known = answers.vocabulary(answers.normalise_answers(pa.concat_arrays(right)), options.vqa.min_answer_count)
    return Examples(splits, answers=known, notes=notes)


def read_whole(raw: Path, year: str) -> pa.Table:
    """Read all questions of an official set with answers, ``train2014`` or ``val2014``, in the order of its file.

    Raises:
        DataError: a file of it is missing or damaged.
    """
    asked, answered = find(raw, QUESTIONS.format(year)), find(raw, ANNOTATIONS.format(year))
    if asked is None or answered is None:
        lacking = (QUESTIONS if asked is None else ANNOTATIONS).format(year)
        raise DataError(f"there is no {lacking}", where=raw, todo="put it there; vlmt data status has its address")
    return _read_labelled(asked, answered, VqaOptions(), {})[0]


def _questions(path: Path, notes: dict[str, int]) -> pa.RecordBatch:
    """Read a file of questions: their ids, images and texts."""

    def columns(questions: list[Question]) -> dict[str, pa.Array]:
        return {
            "question_id": pa.array([each.question_id for each in questions], pa.int64()),
            "image_id": pa.array([each.image_id for each in questions], pa.int64()),
            "question": pa.array([each.question for each in questions], pa.string()),
        }

    def once(questions: list[Question]) -> dict[str, int]:
        return dict.fromkeys(("question_id", "image_id", "question"), len(questions))

    read = read_columns(path, list[Question], columns, below="questions", notes=notes, once=once)
    return pa.RecordBatch.from_pydict(read)


def _annotations(path: Path, notes: dict[str, int]) -> dict[str, pa.Array]:
    """Read N annotations: columns of N, and ``said``, all their answers one after another, ``annotated`` of each."""

    def columns(annotations: list[Annotation]) -> dict[str, pa.Array]:
        several = list(map(attrgetter("answers"), annotations))
        said = list(map(attrgetter("answer"), chain.from_iterable(several)))
        return {
            "question_id": pa.array([each.question_id for each in annotations], pa.int64()),
            "image_id": pa.array([each.image_id for each in annotations], pa.int64()),
            "right": pa.array([each.multiple_choice_answer for each in annotations], pa.string()),
            "annotated": pa.array(list(map(len, several)), pa.int64()),
            "said": pa.array(said, pa.string()),
        }

    def once(annotations: list[Annotation]) -> dict[str, int]:
        return dict.fromkeys(("question_id", "answers"), len(annotations))

    return read_columns(path, list[Annotation], columns, below="annotations", notes=notes, once=once)


def _read_labelled(
    asked: Path, answered: Path, options: VqaOptions, notes: dict[str, int]
) -> tuple[pa.Table, pa.Array]:
    """Read questions with their answers; the second result is each question's one right answer."""
    annotations = _annotations(answered, notes)
    annotated = annotations["annotated"].to_numpy()
    if (annotated > _MOST_ANSWERS).any():
        number = int(np.argmax(annotated))
        what = f"{annotated[number]:,} annotators answered, of at most {_MOST_ANSWERS}"
        raise DataError(what, where=f"{answered}: $.annotations[{number}]", todo=_BOTH)
    said = annotations["said"].dictionary_encode()
    right = _right(annotations["right"], annotated, said, answered, notes)
    given = answers.normalise_answers(said) if options.count_answers == "normalised" else said
    distinct, counts = answers.count_answers(annotated, given)
    unanimous = answers.unanimous_answers(annotated, answers.trimmed_answers(said))

    questions = _questions(asked, notes)
    rows = _align(questions["question_id"], annotations["question_id"], asked, answered)
    differs = pc.not_equal(annotations["image_id"].take(rows), questions["image_id"])
    if pc.any(differs).as_py():
        question = questions["question_id"][differs.index(True).as_py()]
        raise DataError(f"question {question} is about another image in {answered.name}", where=asked, todo=_BOTH)
    columns = (column.take(rows) for column in (distinct, counts, unanimous))
    return _table(asked, questions, *columns), right.take(rows)


def _right(
    right: pa.Array, annotated: NDArray[np.int64], said: pa.DictionaryArray, path: Path, notes: dict[str, int]
) -> pa.Array:
    """Put the answer that most annotators gave where a file lacks the one that it makes of these."""
    if not right.null_count:
        return right
    note(
        notes, f"annotations without multiple_choice_answer in {path.name}, taken from their answers", right.null_count
    )
    right = pc.coalesce(right, answers.most_frequent_answers(annotated, said))
    if right.null_count:
        what = "an annotation has neither multiple_choice_answer nor answers"
        raise DataError(what, where=f"{path}: $.annotations[{right.is_null().index(True)}]", todo=_BOTH)
    return right


def _align(wanted: pa.Array, ids: pa.Array, asked: Path, answered: Path) -> pa.Array:
    """Find each question's row among the annotations."""
    check_unique(ids, answered)
    rows = pc.index_in(wanted, ids)
    if rows.null_count:
        missing = wanted[rows.is_null().index(True).as_py()]
        raise DataError(f"question {missing} has no annotation in {answered.name}", where=asked, todo=_BOTH)
    return rows


def _table(
    path: Path, questions: pa.RecordBatch, distinct: pa.ListArray, counts: pa.ListArray, unanimous: pa.Array
) -> pa.Table:
    return example_table(
        VQA,
        path,
        example_id=questions["question_id"],
        images=image_keys("coco", questions["image_id"], path),
        text=questions["question"],
        answers=distinct,
        counts=counts,
        unanimous=unanimous,
    )


def submission(ids: list[str], answers: pa.Array, path: Path) -> bytes:
    """Encode answers as visualqa.org's server takes them: ``[{"question_id": 262148000, "answer": "yes"}, ...]``.

    Raises:
        DataError: an id is not a number.
    """
    for name in ids:
        if not (name.isascii() and name.isdigit() and int(name) < _LARGEST_ID):
            todo = "take the ids from VQA's own file of questions"
            raise DataError(f"{name!r} is not a question id of VQA, which is a number", where=path, todo=todo)
    rows = zip(ids, answers.to_pylist(), strict=True)
    return msgspec.json.encode([{"question_id": int(name), "answer": answer} for name, answer in rows])
