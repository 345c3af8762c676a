"""Mixtures that lie elsewhere: Parquet is read there, other files are copied, and what fails is one line."""

import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.mixtures.batch import Wanted
from vlmt_cli.mixtures.elsewhere import sources_elsewhere
from vlmt_cli.mixtures.forms import FORMS

fsspec = pytest.importorskip("fsspec")
RECORDS = [{"id": "a", "image": "coco/train2017/000000000001.jpg", "conversations": []}]
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture
def store():
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    table = pa.table({"image": pa.array([{"bytes": b"x" * 4000, "path": "COCO_val2014_000000000007.jpg"}], IMAGE)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="none")
    memory.pipe("/bucket/data/a.json", json.dumps(RECORDS).encode())
    memory.pipe("/bucket/data/deep/b.parquet", sink.getvalue().to_pybytes())
    memory.pipe("/bucket/pictures/metadata.jsonl", b'{"file_name": "000000000009.jpg"}\n')
    memory.pipe("/bucket/pictures/000000000009.jpg", b"x" * 4000)
    yield memory
    memory.store.clear()


def names_of(given, into, copied=None):
    """The origin of each image and its name."""
    done = copied if copied is not None else []
    sources = sources_elsewhere(given, None, into, lambda name, *sizes: done.append((name, *sizes)))
    batches = [(each, batch) for each in sources for batch in FORMS[each.form].read(each, Wanted())]
    return [(each.name, name) for each, batch in batches for name in batch.images.column("name").to_pylist()]


A = ("memory://bucket/data/a.json", "coco/train2017/000000000001.jpg")
B = ("memory://bucket/data/deep/b.parquet", "COCO_val2014_000000000007.jpg")


@pytest.mark.parametrize(
    ("given", "images"),
    [
        ("memory://bucket/data/a.json", [A]),
        ("memory://bucket/data/deep/b.parquet", [B]),
        ("memory://bucket/data", [A, B]),
        ("memory://bucket/*/*.json", [A]),
        ("memory://bucket/data/**/*", [A, B]),
    ],
)
def test_files_folders_and_globs(store, tmp_path, given, images):
    assert sorted(names_of(given, tmp_path)) == images
    assert not list(tmp_path.rglob("*.parquet"))


def test_pictures_are_not_copied(store, tmp_path):
    copied = []
    assert [name for _, name in names_of("memory://bucket/pictures", tmp_path, copied)] == ["000000000009.jpg"]
    size = len('{"file_name": "000000000009.jpg"}\n')
    assert copied == [("metadata.jsonl", size, size)]


def test_an_address_of_this_machine_is_a_path(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(RECORDS))
    assert names_of(f"file://{tmp_path}/*.json", tmp_path / "no") == [(str(path), RECORDS[0]["image"])]


def test_what_fails_is_one_line(store, tmp_path, monkeypatch):
    store.pipe("/bucket/list.yaml", b"datasets:\n  - json_path: a.json\n")
    store.pipe("/bucket/cut.parquet", store.cat("/bucket/data/deep/b.parquet")[:-9])
    wrong = {
        "memory://bucket/gone.json": "there is no such file",
        "memory://bucket/cut.parquet": "record 0: cannot be read",
        "memory://bucket/list.yaml": "is a list of mixtures",
        "nowhere://bucket/a.json": "Protocol not known: nowhere",
    }
    for given, said in wrong.items():
        with pytest.raises(DataError, match=f"^{given}[^\n]*{said}[^\n]*$"):
            names_of(given, tmp_path)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(DataError, match="pip install fsspec"):
        names_of("memory://bucket/data/a.json", tmp_path)
