"""Text leaks: the same caption, question or premise in a test set and in another dataset's training set.

Text is compared without case and without marks at its ends. Nothing is removed for it: "what color is the car?"
is asked of a thousand pictures.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vlmt_cli.clean.overlap import Matrix, Share
from vlmt_cli.clean.splits import Split

_MARKS = " .,;:!?\"'"


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
    distinct = pa.concat_arrays([pa.array([], pa.string()), *(texts for _, texts in tests)]).unique()
    rows, columns = _said(tests, distinct), _said(trained, distinct)
    return {
        test: {
            name: Share(int((said & heard).sum()), int(said.sum()))
            for name, heard in columns.items()
            if name != test
        }
        for test, said in rows.items()
    }  # fmt: skip


def _said(texts: Sequence[tuple[str, pa.Array]], distinct: pa.Array) -> dict[str, NDArray[np.bool_]]:
    """Return for each dataset which of the distinct texts it has."""
    everything = pa.chunked_array([each for _, each in texts], pa.string())
    places = pc.index_in(everything, value_set=distinct).fill_null(len(distinct)).to_numpy()
    said: dict[str, NDArray[np.bool_]] = {}
    for (dataset, _), found in zip(texts, np.split(places, np.cumsum([len(each) for _, each in texts])), strict=False):
        said.setdefault(dataset, np.zeros(len(distinct) + 1, bool))[found] = True
    return {dataset: each[:-1] for dataset, each in said.items()}


def _texts(split: Split, keep: NDArray[np.bool_]) -> pa.Array:
    names = pq.read_schema(split.path).names
    table = pq.read_table(split.path, columns=["text", "premise"] if "premise" in names else ["text"])
    if not keep.all():
        table = table.filter(pa.array(keep))
    columns = [column.drop_null() for column in table.columns]
    texts = pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string())
    if pc.all(pc.string_is_ascii(texts), min_count=0).as_py():
        return pc.ascii_lower(pc.ascii_trim(texts, _MARKS)).combine_chunks()
    return pc.utf8_lower(pc.utf8_trim(texts, _MARKS)).combine_chunks()
