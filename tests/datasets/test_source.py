"""Finding and decoding official files."""

import gzip
import json

import msgspec
import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.source import find, read_json, read_json_lines, read_lines, typed


class Record(msgspec.Struct):
    id: int
    name: str = ""


def put(folder, name, text):
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def test_the_first_name_that_is_there_is_found_plain_before_gz(tmp_path):
    assert find(tmp_path, "a.json", "b.json") is None
    other = put(tmp_path, "b.json", "[]")
    assert find(tmp_path, "a.json", "b.json") == other
    packed = put(tmp_path, "a.json.gz", "[]")
    assert find(tmp_path, "a.json", "b.json") == packed
    assert find(tmp_path, "a.json") == packed
    assert find(tmp_path, "a.json", "b.json") != put(tmp_path, "a.json", "[]") == find(tmp_path, "a.json")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_plain_and_packed_files_read_alike(tmp_path, suffix):
    text = '[{"id": 1, "more": [{"id": "x"}]}, {"id": 2, "name": "é"}]'
    assert read_json(put(tmp_path, f"a.json{suffix}", text), list[Record]) == [Record(1), Record(2, "é")]
    assert read_json_lines(put(tmp_path, f"a.jsonl{suffix}", '{"id": 1}\n\n{"id": 2}'), Record) == [
        Record(1),
        Record(2),
    ]
    assert read_lines(put(tmp_path, f"a.txt{suffix}", "a\r\n\nb\u2028c\n")) == ["a", "", "b\u2028c"]


BAD = {
    "cut short": ('[{"id": 1}, {"id', list[Record], "truncated"),
    "not JSON": ("<html>", list[Record], "is a web page or XML"),
    "of another kind": ('"id"', list[Record], "expected `array`"),
    "a field is missing": ('[{"id": 1}, {"name": "a"}]', list[Record], r"file: \$\[1\]: .*`id`"),
    "an id of the wrong type": ('[{"id": "x"}]', list[Record], r"file: \$\[0\].id: expected `int`, got `str`"),
    "below a key": ('{"a": {"id": 1}, "b c": {}}', dict[str, Record], r"file: record 'b c': .*`id`"),
    "empty": ("", list[Record], "is empty"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_json_is_one_line_that_names_the_record(tmp_path, case):
    text, kind, message = BAD[case]
    with pytest.raises(DataError, match=message) as caught:
        read_json(put(tmp_path, "file", text), kind)
    assert str(caught.value).startswith(f"{tmp_path}/file: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad", ['{"id": 2', '{"id": "x"}', "[]", '{"name": ""}'])
def test_bad_json_lines_name_the_line(tmp_path, bad):
    with pytest.raises(DataError, match=r"file: line 3: ") as caught:
        read_json_lines(put(tmp_path, "file", f'{{"id": 1}}\n\n{bad}\n{{"id": 3}}\n'), Record)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [1, 5, 30, -4])
def test_a_gz_cut_short_is_no_intact_gz(tmp_path, kept):
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(json.dumps([{"id": n} for n in range(99)]).encode())[:kept])
    with pytest.raises(DataError, match=r"not an intact \.gz file"):
        read_json(path, list[Record])


def test_plain_data_of_the_wrong_type_names_the_record(tmp_path):
    assert typed(tmp_path / "file", [{"id": 1}], list[Record]) == [Record(1)]
    with pytest.raises(DataError, match=r"file: \$\[1\].id: expected `int`, got `str`"):
        typed(tmp_path / "file", [{"id": 1}, {"id": "x"}], list[Record])
