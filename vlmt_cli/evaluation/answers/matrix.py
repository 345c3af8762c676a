"""Retrieval from a matrix of scores: how well each of C captions describes each of I images.

scores.npy: (C, I) floats; captions in the benchmark's order, images in the order of their first captions.
scores.parquet: ``example_id`` and a column for each image, named by its key; in any order.

A run's own ``predictions/coco-test.parquet`` has no scores but the ranks that follow from them, a row a caption:
example_id  images            score  rank  caption_rank  best
0           [coco:554524]     1.0    1     1             [coco:554524, coco:15717, ...]
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.evaluation.answers.records import reading
from vlmt_cli.evaluation.answers.rows import Rows

_RANKS = ("rank", "caption_rank")


def read_matrix(path: Path, rows: Rows) -> tuple[NDArray[np.float32], str]:
    """Read a matrix in the order of a benchmark's rows.

    Returns:
        (C, I), and what joined it, in words.

    Raises:
        DataError: it is damaged, lacks a caption or an image, or has another shape.
    """
    images = pc.list_element(rows.table["images"].combine_chunks(), 0).unique()
    if path.suffix == ".parquet":
        return _of_table(path, rows, images), "caption id and image"
    with reading(path), path.open("rb") as file:
        try:
            matrix = np.lib.format.read_array(file, allow_pickle=False, max_header_size=10_000)
        except (ValueError, EOFError, MemoryError) as error:
            raise DataError(f"is not a NumPy array ({str(error)[:160]})", where=path) from error
    shape = len(rows), len(images)
    if matrix.shape != shape or matrix.dtype.kind != "f":
        turned = "; it seems to be transposed" if matrix.shape == shape[::-1] else ""
        what = f"has shape {matrix.shape} of {matrix.dtype}, not {shape} of floats: captions by images{turned}"
        raise DataError(what, where=path, todo="write a row a caption and a column an image")
    return np.asarray(matrix, np.float32), "order alone"


def read_ranks(path: Path, rows: Rows) -> tuple[NDArray[np.int64], pa.Table] | None:
    """Read the ranks in a run's own file of predictions.

    Returns:
        Which of a benchmark's rows are ranked, (C,), in their order, and the file's table of these, with the
        benchmark's images; None where the file is another.

    Raises:
        DataError: it is damaged or of other captions, or a rank is missing or below 1.
    """
    if path.suffix != ".parquet":
        return None
    with reading(path):
        try:
            names = pq.read_schema(path).names
            if not {"example_id", "images", *_RANKS} <= set(names):
                return None
            ranks = [name for name in (*_RANKS, "fold", "fold_rank", "fold_caption_rank") if name in names]
            table = pq.read_table(path, columns=["example_id", "images", *ranks]).combine_chunks()
            at = pc.index_in(rows.table["example_id"], value_set=table["example_id"].cast(pa.string())).combine_chunks()
            shown = pc.list_element(table["images"].combine_chunks(), 0).cast(pa.string())
            whole = [table[name].combine_chunks().cast(pa.int64()) for name in _RANKS]
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"is damaged ({str(error).splitlines()[0][:160]})", where=path) from error
    ranked = np.flatnonzero(at.is_valid().to_numpy(zero_copy_only=False))
    lost = len(table) - len(ranked)
    mine = pc.list_element(rows.table["images"].combine_chunks(), 0).take(pa.array(ranked))
    if lost or not pc.all(pc.equal(shown.take(at.drop_null()), mine), min_count=0).as_py():
        what = f"has {lost:,} of {len(table):,} captions that are not in {rows.name}" if lost else (
            f"has captions of other images than {rows.name}")  # fmt: skip
        raise DataError(what, where=path, todo="name the dataset and split that it was made of with --benchmark")
    if any(each.null_count or (len(each) and pc.min(each).as_py() < 1) for each in whole):
        raise DataError("has ranks that are missing or below 1", where=path, todo="get the file again")
    return ranked, table.take(at.drop_null())


def _of_table(path: Path, rows: Rows, images: pa.Array) -> NDArray[np.float32]:
    with reading(path):
        try:
            table = pq.read_table(path).combine_chunks()
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"is damaged ({str(error).splitlines()[0][:160]})", where=path) from error
    names: list[str] = images.to_pylist()
    if lacking := [name for name in ("example_id", *names) if name not in table.column_names]:
        todo = "give it example_id, and a column for each image, named by its key"
        raise DataError(f"has no column {lacking[0]} ({len(lacking):,} are missing)", where=path, todo=todo)
    order = pc.index_in(rows.table["example_id"], value_set=table["example_id"].cast(pa.string())).combine_chunks()
    if order.null_count:
        raise DataError(f"lacks {order.null_count:,} of {len(rows):,} captions of {rows.name}", where=path)
    columns = [table[name].combine_chunks().cast(pa.float32()).fill_null(np.nan).take(order) for name in names]
    return np.stack([column.to_numpy(zero_copy_only=False) for column in columns], 1)
