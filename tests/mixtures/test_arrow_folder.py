"""Folders that save_to_disk writes, and single Arrow files."""

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixtures.records import images_of, write_kept

from vlmt_cli.base.errors import DataError
from vlmt_cli.mixtures.forms import FORMS

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SCHEMA = pa.schema([("n", pa.int64()), ("image", IMAGE)], metadata={"huggingface": '{"info": {}}'})


def arrow(path, numbers, new=pa.ipc.new_stream, batch=3):
    with new(str(path), SCHEMA) as writer:
        for start in range(0, len(numbers), batch):
            rows = [{"n": n, "image": {"bytes": b"%d" % n, "path": f"{n}.jpg"}} for n in numbers[start : start + batch]]
            writer.write_batch(pa.RecordBatch.from_pylist(rows, SCHEMA))
    return path


def saved(folder, shards, split="train"):
    folder.mkdir()
    names = [f"data-{n:05}-of-{len(shards):05}.arrow" for n in range(len(shards))]
    for name, numbers in zip(names, shards, strict=True):
        arrow(folder / name, numbers)
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "a1", "_split": split}
    (folder / "state.json").write_text(json.dumps(state))
    info = {"splits": {split: {"name": split, "num_examples": sum(map(len, shards)), "num_bytes": 1}}}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return folder


def rows_of(path):
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_stream(file).read_all()


@settings(max_examples=20)
@given(keep=st.lists(st.booleans(), min_size=1, max_size=30), cut=st.integers(0, 30))
def test_the_kept_rows_and_nothing_else_are_written(tmp_path_factory, keep, cut):
    folder = tmp_path_factory.mktemp("kept")
    numbers = list(range(len(keep)))
    saved(folder / "a", [numbers[:cut], numbers[cut:]])
    write_kept(folder / "a", "arrow", keep, folder / "b")

    left = [n for n in numbers if keep[n]]
    assert images_of(folder / "b", "arrow") == [(at, 0, {"name": f"{n}.jpg"}) for at, n in enumerate(left)]
    tables = [rows_of(path) for path in sorted((folder / "b").glob("*.arrow"))]
    assert [table["n"].to_pylist() for table in tables] == [[n for n in left if n < cut], [n for n in left if n >= cut]]
    assert all(table.schema.equals(SCHEMA, check_metadata=True) for table in tables)
    assert json.loads((folder / "b/dataset_info.json").read_text())["splits"]["train"]["num_examples"] == len(left)
    assert json.loads((folder / "b/state.json").read_text())["_fingerprint"] != "a1"


def test_a_folder_of_splits_is_numbered_through(tmp_path):
    folder = tmp_path / "all"
    folder.mkdir()
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    saved(folder / "train", [[0, 1], [2]])
    saved(folder / "test", [[3, 4]], "test")
    assert FORMS["arrow"].is_form(folder, b"") and FORMS["arrow"].is_form(folder / "test", b"")
    assert [(record, image["name"]) for record, _, image in images_of(folder, "arrow")] == [
        (n, f"{n}.jpg") for n in range(5)
    ]
    write_kept(folder, "arrow", [True, False, True, False, True], tmp_path / "new")
    assert [image["name"] for _, _, image in images_of(tmp_path / "new", "arrow")] == ["0.jpg", "2.jpg", "4.jpg"]
    assert rows_of(tmp_path / "new/test/data-00000-of-00001.arrow")["n"].to_pylist() == [4]


@pytest.mark.parametrize("new", [pa.ipc.new_stream, pa.ipc.new_file])
def test_single_files_keep_their_kind(tmp_path, new):
    file = arrow(tmp_path / "a.arrow", list(range(7)), new)
    assert FORMS["arrow"].is_form(file, file.read_bytes()[:64])
    assert images_of(file, "arrow", data=True)[6] == (6, 0, {"name": "6.jpg", "data": b"6"})
    write_kept(file, "arrow", [n > 4 for n in range(7)], tmp_path / "b.arrow")
    assert (tmp_path / "b.arrow").read_bytes()[:6] == file.read_bytes()[:6]
    assert [image["name"] for _, _, image in images_of(tmp_path / "b.arrow", "arrow")] == ["5.jpg", "6.jpg"]


def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(tmp_path):
    folder = saved(tmp_path / "a", [list(range(6))])
    file = folder / "data-00000-of-00001.arrow"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(DataError, match=r"of-00001\.arrow: record 3: cannot be read from here on"):
        images_of(folder, "arrow")
    with pytest.raises(DataError, match="record 3"):
        write_kept(folder, "arrow", [True] * 6, tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    file.unlink()
    with pytest.raises(DataError, match="no such file"):
        images_of(folder, "arrow")
    (folder / "state.json").write_text('{"_data_files": [{"filename": "../../passwords"}]}')
    with pytest.raises(DataError, match="is not the name of a file in its folder"):
        images_of(folder, "arrow")
