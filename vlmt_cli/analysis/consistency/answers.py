"""Any model's answers to MT-VGC's exported questions and expressions: read, joined, judged.

Reading, joining and judging are those of ``evaluation.answers``: answers count as in ``vlmt evaluate --predictions``,
and our own model's answers as if it had run here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlmt_cli.analysis.consistency.exports.asked import ids_of, shown_images
from vlmt_cli.analysis.consistency.outcome import Said
from vlmt_cli.analysis.consistency.pairings import Pairing
from vlmt_cli.analysis.consistency.texts import EXPRESSIONS, Texts, singles
from vlmt_cli.analysis.consistency.vgc import Outcome
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.words import count
from vlmt_cli.datasets.official import raw_folder
from vlmt_cli.datasets.refcoco import INSTANCES
from vlmt_cli.datasets.source import find
from vlmt_cli.evaluation.answers.forms import read_predictions
from vlmt_cli.evaluation.answers.join import join
from vlmt_cli.evaluation.answers.joined import Joined, in_words
from vlmt_cli.evaluation.answers.judge import judge
from vlmt_cli.evaluation.answers.predicted import Predicted
from vlmt_cli.evaluation.answers.rows import Rows
from vlmt_cli.tasks.referring.rules import iou

_NOWHERE = (-2.0, -2.0, -1.0, -1.0)


@dataclass(frozen=True)
class Answered:
    """What one model answered.

    Attributes:
        said: judged; what it did not answer is wrong.
        questions, expressions: which were answered, (Q,) and (E,).
        notes: how its files were joined and read, in sentences.
    """

    said: Said
    questions: NDArray[np.bool_]
    expressions: NDArray[np.bool_]
    notes: tuple[str, ...]


def parse_predictions(given: Sequence[str]) -> dict[str, list[Path]]:
    """Read ``--predictions``: FILE, a model that is named by its file, or NAME=FILE; files of one name are one model's.

    Raises:
        UsageError: a file is not there, or two files without a name are called alike.
    """
    models: dict[str, list[Path]] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or "/" in name or Path(text).exists():
            name, path = "", text
        if not Path(path).exists():
            raise UsageError("there is no such file", where=f"--predictions {text}", todo="check the path")
        if not name and (name := Path(path).name.partition(".")[0]) in models:
            raise UsageError(f"there are two models {name}", where=f"--predictions {text}", todo="write NAME=FILE")
        models.setdefault(name, []).append(Path(path))
    return models


class Judge:
    """The rows that answers are joined with and judged by, made once for all models.

    Args:
        pairing, texts: what was asked.
        data: the data folder, whose official files say how large images are.
    """

    def __init__(self, pairing: Pairing, texts: Texts, data: Path) -> None:
        self.texts = texts
        self._asked, self._named = len(texts.questions), len(texts.expressions)
        images = singles(shown_images(texts))
        ids = pa.concat_arrays([ids_of(table) for table in (texts.questions, texts.expressions)])
        text = pa.concat_arrays([table["text"].combine_chunks() for table in (texts.questions, texts.expressions)])
        every = {"example_id": ids, "images": images, "text": text, "right": pa.repeat("", len(ids))}
        is_coco = "width" not in texts.expressions.column_names
        self._rows = Rows("MT-VGC", EXPRESSIONS[0] if is_coco else pairing.asks, "", "pairs", pa.table(every), "")
        self._questions = Rows("MT-VGC", pairing.asks, "", "vqa", self._table(texts.questions, ids, images, 0), "")
        expressions = self._table(texts.expressions, ids, images, self._asked)
        sizes = None if is_coco else np.stack([texts.expressions[side].to_numpy() for side in ("width", "height")], 1)
        raw = next((folder for task in EXPRESSIONS if find(folder := raw_folder(data, task), INSTANCES)), None)
        self._expressions = Rows("MT-VGC", EXPRESSIONS[0], "", "referring", expressions, "", sizes, raw)

    def _table(self, table: pa.Table, ids: pa.Array, images: pa.Array, start: int) -> pa.Table:
        own = {"example_id": ids.slice(start, len(table)), "images": images.slice(start, len(table))}
        kept = [name for name in ("text", "answers", "counts", "unanimous", "box") if name in table.column_names]
        return pa.table({**own, **{name: table[name] for name in kept}}).combine_chunks()

    def _join(self, predicted: Predicted) -> Joined:
        try:
            return join(predicted, self._rows)
        except DataError as error:
            todo = "give answers to what vlmt vgc --export wrote, and the --pairing that it was written with"
            raise DataError(error.what, where=error.where, todo=todo) from None

    def read(self, paths: Sequence[Path], form: str | None, boxes: str) -> Answered:
        """Read and judge one model's files.

        Args:
            paths: one or more; what an earlier one answers counts.
            form: of the files, a key of ``evaluation.answers.forms.FORMS``; None to tell by their content.
            boxes: the convention of boxes, as ``text_boxes.parse_convention`` takes it.

        Raises:
            DataError: a file cannot be read, or its answers are not to these questions.
        """
        accuracy, answers = np.zeros(self._asked), np.full(self._asked, None, object)
        corners = np.tile(np.array(_NOWHERE, np.float32), (self._named, 1))
        answered, found = np.zeros(self._asked, bool), np.zeros(self._named, bool)
        notes: list[str] = []
        for path in paths:
            predicted = read_predictions(path, form)
            joined = self._join(predicted)
            notes += [
                *in_words(replace(joined, missing=0), len(predicted), "the questions and expressions"),
                *predicted.notes,
            ]
            if predicted.form == "vqa":  # a line an answer, as plain questions ask for: free text
                predicted = replace(predicted, form="plain")
            is_question = joined.rows < self._asked
            parts = ((is_question, self._questions, 0), (~is_question, self._expressions, self._asked))
            for mask, rows, start in parts:
                part = replace(joined, predicted=joined.predicted[mask], rows=joined.rows[mask] - start)
                new = ~(found if start else answered)[part.rows]
                part = replace(part, predicted=part.predicted[new], rows=part.rows[new])
                if not len(part.rows):
                    continue
                judged = judge(predicted, rows, part, boxes)
                notes += judged.said
                if start:
                    corners[judged.counted] = np.array(judged.columns["box"].to_pylist(), np.float32)
                    found[judged.counted] = True
                else:
                    accuracy[judged.counted] = judged.scores
                    answers[judged.counted] = judged.columns["answer"].to_pylist()
                    answered[judged.counted] = True
        missing = int((~answered).sum()), int((~found).sum())
        if any(missing):
            unanswered = f"{count(missing[0], 'question')} and {count(missing[1], 'expression')}"
            notes.append(f"Without an answer: {unanswered}; they count as wrong, or are left out by --partial.")
        overlap = iou(corners, self.texts.expressions["box"])
        located = overlap > 0.5
        said = Said(pa.array(answers, pa.string()), corners, overlap, Outcome(accuracy, located))
        return Answered(said, answered, found, tuple(notes))


def answered_by_all(texts: Texts, models: Mapping[str, Answered]) -> tuple[Texts, dict[str, Said], str]:
    """Leave out the questions and expressions that some model did not answer; say how many these are.

    Raises:
        DataError: nothing is left.
    """
    asked = np.all([each.questions for each in models.values()], 0)
    named = np.all([each.expressions for each in models.values()], 0)
    if not asked.any() or not named.any():
        raise DataError("no question and expression is answered by all models", todo="leave --partial out")
    kept = Texts(texts.questions.filter(pa.array(asked)), texts.expressions.filter(pa.array(named)))
    said = {
        name: Said(
            each.said.answers.filter(pa.array(asked)),
            each.said.boxes_E4[named],
            each.said.iou_E[named],
            Outcome(each.said.outcome.accuracy[asked], each.said.outcome.located[named]),
        )
        for name, each in models.items()
    }
    lost = count(int((~asked).sum()), "question"), count(int((~named).sum()), "expression")
    return kept, said, f"Left out, as a model did not answer them: {lost[0]} and {lost[1]}."
