"""What commands print: results to stdout, progress to stderr."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from vlmt_cli.base.words import escaped

_UNLIMITED = 10_000


class _Pipe(Console):
    """A console whose lines are neither broken nor padded, as grep and diff like them."""

    def print(self, *objects: Any, **options: Any) -> None:
        with self.capture() as captured:
            super().print(*objects, **options)
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def stdout() -> Console:
    """Return a console for results, which are plain text, brackets included; rich obeys NO_COLOR.

    Tables are never squeezed below 80 columns.
    """
    if not sys.stdout.isatty():
        return _Pipe(highlight=False, markup=False, width=_UNLIMITED)
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, 80)
    return console


def say(text: str) -> None:
    """Print a line about what is going on."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    console.print("\n".join(map(escaped, text.split("\n"))))


@contextmanager
def progress(what: str, size: bool = False, shown: bool = True) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar with rate and time left on stderr.

    Args:
        what: what is being done.
        size: whether the numbers are bytes.
        shown: whether to show it; of several processes one does.

    Yields:
        A function to call with the latest item's name, how much is done, and how much there is.
    """
    amount = DownloadColumn() if size else MofNCompleteColumn()
    rate = TextColumn("{task.fields[rate]}")
    # A long name is cut, never a number.
    named = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    name = TextColumn("{task.description}", markup=False, table_column=named)
    columns = (name, BarColumn(16), amount, rate, TimeRemainingColumn())
    for column in columns[1:]:
        column.get_table_column().no_wrap = True
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not (shown and console.is_terminal), expand=True
    ) as bar:
        task = bar.add_task(what, total=None, rate="")

        def update(name: str, done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            unit = f"{speed / 1e6:.0f} MB/s" if speed and size else f"{speed:.0f}/s" if speed else ""
            bar.update(task, description=f"{what}: {name}" if name else what, completed=done, total=total, rate=unit)

        yield update


class _Titled(Table):
    """A table below a line: rich breaks a title at the width of the table, and paths in it with it."""

    line: str | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.line is not None:
            yield Text(escaped(self.line), "bold", overflow="fold")
        yield from super().__rich_console__(console, options)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None, left: int = 1) -> Table:
    """Lay out rows; the first ``left`` columns are words, the others numbers. The title is one line of
    plain text; an empty line above it is printed by itself."""
    result = _Titled(*header, header_style="dim", box=None)
    result.line = title
    for column_number, column in enumerate(result.columns):
        column.justify = "left" if column_number < left else "right"
        column.no_wrap = column_number >= left or column_number == 0
    for row in rows:
        result.add_row(*("\n".join(map(escaped, cell.split("\n"))) for cell in row))
    return result
