"""The program as a whole: its help, its manners, and what it imports."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
make_cli = runpy.run_path(str(DOCS / "make_cli.py"))


def vlmt(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "vlmt_cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def test_the_page_of_commands_is_what_the_help_says():
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == make_cli["render"](), "stale; run make docs"


@pytest.mark.parametrize(("name", "command"), list(make_cli["commands"]()))
def test_every_command_and_option_has_help(name, command):
    assert command.help, f"{name} has no help"
    for parameter in command.params:
        assert parameter.help, f"{name} {parameter.name} has no help"


def test_help_imports_nothing_heavy():
    heavy = "{'pyarrow', 'numpy', 'torch', 'pandas', 'matplotlib', 'pydantic', 'transformers', 'spacy'}"
    code = f"import sys, vlmt_cli.app; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_version_and_usage_errors():
    assert vlmt("--version").stdout.startswith("vlmt 0.")
    wrong = vlmt("claen")
    assert wrong.returncode == 2 and "clean" in wrong.stderr


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("clean --datasets vqa,ref", {"vqa,refcoco", "vqa,refcoco+", "vqa,refcocog"}),
        ("evaluate --tasks G", {"G1", "G2", "G3", "G4"}),
        ("train --preset all-to", {"all-to-single"}),
        ("data show nl", {"nlvr2"}),
    ],
)
def test_the_shell_completes_names(typed, completed):
    words = {"COMP_WORDS": f"vlmt {typed}", "COMP_CWORD": str(len(typed.split())), "_VLMT_COMPLETE": "complete_bash"}
    assert set(vlmt(**words).stdout.split()) == completed


def test_an_internal_error_shows_its_traceback_only_when_asked(tmp_path):
    code = (
        "import vlmt_cli.app, vlmt_cli.datasets.official as official\n"
        "def broken(*_): raise RuntimeError('oh')\n"
        "official.missing_files = broken\n"
        "vlmt_cli.app.main()"
    )
    broken = [sys.executable, "-c", code, "data", "status", "--data", str(tmp_path)]
    quiet = subprocess.run(broken, capture_output=True, text=True)
    assert quiet.returncode == 1 and quiet.stderr == (
        "vlmt: internal error (please report): RuntimeError: oh; report it to the project's issue tracker, with the"
        " traceback that --debug shows\n"
    )
    loud = subprocess.run([*broken, "--debug"], capture_output=True, text=True)
    assert "Traceback" in loud.stderr


@pytest.mark.parametrize(
    ("happens", "code", "said"),
    [
        ("raise MemoryError", 1, "memory is short"),
        ("raise OSError(28, 'No space left on device', 'x.bin')", 1, "x.bin: no space left on the disk"),
        (
            "import os; os.kill(os.getpid(), 15); __import__('time').sleep(9)",
            143,
            "terminated; run the same command again",
        ),
    ],
)
def test_short_memory_a_full_disk_and_sigterm_end_in_one_line(tmp_path, happens, code, said):
    script = (
        "import vlmt_cli.app, vlmt_cli.datasets.official as official\n"
        f"def broken(*_):\n  {happens}\n"
        "official.missing_files = broken\n"
        "vlmt_cli.app.main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, "data", "status", "--data", str(tmp_path)], capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (code, 1) and said in ended.stderr


def test_every_command_that_takes_a_recipe_takes_it_by_the_same_names():
    names = {"--preset", "--recipe"}
    takes = [
        names & set(option.opts) for _, command in make_cli["commands"]() for option in command.params
        if names & set(option.opts)
    ]  # fmt: skip
    assert len(takes) >= 5 and all(one == names for one in takes)
