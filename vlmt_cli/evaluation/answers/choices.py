"""What a multiple-choice question lets a model choose from, in the ways in which records say it.

VLMEvalKit's tables and MMBench have a column a letter, ``A`` to ``J``; lmms-lab's records a list, ``options`` or
``choices``.
"""

import string
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from vlmt_cli.evaluation.answers.records import Record, as_text

_LETTERS = tuple(string.ascii_uppercase[:10])
_LISTS = ("options", "choices", "multi-choice options", "answer_options")


def options_of(records: Sequence[Record]) -> pa.Array | None:
    """Return what each of N questions lets choose from, the same whatever its order; None where no record says it."""
    has_letters = any("A" in record and "B" in record for record in records)
    if not has_letters and not any(name in record for record in records for name in _LISTS):
        return None
    made = [_options(record) for record in records]
    return pa.array(made, pa.string()) if any(each is not None for each in made) else None


def _options(record: Record) -> str | None:
    values: list[Any] = [record.get(letter) for letter in _LETTERS] if "A" in record else []
    if not values:
        listed = next((record[name] for name in _LISTS if record.get(name) is not None), None)
        values = list(listed) if isinstance(listed, (list, tuple)) else [listed]
    texts = sorted(text.strip() for each in values if (text := as_text(each)) is not None and text.strip())
    return "\x1f".join(texts) or None
