"""Example tables that cannot be read: what is wrong, and what to do."""

import pyarrow as pa
import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import write_parquet
from vlmt_cli.tasks.tables import read_columns


def test_a_table_of_an_older_vlmt_names_what_it_lacks_and_how_to_make_it_again(tmp_path):
    table = tmp_path / "examples" / "vqa" / "val.parquet"
    write_parquet(table, pa.table({"example_id": ["1"], "answers": [["cat"]], "counts": [[10]]}))
    assert read_columns(table, ["answers"])["answers"].to_pylist() == [["cat"]]
    with pytest.raises(DataError) as raised:
        read_columns(table, ["example_id", "answers", "counts", "unanimous"])
    command = f"vlmt clean --datasets all --data {tmp_path}"
    what = f"{table}: lacks unanimous: another vlmt made it; run {command}, which reads the official files again"
    assert str(raised.value) == what
