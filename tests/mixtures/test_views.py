"""Columns of string views, in Parquet and Arrow, are read and written as plain ones are."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mixtures.records import ids_of, images_of, texts_of, write_kept

VIEW = pa.string_view()


def schema(data, text):
    images, texts = pa.struct([("bytes", data), ("path", text)]), pa.struct([("user", text)])
    return pa.schema([("id", VIEW), ("images", pa.list_(images)), ("url", VIEW), ("texts", pa.list_(texts))])


# pyarrow writes no views within lists as Parquet; other programs do.
SCHEMAS = {"arrow": schema(pa.binary_view(), VIEW), "parquet": schema(pa.binary(), pa.string())}
ROWS = [
    {"id": "a", "images": [{"bytes": b"1", "path": "1.jpg"}], "url": None, "texts": [{"user": "What?"}]},
    {"id": "b", "images": [], "url": "http://a.org/2.jpg", "texts": []},
    {"id": "c", "images": None, "url": None, "texts": None},
]


def write(path, table):
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)


def read(path):
    return pq.ParquetFile(path).read() if path.suffix == ".parquet" else pa.ipc.open_file(path.read_bytes()).read_all()


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_views_are_read_and_written_as_they_are(tmp_path, form):
    path, copy = tmp_path / f"a.{form}", tmp_path / f"b.{form}"
    table = pa.Table.from_pylist(ROWS, SCHEMAS[form])
    write(path, table)
    assert images_of(path, form, data=True) == [
        (0, 0, {"name": "1.jpg", "data": b"1"}),
        (1, 0, {"url": "http://a.org/2.jpg"}),
    ]
    assert ids_of(path, form) == ["a", "b", "c"] and texts_of(path, form) == [["What?"], [], []]
    write_kept(path, form, [True, False, True], copy)
    kept = read(copy)
    assert kept.to_pylist() == [ROWS[0], ROWS[2]] and kept.schema.equals(SCHEMAS[form])
