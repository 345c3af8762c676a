"""Columns of large JSON files, a piece at a time: the same as of the whole, whatever stands in the texts."""

import io
import json

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets import parts, pieces
from vlmt_cli.datasets.pieces import read_columns


class Record(msgspec.Struct):
    id: int
    text: str = ""


BORDERS = ['}, {"id": 1, "text": "', '},{"id":', '"}], "', '}, "a": {"id": 1', "]}", '\\"}, {"id": ', "\\", "é"]
texts = st.lists(st.sampled_from(BORDERS) | st.text(max_size=4), max_size=4).map("".join)
others = st.recursive(texts | st.integers(0, 9), lambda part: st.lists(part, max_size=2) | st.dictionaries(texts, part))
records = st.lists(
    st.fixed_dictionaries({"id": st.integers(0, 99), "text": texts}, optional={"x": others}), min_size=1, max_size=30
)


def file_of(values, form, **layout):
    if form == "dict":
        return json.dumps({f"k{number}": value for number, value in enumerate(values)}, **layout)
    return json.dumps({"info": {"rows": "[]"}, "rows": values, "more": [1]} if form == "below" else values, **layout)


def read(path, form, calls=None):
    def columns(some):
        if calls is not None:
            calls.append(len(some))
        rows = list(some.values()) if form == "dict" else some
        return {"id": pa.array([row.id for row in rows]), "text": pa.array([row.text for row in rows], pa.string())}

    kind = dict[str, Record] if form == "dict" else list[Record]
    once = lambda some: {"id": len(some)}  # noqa: E731
    return read_columns(path, kind, columns, below="rows" if form == "below" else "", once=once)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(parts, "_PART", 48)
    monkeypatch.setattr(pieces, "_HEAD", 64)


@pytest.mark.parametrize("form", ["list", "dict", "below"])
@pytest.mark.parametrize("layout", [{}, {"separators": (",", ":")}, {"indent": 1}], ids=["as json", "dense", "lines"])
def test_pieces_are_whole_records(tmp_path, small, form, layout):
    values = [{"id": number, "text": f"{'ab' * number}"} for number in range(20)]
    path, calls = tmp_path / "file", []
    path.write_text(file_of(values, form, **layout))
    assert read(path, form, calls)["id"].to_pylist() == list(range(20))
    assert len(calls) > 5


@settings(deadline=None, max_examples=150)
@given(values=records, form=st.sampled_from(["list", "dict", "below"]), dense=st.booleans())
def test_pieces_hold_what_the_whole_holds(tmp_path_factory, values, form, dense):
    path = tmp_path_factory.mktemp("pieces") / "file"
    path.write_text(file_of(values, form, separators=(",", ":") if dense else None, ensure_ascii=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "_PART", 48)
        patch.setattr(pieces, "_HEAD", 64)
        found = read(path, form)
    assert found["id"].to_pylist() == [value["id"] for value in values]
    assert found["text"].to_pylist() == [value["text"] for value in values]


@pytest.mark.parametrize("form", ["list", "dict", "below"])
@pytest.mark.parametrize("part", ["id", "close", "cut"])
def test_damage_in_a_late_piece_is_named_as_in_the_whole(tmp_path, small, form, part):
    text = file_of([{"id": number, "text": "some words"} for number in range(20)], form)
    at = text.index('"id": 17')
    text = {"id": text[:at] + text[at:].replace("17", '"x"', 1), "close": text + "]", "cut": text[: at + 12]}[part]
    path = tmp_path / "file"
    path.write_text(text)
    place = {"list": r"\$\[17\].id", "dict": r"record 'k17': \$.id", "below": r"\$.rows\[17\].id"}[form]
    with pytest.raises(DataError, match=place if part == "id" else "truncated|trailing"):
        read(path, form)


def test_records_come_from_the_object_of_the_file_alone(tmp_path, small):
    path, rows = tmp_path / "file", [{"id": number, "text": "other words"} for number in range(9)]
    path.write_text(json.dumps({"info": {"rows": rows}, "rows": [{"id": 7}]}))
    assert read(path, "below")["id"].to_pylist() == [7]
    path.write_text(json.dumps({"rows": rows})[:-1] + ', "rows": []}')
    with pytest.raises(DataError, match=r"the key 'rows' stands twice in \$"):
        read(path, "below")


def test_a_key_that_stands_twice_in_a_record_is_named(tmp_path, small):
    path = tmp_path / "file"
    path.write_text(
        file_of([{"id": number, "text": "words"} for number in range(20)], "list").replace("17,", '17, "id": 1,')
    )
    with pytest.raises(DataError, match=r"the key 'id' stands twice in \$\[17\]"):
        read(path, "list")


@given(data=st.binary(max_size=400).map(lambda data: data.replace(b"\0", b"\n")), before=st.integers(0, 50))
def test_parts_joined_are_the_file(data, before):
    def after_line(memory, start, end):
        at = memory.rfind(b"\n", start, end) + 1
        return (at, at) if at else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "_PART", 16)
        found = [
            bytes(memory[start:end])
            for memory, start, end, _ in parts.parts_of(io.BytesIO(data[before:]), data[:before], after_line)
        ]
    assert b"".join(found) == data
    assert all(part.endswith(b"\n") for part in found[:-1])
    assert len(found) > 1 or b"\n" not in data[before:]


def test_a_file_without_places_to_cut_is_decoded_at_once(tmp_path, small, monkeypatch):
    monkeypatch.setattr(pieces, "_LONGEST", 200)
    path, calls = tmp_path / "file", []
    path.write_text(file_of([{f"x{number}": 0, "id": number} for number in range(50)], "list"))
    assert read(path, "list", calls)["id"].to_pylist() == list(range(50))
    assert calls == [50]
