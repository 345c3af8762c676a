"""Predictions and the rows that they answer: what joins them, and in sentences what could not be joined."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlmt_cli.base.words import count


@dataclass(frozen=True)
class Joined:
    """M predictions and the rows that they answer.

    Attributes:
        predicted, rows: (M,) each.
        by: what joins them, in words: ``question id``.
        checked: what else agrees; empty where nothing could be compared.
        unjoined: predictions of no row.
        disagreeing: predictions whose row says something else, left out.
        doubled: predictions of a row that an earlier one answers, left out; ``conflicts`` of them answer otherwise.
        missing: rows with a right answer, and without a prediction.
        examples: of predictions without a row that are of the rows' own categories, what they say; and ``differing`` of
            those whose row says something else.
        refused: what did not join, and why, in sentences.
        elsewhere: how many of ``unjoined`` are of categories that the rows are not of.
    """

    predicted: NDArray[np.int64]
    rows: NDArray[np.int64]
    by: str
    checked: str
    unjoined: int
    disagreeing: int
    doubled: int
    conflicts: int
    missing: int
    examples: tuple[str, ...]
    refused: tuple[str, ...]
    elsewhere: int = 0
    differing: tuple[str, ...] = ()


def in_words(joined: Joined, predicted: int, name: str) -> list[str]:
    """Say in sentences how predictions were joined, and what could not be."""
    by = "by order alone, as nothing in the file says which row a prediction answers" if joined.by == "order" else (
        f"by {joined.by}")  # fmt: skip
    agree = "agree" if " and " in joined.checked else "agrees"
    check = f"; the {joined.checked} {agree}" if joined.checked else ""
    with_row = len(np.unique(joined.predicted))
    rows = f" ({count(len(joined.rows), 'row')})" if len(joined.rows) > with_row else ""
    said = [f"{with_row:,} of {count(predicted, 'prediction')} joined with {name}{rows} {by}{check}."]
    strange = joined.unjoined - joined.elsewhere
    if strange + joined.disagreeing > predicted / 2:
        what = f"Warning: most predictions, {strange + joined.disagreeing:,} of {predicted:,}, have no row in {name}"
        said.insert(
            0, f"{what}; the score is of the others alone. Are these the benchmark and the file that were asked?"
        )
    if joined.unjoined:
        lost = (f"{strange:,} more" if joined.elsewhere else count(strange, "prediction")) if strange else ""
        others = f"{count(joined.elsewhere, 'prediction')} of other categories" if joined.elsewhere else ""
        lost += f", such as {'; '.join(joined.examples)}" if joined.examples else ""
        said.append(f"Without a row: {', and '.join(filter(None, [others, lost]))}.")
    if joined.disagreeing:
        examples = f", such as {'; '.join(joined.differing)}" if joined.differing else ""
        what = joined.checked.replace(" and ", " or ")
        said.append(f"Left out, as the {what} differs: {count(joined.disagreeing, 'prediction')}{examples}.")
    if joined.doubled:
        otherwise = f", {joined.conflicts:,} of them with another answer" if joined.conflicts else ""
        said.append(f"Answered again: {count(joined.doubled, 'row')}{otherwise}; the first answer counts.")
    if joined.missing:
        said.append(f"Without a prediction: {count(joined.missing, 'row')} with a right answer.")
    return said
