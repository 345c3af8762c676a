"""Cleaning and checking again: without a second look where every byte is the same, and only there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.clean import answered


@pytest.fixture
def no_second_look(monkeypatch):
    """Let every command that looks at examples again fail."""

    def look(*_):
        raise DataError("looked again")

    monkeypatch.setattr("vlmt_cli.commands.clean_input.read_splits", look)


def test_what_was_answered_is_what_a_second_look_finds(vlmt, cleaned, monkeypatch, request):
    (cleaned / "examples" / answered.RECORD).unlink()
    looked = [vlmt("clean", *check, "--json", "--data", cleaned) for check in (["--check"], [])]
    files = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (cleaned / "clean").iterdir()}
    request.getfixturevalue("no_second_look")
    assert [vlmt("clean", *check, "--json", "--data", cleaned) for check in (["--check"], [])] == looked
    assert json.loads(looked[0][1])["leaks"] == 0
    assert "clean was written: it stands as it is." in vlmt("clean", "--data", cleaned)[1]
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (cleaned / "clean").iterdir()} == files


CLEAN = """
import sys
from vlmt_cli.app import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("check", [["--check"], []])
def test_an_answer_that_stands_imports_nothing_that_it_does_not_need(cleaned, check):
    done = subprocess.run(
        [sys.executable, "-c", CLEAN, "clean", *check, "--data", cleaned], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    heavy = {"PIL", "matplotlib", "pandas", "scipy", "vlmt_cli.clean.scan", "vlmt_cli.mixtures.forms"}
    assert not heavy & set(done.stderr.splitlines()[-1].split())


def another_official_file(data, monkeypatch):
    path = data / "raw" / "nlvr2" / "dev.json"
    path.write_bytes(path.read_bytes().replace(b'"sentence": "', b'"sentence": "So ', 1))


def another_text_of_an_example(data, monkeypatch):
    path = data / "examples" / "nlvr2" / "test.parquet"
    table = pq.read_table(path)
    column = table.column_names.index("text")
    pq.write_table(table.set_column(column, table.schema.field(column), table["text"][::-1]), path)


def another_page(data, monkeypatch):
    with (data / "clean" / "leaks.html").open("a") as file:
        file.write(" ")


def a_page_less(data, monkeypatch):
    (data / "clean" / "card.md").unlink()


def another_program(data, monkeypatch):
    monkeypatch.setattr(answered, "program_hash", lambda: "another")


def a_damaged_record(data, monkeypatch):
    (data / "examples" / answered.RECORD).write_text("{}")


CHANGES = [
    another_official_file,
    another_text_of_an_example,
    another_page,
    a_page_less,
    another_program,
    a_damaged_record,
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_anything_brings_a_second_look(vlmt, cleaned, monkeypatch, no_second_look, change):
    assert vlmt("clean", "--check", "--data", cleaned)[0] == 0
    change(cleaned, monkeypatch)
    for check in (["--check"], []):
        code, _, err = vlmt("clean", *check, "--data", cleaned)
        assert code == 3 and "looked again" in err


def test_other_options_are_another_question(vlmt, cleaned, no_second_look):
    code, _, err = vlmt("clean", "--identity", "paper", "--replace", "--data", cleaned)
    assert code == 3 and "looked again" in err


def test_photos_are_put_on_the_page_again(vlmt, cleaned, no_second_look):
    (cleaned / "images").mkdir()
    assert vlmt("clean", "--check", "--data", cleaned)[0] == 0
    assert "looked again" in vlmt("clean", "--data", cleaned)[2]


def test_the_hashed_program_has_all_that_cleaning_imports():
    home = Path(answered.__file__).parents[1]
    files = [path for part in answered._PARTS if part != "commands" for path in (home / part).rglob("*.py")]
    imported = {name for path in files for name in re.findall(r"from vlmt_cli(?:\.| import )(\w+)", path.read_text())}
    assert imported - {"__version__"} <= set(answered._PARTS)
