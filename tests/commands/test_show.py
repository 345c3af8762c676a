"""What commands print, at 80 columns and into a pipe."""

import ast
import io

import pytest
from pages import ROOT
from rich.console import Console
from rich.text import Text

from vlmt_cli.commands import show
from vlmt_cli.commands.training_display import Display


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 80 columns that remembers what it was sent."""
    sent = io.StringIO()
    environment = {"TERM": "xterm"}
    console = Console(file=sent, force_terminal=True, width=80, height=24, color_system=None, _environ=environment)
    monkeypatch.setattr(show, "Console", lambda **options: console)
    return sent


def test_a_bar_keeps_its_numbers_beside_a_long_name(terminal):
    with show.progress("Reading annotations", size=True) as update:
        update("v2_OpenEnded_mscoco_train2014_questions.json", 1_500_000_000, 3_000_000_000)
    last = [line for line in terminal.getvalue().split("\n") if "Reading" in line][-1]
    assert "1.5/3.0 GB" in last and "Reading annotations: v2" in last
    assert "…" in last and "-:--:--" in last  # the name is cut, the time left is not


def test_the_training_display_keeps_its_last_value_at_80_columns():
    display = Display()
    display.take({"kind": "start", "tasks": ["flickr30k_entities"], "iterations": 1_000_000, "iteration": 0})
    record = {"loss": 1234.5, "examples_per_second": 12345.0, "waiting": 1.0, "iteration": 999_999}
    display.take({"kind": "train", "task": "flickr30k_entities", **record})
    display.iteration = 10
    display.began -= 3600
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(display)
    lines = console.file.getvalue().splitlines()
    assert any(line.rstrip().endswith("12,345") for line in lines)
    assert lines[-1].rstrip().endswith("waiting for data 100%")


def test_a_title_is_as_wide_as_the_console_and_plain_text(capsys):
    title = f"data/{'features/' * 9}[red]-grid-4"
    narrow = show.table(["photos", "count"], [["new", "2"]], title)
    show.stdout().print(narrow)
    assert capsys.readouterr().out.splitlines()[0] == title
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(narrow)
    assert console.file.getvalue().splitlines()[:2] == [title[:80], title[80:]]


def test_brackets_in_names_are_not_markup(capsys):
    show.stdout().print(show.table(["[bold]mixture", "n"], [["[red]a[/b].json", "1"]]))
    show.stdout().print("from [link]x[/y]")
    words = ["[bold]mixture", "n", "[red]a[/b].json", "1", "from", "[link]x[/y]"]
    assert capsys.readouterr().out.split() == words


def test_a_pipe_gets_whole_lines_without_padding(capsys):
    rows = [["a" * 150, "b" * 150], ["a", "b"]]
    show.stdout().print(show.table(["left", "right"], rows, "Title", left=2))
    show.stdout().print(Text("word " * 100))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and "a" * 150 in lines[2] and "b" * 150 in lines[2]
    assert all(line == line.rstrip() for line in lines)


def test_no_title_has_a_line_break_which_would_be_printed_as_two_letters():
    calls = [
        (path.name, call)
        for path in sorted((ROOT / "vlmt_cli" / "commands").glob("*.py"))
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("table", "_show")
    ]
    titles = [(name, call.args[:1] if call.func.id == "_show" else call.args[2:3]) for name, call in calls]
    titles += [(name, [key.value for key in call.keywords if key.arg == "title"]) for name, call in calls]
    texts = [(name, text.value) for name, some in titles for each in some for text in ast.walk(each)
             if isinstance(text, ast.Constant) and isinstance(text.value, str)]  # fmt: skip
    assert len(texts) > 30 and not [(name, text) for name, text in texts if "\n" in text]
