"""What intervals over a benchmark's rows resample: images; where nothing names them, questions or rows.

MMBench asks each question up to four times, with its options in another order (circular evaluation): what ``index``
leaves over a million is the question. Elsewhere rows with the same text and the same options are the same question.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.words import count
from vlmt_cli.evaluation.answers.judge import Judgement
from vlmt_cli.evaluation.answers.keys import keys_of_all
from vlmt_cli.evaluation.answers.rows import EXACT, Rows
from vlmt_cli.evaluation.bootstrap import by_image
from vlmt_cli.tasks.scoring import Measure

CIRCULAR = "circular, right in all permutations"
_MILLION = 1_000_000
_ALONE = "row:"


@dataclass(frozen=True)
class Unit:
    """What is resampled.

    Attributes:
        groups: of each of N rows its unit's number, (N,).
        name: images, questions or rows.
        said: what the reader must know of it, in sentences.
        questions: of each row the number of the question that it is a permutation of, (N,); None where rows are not
            permutations.
    """

    groups: NDArray[np.int64]
    name: str = "images"
    said: tuple[str, ...] = ()
    questions: NDArray[np.int64] | None = None


def unit_of(rows: Rows) -> Unit:
    """Find the best known unit of a benchmark's rows."""
    first = pc.list_element(rows.table["images"].combine_chunks(), 0)
    alone = int(pc.sum(pc.starts_with(first, _ALONE), min_count=0).as_py())
    questions = _permuted(rows)
    said: tuple[str, ...] = ()
    if questions is not None:
        of = count(_distinct(questions), "question")
        said = (
            f"The {len(rows):,} rows are permutations of the options of {of}. The benchmark's own circular score, which"
            f" counts a question as right where it is right in all permutations, is '{CIRCULAR}', by exact match.",
        )
    if alone < len(rows):
        if alone:
            said += (f"Nothing names the image of {count(alone, 'row')}: each counts as an image of its own.",)
        return Unit(by_image(rows.table["images"]), "images", said, questions)
    nothing = f"Nothing names the images of {rows.name}: intervals are over"
    if questions is not None:
        return Unit(questions, "questions", (*said, f"{nothing} questions."), questions)
    alike = _alike(rows)
    if alike is not None:
        return Unit(alike, "questions", (f"{nothing} questions, which have the same text and the same options.",))
    narrow = "They are too narrow where several rows are about one image: give a file that names the images to --rows."
    return Unit(np.arange(len(rows)), "rows", (f"{nothing} rows. {narrow}",))


def circular(questions: NDArray[np.int64], judgement: Judgement) -> Measure:
    """Score each question as right where all its rows that were answered are."""
    codes = np.unique(questions[judgement.counted], return_inverse=True)[1]
    right = np.ones(int(codes.max(initial=-1)) + 1)
    np.minimum.at(right, codes, judgement.scores)
    return Measure(right)


def _permuted(rows: Rows) -> NDArray[np.int64] | None:
    """Number the questions that rows are permutations of, by their indexes; None where they are not."""
    ids = rows.table["example_id"].combine_chunks()
    if rows.kind != EXACT or not pc.all(pc.match_substring_regex(ids, r"^[0-9]{1,9}\z")).as_py():
        return None
    index = ids.cast(pa.int64()).to_numpy()
    question = index % _MILLION
    if index.max() < _MILLION or _distinct(index) < len(index) or _distinct(question) == len(question):
        return None
    names = pa.array(question).cast(pa.string())
    for column in ("text", "options"):
        if column in rows.table.column_names:
            said = rows.table[column].combine_chunks().fill_null("")
            if pc.count_distinct(keys_of_all(names, said)).as_py() > _distinct(question):
                return None
    return _numbered(names)


def _alike(rows: Rows) -> NDArray[np.int64] | None:
    """Number the questions of rows with options; None where each has its own, or none are known."""
    if rows.kind != EXACT or "options" not in rows.table.column_names:
        return None
    asked = keys_of_all(rows.table["text"].combine_chunks(), rows.table["options"].combine_chunks())
    alone = pc.binary_join_element_wise(_ALONE, pa.array(np.arange(len(rows))).cast(pa.string()), "")
    numbers = _numbered(pc.coalesce(asked, alone))
    return numbers if _distinct(numbers) < len(numbers) else None


def _numbered(names: pa.Array) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = names.dictionary_encode().indices.to_numpy().astype(np.int64)
    return numbers


def _distinct(numbers: NDArray[np.int64]) -> int:
    return len(np.unique(numbers))
