"""Write ``docs/cli.md`` from every command's ``--help``."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.update(COLUMNS="100", TERM="dumb", NO_COLOR="1")

import typer

from vlmt_cli.app import app

PAGE = Path(__file__).with_name("cli.md")


def commands(command: Any = None, path: tuple[str, ...] = ("vlmt",)) -> Iterator[tuple[str, Any]]:
    """Yield every command with its full name, parents first."""
    command = command or typer.main.get_command(app)
    yield " ".join(path), command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


def render() -> str:
    """Return the page."""
    parts = ["# The commands", "This page is made from `--help` by `make docs`."]
    for name, command in commands():
        context = command.make_context(name, [], resilient_parsing=True)
        context.max_content_width = context.terminal_width = 100
        parts += [f"## {name}", f"```\n{command.get_help(context).rstrip()}\n```"]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
