"""Errors that a user can act on.

Each is one line: what is wrong, where, and what to do next. Anything else that
escapes a command is a bug of ours and shows its traceback under ``--debug``.
"""

from vlmt_cli.base.words import escaped, with_short_quotations


class VlmtError(Exception):
    """Something went wrong that is not a bug in the program.

    Args:
        what: what is wrong, as a sentence without a full stop.
        where: the file and, where there is one, the record: ``train.json: $[3].question``.
        todo: what the user can do next, as an imperative without a full stop.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: object = None, todo: str | None = None) -> None:
        what = with_short_quotations(what)
        where = with_short_quotations(where) if isinstance(where, str) else where
        self.what, self.where, self.todo = what, where, todo
        located = f"{where}: {what}" if where is not None else what
        # Whatever a file's name or content put into it, it is one line that steers no terminal.
        super().__init__(escaped(f"{located}; {todo}" if todo else located))

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword arguments do not survive the default pickling between processes.
        return _rebuild, (type(self), self.what, self.where, self.todo)


class UsageError(VlmtError):
    """The command line or a recipe asks for something that does not exist."""

    exit_code = 2


class DataError(VlmtError):
    """A file is missing, damaged or not what its name says."""

    exit_code = 3


class LeakError(VlmtError):
    """A test image is in a training or validation set."""

    exit_code = 4


def _rebuild(kind: type[VlmtError], what: str, where: object, todo: str | None) -> VlmtError:
    return kind(what, where=where, todo=todo)
