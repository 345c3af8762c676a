"""Texts as no official file has them, and what becomes of them.

A text without a word stays, as its example still shows its image. Control characters become spaces. What is longer than
``LONGEST`` characters is cut there; no model reads so much. Each is counted in the notes.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.datasets.tables import Examples, note

LONGEST = 10_000
"""Characters of a text; GuessWhat's longest dialogues have about 2,000."""
_COLUMNS = ("text", "premise", "category")
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"


def tidy(examples: Examples) -> None:
    """Apply the rule to the texts of all splits, and note how often."""
    for split, table in examples.splits.items():
        for name in (name for name in _COLUMNS if name in table.column_names):
            texts = table[name]
            if name == "text":
                empty = pc.equal(pc.binary_length(pc.utf8_trim_whitespace(texts)), 0)
                note(examples.notes, f"texts in {split} without a word, kept", pc.sum(empty).as_py() or 0)
            tidied = _without_control(texts, split, examples.notes)
            is_long = pc.greater(pc.binary_length(tidied), LONGEST)  # bytes: at least as many as characters
            if pc.any(is_long, min_count=0).as_py():
                cut = pc.utf8_slice_codeunits(tidied, 0, LONGEST)
                note(examples.notes, f"texts in {split} of over {LONGEST:,} characters, cut", _differ(cut, tidied))
                tidied = cut
            if tidied is not texts:
                table = table.set_column(table.column_names.index(name), table.schema.field(name), tidied)
        examples.splits[split] = table


def _without_control(texts: pa.ChunkedArray, split: str, notes: dict[str, int]) -> pa.ChunkedArray:
    if not any(_may_have_control(chunk) for chunk in texts.chunks):
        return texts
    tidied = pc.replace_substring_regex(texts, _CONTROL, " ")
    note(notes, f"texts in {split} with control characters, now spaces", _differ(tidied, texts))
    return tidied


def _may_have_control(texts: pa.StringArray) -> bool:
    """Whether there is a byte as of a control character, looked for at the speed of memory."""
    content = np.frombuffer(texts.buffers()[2] or b"", np.uint8)
    return bool(content.min(initial=255) < ord(" ") or (content == 127).any())


def _differ(texts: pa.ChunkedArray, other: pa.ChunkedArray) -> int:
    return int(pc.sum(pc.not_equal(texts, other)).as_py() or 0)
