"""OK-VQA: questions about COCO images that take outside knowledge, ten answers each.

OpenEnded_mscoco_train2014_questions.json (val2014 is the test set)
    {"questions": [{"image_id": 51606, "question": "What is the hairstyle called?", "question_id": 516065}]}
mscoco_train2014_annotations.json
    {"annotations": [{"image_id": 51606, "question_id": 516065, "answers": [{"answer_id": 1, "raw_answer": "pony tail",
                      "answer": "pony tail", "answer_confidence": "yes"}, ...], ...}]}

From https://okvqa.allenai.org/download.html.
"""

from collections import Counter
from pathlib import Path

import msgspec

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.answers import normalise_answer
from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.source import find, read_json
from vlmt_cli.datasets.tables import VQA, Examples, example_rows

QUESTIONS = "OpenEnded_mscoco_{}_questions.json"
ANNOTATIONS = "mscoco_{}_annotations.json"


class Question(msgspec.Struct):
    image_id: int
    question: str
    question_id: int


class Questions(msgspec.Struct):
    questions: list[Question]


class Answer(msgspec.Struct):
    answer: str


class Annotation(msgspec.Struct):
    question_id: int
    answers: list[Answer]


class Annotations(msgspec.Struct):
    annotations: list[Annotation]


def read(raw: Path, options: Options) -> Examples:
    """Read OK-VQA: a tenth of train2014, the last by id, is held out for validation; val2014 is the test set.

    The test images are known from the questions alone: without annotations they are test images all the same.
    """
    examples = Examples()
    for year in ("train2014", "val2014"):
        asked, answered = find(raw, QUESTIONS.format(year)), find(raw, ANNOTATIONS.format(year))
        if asked and (answered or year == "val2014"):
            annotations = read_json(answered, Annotations).annotations if answered else []
            answers = {annotation.question_id: annotation.answers for annotation in annotations}
            rows = []
            for question in sorted(read_json(asked, Questions).questions, key=lambda question: question.question_id):
                if answered and question.question_id not in answers:
                    what = f"question {question.question_id} has no annotation in {answered.name}"
                    raise DataError(what, where=asked, todo="download both files again")
                said = answers.get(question.question_id, [])
                counts = Counter(normalise_answer(answer.answer) for answer in said)
                rows.append(
                    {
                        "example_id": str(question.question_id),
                        "images": [f"coco:{question.image_id}"],
                        "text": question.question,
                        "answers": list(counts),
                        "counts": list(counts.values()),
                    }
                )
            table = example_rows(VQA, asked, rows)
            if year == "val2014":
                examples.splits["test"] = table
            else:
                train = len(table) - len(table) // 10
                examples.splits |= {"train": table.slice(0, train), "val": table.slice(train)}
    return examples
