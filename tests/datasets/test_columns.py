"""Example tables whose columns are not what their schema says."""

import pyarrow as pa
import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.tables import VQA, check_columns

ROW = {"example_id": "1", "images": ["coco:9"], "text": "what", "answers": ["cat"], "counts": [10], "unanimous": "cat"}


@pytest.mark.parametrize("name", VQA.names)
def test_a_column_of_another_type_or_with_empty_cells_is_named(tmp_path, name):
    table, place = pa.Table.from_pylist([ROW], VQA), VQA.names.index(name)
    check_columns(table, tmp_path / "train.parquet")
    empty = [pa.nulls(1, VQA.field(name).type)] if name != "unanimous" else []
    for values in (pa.nulls(1), *empty, pa.array([1.5])):
        with pytest.raises(DataError, match=f"train.parquet: is damaged .the column '?{name}.*run vlmt clean again"):
            check_columns(table.set_column(place, name, values), tmp_path / "train.parquet")
