"""Running a command in this process."""

import functools
import sys

import typer.main

from vlmt_cli import app

# The commands are the same each time, and making them out of their functions takes 11 ms.
typer.main.get_command = functools.cache(typer.main.get_command)


def run(*arguments):
    """Run ``vlmt`` with these arguments and return its exit code."""
    before = sys.argv
    sys.argv = ["vlmt", *arguments]
    try:
        app.main()
    except SystemExit as error:
        return error.code or 0
    finally:
        sys.argv = before
    return 0
