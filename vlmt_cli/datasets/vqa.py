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

Traps: questions and annotations come in separate files, in an order that need not agree; the test set's answers are
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
from vlmt_cli.datasets.source import Int64, find, read_json
from vlmt_cli.datasets.tables import VQA, Examples, check_unique, example_table, lists

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


class Questions(msgspec.Struct, gc=False):
    questions: list[Question]


class Answer(msgspec.Struct, gc=False):
    answer: str


class Annotation(msgspec.Struct, gc=False):
    question_id: Int64
    multiple_choice_answer: str
    answers: list[Answer]
    image_id: Int64 | None = None


class Annotations(msgspec.Struct, gc=False):
    annotations: list[Annotation]


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
        everything = pa.concat_tables(labelled.values())
        check_unique(everything["example_id"], raw)
        minval = held_out(options.vqa.minval, len(labelled.get("val2014", ())))
        if "val2014" in labelled:
            in_order = pc.sort_indices(labelled["val2014"]["example_id"].cast(pa.int64()))
            order = np.arange(len(everything))
            first = len(everything) - len(in_order)
            order[first:] = first + in_order.to_numpy()
            everything = everything.take(pa.array(order))
            splits["val"] = everything.slice(len(everything) - minval)
        splits["train"] = everything.slice(0, len(everything) - minval)
    asked_of: set[int] = set()
    for split, part in TESTS.items():
        if path := find(raw, QUESTIONS.format(part)):
            # Of test-dev, which is a part of test2015, nothing is left where that is there.
            questions = [each for each in _questions(path, notes) if each.image_id not in asked_of]
            nothing = np.zeros(len(questions), dtype=np.int32)
            secret = lists(nothing, pa.array([], pa.string())), lists(nothing, pa.array([], pa.int8()))
            table = _table(path, questions, *secret, pa.nulls(len(questions), pa.string()))
            if split == "test" or len(table):
                splits[split] = table
            asked_of |= {each.image_id for each in questions}
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


def _questions(path: Path, notes: dict[str, int]) -> list[Question]:
    def once(file: Questions) -> dict[str, int]:
        return dict.fromkeys(("question_id", "image_id", "question"), len(file.questions))

    return read_json(path, Questions, notes, once).questions


def _annotations(path: Path, notes: dict[str, int]) -> list[Annotation]:
    def once(file: Annotations) -> dict[str, int]:
        return dict.fromkeys(("question_id", "answers"), len(file.annotations))

    return read_json(path, Annotations, notes, once).annotations


def _read_labelled(
    asked: Path, answered: Path, options: VqaOptions, notes: dict[str, int]
) -> tuple[pa.Table, pa.Array]:
    """Read questions with their answers; the second result is each question's one right answer."""
    annotations = _annotations(answered, notes)
    ids = np.array([annotation.question_id for annotation in annotations], dtype=np.int64)
    right = pa.array([annotation.multiple_choice_answer for annotation in annotations], pa.string())
    shown = pa.array([annotation.image_id for annotation in annotations], pa.int64())
    several = list(map(attrgetter("answers"), annotations))
    annotated = np.fromiter(map(len, several), np.int64, len(several))
    if (annotated > _MOST_ANSWERS).any():
        number = int(np.argmax(annotated))
        what = f"{annotated[number]:,} annotators answered, of at most {_MOST_ANSWERS}"
        raise DataError(what, where=f"{answered}: $.annotations[{number}]", todo=_BOTH)
    said = pa.array(list(map(attrgetter("answer"), chain.from_iterable(several))), pa.string()).dictionary_encode()
    del annotations, several
    given = answers.normalise_answers(said) if options.count_answers == "normalised" else said
    distinct, counts = answers.count_answers(annotated, given)
    unanimous = answers.unanimous_answers(annotated, answers.trimmed_answers(said))

    questions = _questions(asked, notes)
    rows = _align(np.array([question.question_id for question in questions], dtype=np.int64), ids, asked, answered)
    differs = pc.not_equal(shown.take(rows), pa.array([question.image_id for question in questions], pa.int64()))
    if pc.any(differs).as_py():
        question = questions[differs.index(True).as_py()].question_id
        raise DataError(f"question {question} is about another image in {answered.name}", where=asked, todo=_BOTH)
    columns = (column.take(rows) for column in (distinct, counts, unanimous))
    return _table(asked, questions, *columns), right.take(rows)


def _align(wanted: NDArray[np.int64], ids: NDArray[np.int64], asked: Path, answered: Path) -> pa.Array:
    """Find each question's row among the annotations."""
    check_unique(pa.array(ids), answered)
    rows = pc.index_in(pa.array(wanted), pa.array(ids))
    if rows.null_count:
        missing = int(wanted[rows.is_null().to_numpy(zero_copy_only=False)][0])
        raise DataError(f"question {missing} has no annotation in {answered.name}", where=asked, todo=_BOTH)
    return rows


def _table(
    path: Path, questions: list[Question], distinct: pa.ListArray, counts: pa.ListArray, unanimous: pa.Array
) -> pa.Table:
    return example_table(
        VQA,
        path,
        example_id=pa.array([question.question_id for question in questions], pa.int64()),
        images=image_keys("coco", pa.array([question.image_id for question in questions], pa.int64()), path),
        text=[question.question for question in questions],
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
            raise DataError(f"{name!r} is not a question id of VQA, which is a number", where=path)
    rows = zip(ids, answers.to_pylist(), strict=True)
    return msgspec.json.encode([{"question_id": int(name), "answer": answer} for name, answer in rows])
