"""Tasks in other processes; their errors come back as results. Nothing heavy is imported here."""

from collections.abc import Callable

from vlmt_cli.base.errors import VlmtError

AGAIN = "run it again: it goes on where it was"
Result = bool | BaseException


def attempt(task: Callable[[], bool]) -> Result:
    """Do a task, and return its error where it fails: one failing task does not end the others."""
    try:
        return task()
    except VlmtError as error:
        return error
    except Exception as error:
        return VlmtError(" ".join(f"{type(error).__name__}: {error}".split())[-300:], todo=AGAIN)
