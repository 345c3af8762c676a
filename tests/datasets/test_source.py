"""Finding and decoding official files."""

import gzip
import json
import os

import msgspec
import pytest

from vlmt_cli.base import packed
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


def test_json_as_people_have_it_is_read(tmp_path):
    records = [Record(1, "a"), Record(2, "b")]
    forms = {
        "a byte order mark": '\ufeff[{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]',
        "ids as text and 2.0": '[{"id": "1", "name": "a"}, {"id": 2.0, "name": "b"}]',
        "NaN in unread fields": r'[{"id": 1, "name": "a", "x": NaN}, {"id": 2, "name": "b", "x": [NaN, "\": NaN,"]}]',
        "lines in place of a list": '{"id": 1, "name": "a"}\n{"id": 2, "name": "b"}\n',
        "columns": '{"id": [1, 2], "name": ["a", "b"], "x": [0, 0]}',
        "numbered columns": '{"id": {"0": 1, "1": 2}, "name": {"0": "a", "1": "b"}}',
    }
    for form, text in forms.items():
        assert read_json(put(tmp_path, "file", text), list[Record]) == records, form
        assert read_json_lines(put(tmp_path, "file", text), Record) == records, form


class Optional(msgspec.Struct):
    id: int | None
    side: float = 0.0


NAMED = {
    "NaN as a text": ('[{"id": 1}, {"id": 2, "name": NaN}]', list[Record], r"file: \$\[1\].name: is NaN or infinite"),
    "NaN as an id": ('[{"id": NaN}]', list[Record], r"file: \$\[0\].id: is NaN or infinite"),
    "another float beside NaN": ('[{"id": 7.5, "x": NaN}]', list[Record], r"file: \$\[0\].id: expected `int`"),
    "a key twice": (
        '[{"id": 1}, {"id": 2, "x": 0, "id": 3}]',
        list[Record],
        r"file: the key 'id' stands twice in \$\[1\]",
    ),
    "half of a surrogate pair": (r'[{"id": 1, "name": "\ud800"}]', list[Record], "half of a surrogate pair"),
    "nested deeply": ('[{"id": 1, "x": ' + "[" * 10**5, list[Record], "file: is nested too deeply"),
    "a long number": (f'[{{"id": {"9" * 10**5}}}]', list[Record], r"file: \$\[0\].id: integer value out of range"),
    "columns for a dict": ('{"id": [1], "name": ["a"]}', dict[str, Record], "file: holds columns"),
    "a pointer": ("version https://git-lfs.github.com/spec/v1", list[Record], "is a Git LFS pointer; fetch"),
}


@pytest.mark.parametrize("case", NAMED)
def test_what_cannot_be_read_is_named(tmp_path, case):
    text, kind, message = NAMED[case]
    with pytest.raises(DataError, match=message) as caught:
        read_json(put(tmp_path, "file", text), kind, once=lambda read: {"id": len(read)})
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300


def test_wrong_bytes_are_named_where_they_matter(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b'[{"id": 1, "name": "caf\xe9"}]')
    with pytest.raises(DataError, match=r"file: is not UTF-8 text \(byte 23\)"):
        read_json(path, list[Record])
    path.write_bytes('[{"id": 1}]'.encode("utf-16"))
    with pytest.raises(DataError, match="file: is UTF-16 text; save it as UTF-8"):
        read_json(path, list[Record])
    path.write_bytes(b'{"id": 1}\n{"id": 2, "name": "caf\xe9"}\n')
    with pytest.raises(DataError, match="file: line 2: is not UTF-8 text"):
        read_json_lines(path, Record)


def test_nan_in_an_optional_field_is_missing_and_noted(tmp_path):
    notes = {}
    path = put(tmp_path, "file", '[{"id": 1}, {"id": NaN, "side": 1e999}]')
    with pytest.raises(DataError, match=r"\$\[1\].side: is NaN or infinite"):
        read_json(path, list[Optional], notes)
    path = put(tmp_path, "file", '[{"id": 1, "side": Infinity}]')
    assert read_json(path, list[Optional], notes)[0].side == 1e308
    path = put(tmp_path, "file", '[{"id": 1}, {"id": NaN}]')
    assert read_json(path, list[Optional], notes) == [Optional(1), Optional(None)]
    assert list(notes) == ["files with NaN as id, taken as missing; the first is in file: $[1].id"]


def test_a_bomb_is_refused_while_it_is_small(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "ALWAYS_ALLOWED", 1 << 20)
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(b" " * (10 << 20)))
    for read in (read_lines, lambda path: read_json(path, list[Record]), lambda path: read_json_lines(path, Record)):
        with pytest.raises(DataError, match="unpacks to more than 100 times its size"):
            read(path)


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "file")
    os.mkfifo(tmp_path / "file.gz")
    for name in ("file", "file.gz"):
        with pytest.raises(DataError, match="is a pipe, not a file"):
            read_json(tmp_path / name, list[Record])
