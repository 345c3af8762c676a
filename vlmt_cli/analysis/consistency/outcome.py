"""Which of a model's predictions are right, and the contradictions to show (section 8.8).

Shapes: Q questions, E expressions, in the order of ``vgc_texts.Texts``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlmt_cli.analysis.consistency.beside import ComparedPair, Verdict, where_models_differ
from vlmt_cli.analysis.consistency.gallery import Box, ContradictoryPair, shared_words, worst
from vlmt_cli.analysis.consistency.pairs import ConceptPairs
from vlmt_cli.analysis.consistency.photos import find_photo
from vlmt_cli.analysis.consistency.texts import EXPRESSIONS, QUESTIONS, Texts
from vlmt_cli.analysis.consistency.vgc import RIGHT, Outcome
from vlmt_cli.base.errors import DataError
from vlmt_cli.tasks.referring.rules import IOU, iou
from vlmt_cli.tasks.vqa.rules import vqa_accuracy

if TYPE_CHECKING:
    from vlmt_cli.analysis.consistency.models import PredictedPart


@dataclass(frozen=True)
class Said:
    """What a model said, judged.

    Attributes:
        answers: to Q questions.
        boxes_E4: chosen for E expressions, in pixels.
        iou_E: of these and the right ones.
        outcome: what of it is right.
    """

    answers: pa.Array
    boxes_E4: NDArray[np.float32]
    iou_E: NDArray[np.float64]
    outcome: Outcome


def judge_outcome(texts: Texts, parts: "Mapping[str, Sequence[PredictedPart]]") -> Said:
    """Judge what was predicted: questions by VQA accuracy, expressions by IoU > 0.5 (table 8).

    Args:
        texts: all questions and expressions.
        parts: the parts that each task was predicted in.

    Raises:
        DataError: a file of predictions is gone or damaged.
    """
    answers = _column([part for task in QUESTIONS for part in parts[task]], "answer")
    boxes = _column([part for task in EXPRESSIONS for part in parts[task]], "box")
    overlap = iou(boxes, texts.expressions["box"])
    asked = texts.questions
    accuracy = vqa_accuracy(answers, asked["answers"], asked["counts"], unanimous=asked["unanimous"])
    return Said(answers, _corners(boxes), overlap, Outcome(accuracy, overlap > IOU))


def contradictions(
    texts: Texts, pairs: ConceptPairs, said: Said, right: str, most: int, photos: Path
) -> list[ContradictoryPair]:
    """Gather what there is to show of a model's worst contradictions.

    Args:
        texts: all questions and expressions.
        pairs: theirs.
        said: by the model.
        right: when a question counts as answered, a key of ``vgc.RIGHT``.
        most: contradictions, at most.
        photos: folder of the photos, as ``photos.find_photo`` looks; those that are not there are not shown.
    """
    places = worst(pairs, said.outcome, right, most)
    asked, meant = pairs.question_P[places], pairs.expression_P[places]
    right_boxes = _corners(texts.expressions["box"].combine_chunks())
    rows = zip(
        places.tolist(),
        asked.tolist(),
        meant.tolist(),
        texts.questions.take(pa.array(asked)).to_pylist(),
        texts.expressions.take(pa.array(meant)).to_pylist(),
        strict=True,
    )
    return [
        ContradictoryPair(
            image=expression["image"],
            photo=find_photo(photos, expression["image"]),
            question=question["text"],
            answer=said.answers[q].as_py() or "",
            answers=_frequent_first(question["answers"], question["counts"]),
            accuracy=float(said.outcome.accuracy[q]),
            answered=bool(said.outcome.accuracy[q] >= RIGHT[right]),
            found=bool(said.outcome.located[e]),
            expression=expression["text"],
            dataset=expression["task"],
            chosen=_box(said.boxes_E4[e]),
            right=_box(right_boxes[e]),
            iou=float(said.iou_E[e]),
            shared=shared_words(pairs, number),
        )
        for number, q, e, question, expression in rows
    ]


def side_by_side(
    texts: Texts, pairs: ConceptPairs, said: Mapping[str, Said], right: str, most: int, photos: Path
) -> list[ComparedPair]:
    """Gather contradictions on which models differ, as ``contradictions`` does; ``said`` is by the models' names."""
    places = where_models_differ(pairs, [each.outcome for each in said.values()], right, most)
    asked, meant = pairs.question_P[places], pairs.expression_P[places]
    right_boxes = _corners(texts.expressions["box"].combine_chunks())
    questions = texts.questions.take(pa.array(asked)).to_pylist()
    expressions = texts.expressions.take(pa.array(meant)).to_pylist()
    return [
        ComparedPair(
            image=expression["image"],
            photo=find_photo(photos, expression["image"]),
            question=question["text"],
            answers=_frequent_first(question["answers"], question["counts"]),
            expression=expression["text"],
            right=_box(right_boxes[e]),
            shared=shared_words(pairs, number),
            verdicts={
                name: Verdict(
                    each.answers[q].as_py() or "",
                    _box(each.boxes_E4[e]),
                    float(each.iou_E[e]),
                    bool(each.outcome.accuracy[q] >= RIGHT[right]),
                    bool(each.outcome.located[e]),
                )
                for name, each in said.items()
            },
        )
        for number, q, e, question, expression in zip(
            places.tolist(), asked.tolist(), meant.tolist(), questions, expressions, strict=True
        )
    ]


def _column(parts: "Sequence[PredictedPart]", name: str) -> pa.Array:
    columns = []
    for part in parts:
        said = part.read()
        if said is None:
            raise DataError("is damaged", where=part.path, todo="run the command again")
        columns += said[name].chunks
    return pa.concat_arrays(columns)


def _corners(boxes: pa.Array) -> NDArray[np.float32]:
    corners: NDArray[np.float32] = boxes.flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
    return corners


def _box(corners: NDArray[np.float32]) -> Box:
    x1, y1, x2, y2 = corners.tolist()
    return x1, y1, x2, y2


def _frequent_first(answers: Sequence[str], counts: Sequence[int]) -> list[str]:
    order = sorted(range(len(answers)), key=lambda index: -counts[index])
    return [answers[index] for index in order]
