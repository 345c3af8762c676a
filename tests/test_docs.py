"""What README and the pages of docs say is true: every command exists, every link leads somewhere.

``test_readme.py`` runs the commands that need nothing but a small world.
"""

import re
import shlex
import textwrap
import tomllib
from pathlib import Path

import pytest
import test_adding
import typer
from pages import ALL, PAGES, ROOT, blocks

from vlmt_cli.app import app
from vlmt_cli.base.recipes import load_recipe
from vlmt_cli.datasets.options import Options
from vlmt_cli.runs.recipe import Recipe

COMMANDS = [(block, words) for block in ALL if block.language == "sh" for words in block.commands]
SPANS = [(page, span) for page in PAGES for span in re.findall(r"`(vlmt [a-z][^`]*)`", page.read_text())]


def command_of(words):
    """Return the command that words after ``vlmt`` name, and the words that are left for it."""
    command = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    assert not hasattr(command, "commands") or not words, f"there is no command {words[0]}"
    return command, words


def check_options(words):
    command, words = command_of(words)
    known = {name for parameter in command.params for name in parameter.opts + parameter.secondary_opts}
    named = {word for word in words if re.match(r"-[-a-z]", word)}
    assert named <= known, f"{command.name} has no option {', '.join(named - known)}"


def check_recipe(words):
    """Check the recipe and its keys that a command names."""
    command, words = command_of(words)
    given = command.make_context(command.name, list(words)).params
    recipe, keys = given.get("recipe"), given.get("keys") or ()
    if "scale" in given:
        tasks = given.get("task") or given.get("group")
        load_recipe(recipe or "all-tasks", Recipe, keys, given["scale"], **({"tasks": tasks} if tasks else {}))
    elif recipe:
        load_recipe(recipe, Options, keys)


@pytest.mark.parametrize(("block", "words"), COMMANDS, ids=lambda value: str(getattr(value, "page", value)))
def test_a_command_line_is_one_that_exists(block, words):
    program = next((i for i, word in enumerate(words) if word in ("vlmt", "vlmt_cli")), None)
    if program is not None:
        check_options(words[program + 1 :])
        if not block.marker.startswith("tested by"):
            check_recipe(words[program + 1 :])
    elif words[0] == "make":
        assert all(re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M) for target in words[1:])
    elif words[:2] == ["pip", "install"]:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert set(re.findall(r"\[(\w+)\]", words[-1])) <= project["optional-dependencies"].keys()
    else:
        assert block.marker, f"{shlex.join(words)}: cannot be checked; say above its block what it needs"


@pytest.mark.parametrize(("page", "span"), SPANS)
def test_a_command_in_the_text_is_one_that_exists(page, span):
    check_options(shlex.split(span)[1:])


def test_a_block_is_run_or_says_why_not():
    assert {block.language for block in ALL} <= {"sh", "python", "text"}
    for block in ALL:
        if block.marker:
            kind, _, what = block.marker.partition(": ")
            assert kind in ("needs", "tested by") and what, f"{block.page}: {block.marker}"
            assert kind == "needs" or (ROOT / what).exists(), f"{block.page}: there is no {what}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#:]*(?:#[^)]*)?)\)", page.read_text()):
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.M)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, link


def test_readme_is_read_in_three_minutes():
    assert len((ROOT / "README.md").read_text().split()) < 900


def test_the_map_of_folders_names_each():
    shown = set(re.findall(r"^    (\w+)/ ", (ROOT / "CONTRIBUTING.md").read_text(), re.M))
    assert shown == {path.parent.name for path in (ROOT / "vlmt_cli").glob("*/__init__.py")}


def test_what_is_added_on_the_pages_is_what_the_adding_test_adds():
    def code(page):
        return [block.text for block in blocks(ROOT / "docs" / page) if block.language == "python"]

    reader, row = code("adding-a-dataset.md")
    assert reader == (Path(test_adding.NEW) / "okvqa.py").read_text()
    _, other_row = code("adding-a-task-group.md")
    for text in (row, other_row):
        assert textwrap.indent(text, "    ") in test_adding.ROWS
