"""Of which of a benchmark's categories rows are, where the same question about the same image stands in several.

POPE asks each question whose answer is yes in all three of its categories, a file each. Ids that a kit gave, and an
image with a question, then lead to rows of another category: the category decides.
"""

import re
from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.evaluation.answers.keys import keys_of_all, plain
from vlmt_cli.evaluation.answers.rows import Rows

KNOWN = {"pope": ("random", "popular", "adversarial")}
"""The categories of benchmarks that ask the same in several, a file each."""


def recur(asked: pa.Array, categories: pa.Array) -> bool:
    """Whether any of N questions stands in several categories.

    Args:
        asked: N keys of image and question.
        categories: N names.
    """
    together = keys_of_all(asked, categories)
    distinct = asked.filter(together.is_valid())
    return bool(pc.count_distinct(together).as_py() > pc.count_distinct(distinct).as_py())


def categories_of(rows: Rows, theirs: pa.Array) -> pa.Array | None:
    """Name the category of each row as predictions name it: by its own field, else by its file's name.

    Args:
        rows: M of a benchmark.
        theirs: the predictions' categories, in small letters.

    Returns:
        M names, null where a row's category is not one of them; None where nothing tells any.
    """
    known = {each for each in theirs.unique().to_pylist() if each} | set(KNOWN.get(rows.task, ()))
    if "category" not in rows.table.column_names:
        word = _only(rows.file.lower(), known)
        return None if word is None else pa.repeat(word, len(rows))
    own = plain(rows.table["category"].combine_chunks()).dictionary_encode()
    told = pa.array([_only(name, known) for name in own.dictionary.to_pylist()], pa.string()).take(own.indices)
    return told if told.null_count < len(told) else None


def _only(name: str, known: Collection[str]) -> str | None:
    """Return the category that a name is, or else the only one that it has as a word."""
    if name in known:
        return name
    within = [each for each in known if re.search(rf"(?<![a-z0-9]){re.escape(each)}(?![a-z0-9])", name)]
    return within[0] if len(within) == 1 else None
