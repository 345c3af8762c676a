"""Text leaks: the same caption, question or premise in a test set and in another dataset's training set.

Text is compared without case and without marks at its ends. Nothing is removed for it: "what color is the car?"
is asked of a thousand pictures.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vlmt_cli.clean.overlap import Matrix, Share
from vlmt_cli.clean.splits import Split

_MARKS = " .,;:!?\"'"
_BATCH = 1 << 16


def text_leaks(splits: Sequence[Split], kept: Sequence[NDArray[np.bool_]]) -> Matrix:
    """Count the distinct texts of each test set (rows) that are in the kept training examples of another (columns).

    Args:
        splits: the splits; those without texts (image lists) are left out.
        kept: for each split, which examples to count.
    """
    chosen = [(split, keep) for split, keep in zip(splits, kept, strict=True) if split.path and split.role != "val"]
    with ThreadPoolExecutor() as pool:
        texts = list(pool.map(_texts, *zip(*chosen, strict=True))) if chosen else []
    told = [(split.role, (split.dataset, each)) for (split, _), each in zip(chosen, texts, strict=True)]
    tests = [each for role, each in told if role == "test"]
    trained = [each for role, each in told if role != "test"]
    # Only what a test set says is told apart: training sets say many times as much.
    distinct = _joined(texts for _, texts in tests).unique()
    rows, columns = _said(tests, distinct), _said(trained, distinct)
    return {
        test: {
            name: Share(int(np.count_nonzero(said & heard)), int(np.count_nonzero(said)))
            for name, heard in columns.items()
            if name != test
        }
        for test, said in rows.items()
    }  # fmt: skip


def _joined(texts: Iterable[pa.ChunkedArray]) -> pa.ChunkedArray:
    return pa.chunked_array([chunk for each in texts for chunk in each.chunks], pa.string())


def _said(texts: Sequence[tuple[str, pa.ChunkedArray]], distinct: pa.Array) -> dict[str, NDArray[np.bool_]]:
    """Return for each dataset which of the distinct texts it has."""
    places = pc.index_in(_joined(each for _, each in texts), value_set=distinct).fill_null(len(distinct)).to_numpy()
    said: dict[str, NDArray[np.bool_]] = {}
    for (dataset, _), found in zip(texts, np.split(places, np.cumsum([len(each) for _, each in texts])), strict=False):
        said.setdefault(dataset, np.zeros(len(distinct) + 1, bool))[found] = True
    return {dataset: each[:-1] for dataset, each in said.items()}


def _texts(split: Split, keep: NDArray[np.bool_]) -> pa.ChunkedArray:
    """Read the texts of the examples that are kept, without case and marks; in no order, as premises are texts, too.

    What is made on the way is small enough for the processor's cache.
    """
    texts: list[pa.Array] = []
    row = 0
    with pq.ParquetFile(split.path) as file:
        columns = [name for name in ("text", "premise") if name in file.schema_arrow.names]
        for batch in file.iter_batches(_BATCH, columns=columns, use_threads=False):
            kept = pa.array(keep[row : row + len(batch)])
            row += len(batch)
            texts += [_bare(column.filter(kept).drop_null()) for column in batch.columns]
    return pa.chunked_array(texts, pa.string())


def _bare(texts: pa.Array) -> pa.Array:
    if pc.all(pc.string_is_ascii(texts), min_count=0).as_py():
        return pc.ascii_lower(pc.ascii_trim(texts, _MARKS))
    return pc.utf8_lower(pc.utf8_trim(texts, _MARKS))
