"""Text leaks: the same caption, question or premise in a test set and in another dataset's training set.

Text is compared without case and without marks at its ends. Nothing is removed for it: "what color is the car?"
is asked of a thousand pictures.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vlmt_cli.clean.overlap import Matrix, Share, encode_rows
from vlmt_cli.clean.splits import Split


def text_leaks(splits: Sequence[Split], kept: Sequence[NDArray[np.bool_]]) -> Matrix:
    """Count the distinct texts of each test set (rows) that are in the kept training examples of another (columns).

    Args:
        splits: the splits; those without texts (image lists) are left out.
        kept: for each split, which examples to count.
    """
    chosen = [(split, keep) for split, keep in zip(splits, kept, strict=True) if split.path and split.role != "val"]
    texts = [_texts(split, keep) for split, keep in chosen]
    distinct, codes = encode_rows(texts)
    rows: dict[str, NDArray[np.bool_]] = {}
    columns: dict[str, NDArray[np.bool_]] = {}
    for (split, _), said in zip(chosen, codes, strict=True):
        table = rows if split.role == "test" else columns
        table.setdefault(split.dataset, np.zeros(len(distinct), bool))[said] = True
    return {
        test: {
            name: Share(int((said & heard).sum()), int(said.sum()))
            for name, heard in columns.items()
            if name != test
        }
        for test, said in rows.items()
    }  # fmt: skip


def _texts(split: Split, keep: NDArray[np.bool_]) -> pa.Array:
    names = pq.read_schema(split.path).names
    table = pq.read_table(split.path, columns=["text", "premise"] if "premise" in names else ["text"])
    if not keep.all():
        table = table.filter(pa.array(keep))
    columns = [column.drop_null() for column in table.columns]
    texts = pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string())
    return pc.utf8_lower(pc.utf8_trim(texts, " .,;:!?\"'")).combine_chunks()
