"""What makes a row easy whatever training saw, by which seen and unseen rows are made alike as a second figure.

Seen images may have had other questions. Unseen rows are weighted so that each kind of row counts as often as among the
seen ones: questions with yes or no, a number or other words and by how frequent their right answer is; yes and no by
category; expressions by how many objects of the same category their image has, or of any where categories are not
known; labels. Kinds that only one side has are left out.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.evaluation.answers.rows import YES_NO, Rows
from vlmt_cli.evaluation.bootstrap import FEW, Estimate, unpaired_difference
from vlmt_cli.tasks.scoring import ScoreColumn, one_array

_OBJECTS = np.array([2, 4, 8, 16])


def strata_of(rows: Rows) -> tuple[pa.Array, str] | None:
    """Return the kind of each of N rows, and what tells kinds apart; None where the benchmark tells nothing."""
    table = rows.table
    if rows.kind == "vqa" and "answers" in table.column_names:
        right = pc.list_element(_padded(table["answers"].combine_chunks()), 0)
        return pc.binary_join_element_wise(_answer_types(right), _frequency(right), " "), (
            "kind of answer and how frequent it is")  # fmt: skip
    if rows.kind == YES_NO:
        parts = [table["right"].combine_chunks()]
        if "category" in table.column_names:
            parts.append(table["category"].combine_chunks())
        words = "right answer and category" if len(parts) > 1 else "right answer"
        return pc.binary_join_element_wise(*parts, " "), words
    if rows.kind == "referring" and (alike := rows.find_alike()) is not None:
        return pa.array(np.searchsorted(_OBJECTS, alike)).cast(pa.string()), "number of objects of the same category"
    if rows.kind == "referring" and "candidates" in table.column_names:
        objects = pc.list_value_length(table["candidates"].combine_chunks()).fill_null(0).to_numpy()
        return pa.array(np.searchsorted(_OBJECTS, objects)).cast(pa.string()), "number of annotated objects"
    if rows.kind == "verification" and "label" in table.column_names:
        return table["label"].combine_chunks().cast(pa.string()), "label"
    return None


def balanced(
    scores: ScoreColumn,
    seen: NDArray[np.bool_],
    groups: NDArray[np.int64],
    strata: pa.Array,
    resamples: int,
    seed: int,
) -> Estimate | None:
    """Estimate seen less unseen with the unseen rows weighted to the seen ones' kinds.

    Args:
        scores: (M,), of rows.
        seen: (M,).
        groups: (M,), their images.
        strata: M, each row's kind.
        resamples, seed: of the interval.

    Returns:
        None where too few images are left to say anything.
    """
    codes = one_array(strata).dictionary_encode().indices.fill_null(-1).to_numpy()
    size = int(codes.max(initial=-1)) + 1
    if not size:
        return None
    counts = [np.bincount(codes[part & (codes >= 0)], minlength=size) for part in (seen, ~seen)]
    both = (counts[0] > 0) & (counts[1] > 0)
    kept = (codes >= 0) & both[codes]
    ours, others = kept & seen, kept & ~seen
    if min(len(np.unique(groups[ours])), len(np.unique(groups[others]))) < FEW:
        return None
    weights = (counts[0] / np.maximum(counts[1], 1))[codes[others]]
    return unpaired_difference(
        scores[ours], scores[others], groups[ours], groups[others], resamples, seed, their_weights=weights
    )


def _padded(lists: pa.ListArray) -> pa.ListArray:
    """Return lists with null in place of empty ones, of which no element can be taken."""
    return pc.if_else(pc.greater(pc.list_value_length(lists), 0), lists, None)


def _answer_types(right: pa.Array) -> pa.Array:
    is_number = pc.match_substring_regex(right, r"^[0-9]+$")
    is_yes_no = pc.is_in(right, value_set=pa.array(["yes", "no"]))
    return pc.if_else(is_yes_no, "yes/no", pc.if_else(is_number, "number", "other"))


def _frequency(right: pa.Array) -> pa.Array:
    """Return how often each right answer is right, in powers of four."""
    codes = right.dictionary_encode().indices
    known = codes.drop_null().to_numpy()
    counts = np.bincount(known)
    powers = np.full(len(codes), -1)
    powers[codes.is_valid().to_numpy(zero_copy_only=False)] = np.log2(counts[known]).astype(int) // 2
    return pa.array(powers).cast(pa.string())
