"""Running a command in this process."""

import sys

from vlmt_cli import app


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
