"""What a person sees while a model trains: every task's state, and when it will be done."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vlmt_cli.commands.show import say
from vlmt_cli.runs.lineage import Beginning

_EVERY = 30.0  # seconds between two lines where there is no terminal


class Display:
    """The state of a run, from its lines of metrics."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, Any]] = {}
        self.iteration = self.first = 0
        self.iterations = 1
        self.began = time.perf_counter()
        self.waiting = 0.0

    def take(self, record: dict[str, Any]) -> None:
        """Take in a line of metrics."""
        kind = record["kind"]
        if kind == "start":
            self.tasks = {task: {"state": "go"} for task in record["tasks"]}
            self.iterations, self.first = record["iterations"], record["iteration"]
            self.began = time.perf_counter()
        elif kind == "train":
            self.waiting = record["waiting"]
            self.tasks[record["task"]] |= {"loss": record["loss"], "speed": record["examples_per_second"]}
        elif kind == "validation":
            task = self.tasks[record["task"]]
            best = max(record["score"], task.get("best", record["score"]))
            task |= {"score": record["score"], "best": best, "state": record["state"]}
        self.iteration = max(self.iteration, record.get("iteration", 0))

    def left(self) -> str:
        """Say how long it will take."""
        done = self.iteration - self.first
        if not done:
            return ""
        seconds = (time.perf_counter() - self.began) / done * (self.iterations - self.iteration)
        hours, rest = divmod(int(seconds), 3600)
        return f"{hours}:{rest // 60:02}:{rest % 60:02} left" if hours else f"{rest // 60}:{rest % 60:02} left"

    def line(self) -> str:
        """Say all of it in a line."""
        scores = [task["score"] for task in self.tasks.values() if "score" in task]
        stopped = sum(task["state"] == "stop" for task in self.tasks.values())
        mean = f", mean validation score {sum(scores) / len(scores):.3f}" if scores else ""
        return f"iteration {self.iteration:,} of {self.iterations:,}{mean}, {stopped} stopped, {self.left()}"

    def __rich__(self) -> Group:
        table = Table(box=None, header_style="dim")
        for name in ("task", "state", "loss", "validation", "best", "examples/s"):
            table.add_column(name, justify="left" if name in ("task", "state") else "right")
        for task, state in self.tasks.items():
            colour = "green" if state["state"] == "go" else "yellow"
            numbers = [state.get("loss"), state.get("score"), state.get("best")]
            cells = ["" if value is None else f"{value:.3f}" for value in numbers]
            speed = f"{state['speed']:,.0f}" if "speed" in state else ""
            table.add_row(task, Text(state["state"], colour), *cells, speed)
        bar = ProgressBar(total=self.iterations, completed=self.iteration, width=40)
        text = (
            f"iteration {self.iteration:,} of {self.iterations:,}   {self.left()}   waiting for data {self.waiting:.0%}"
        )
        below = Table.grid()  # a bar alone ends no line
        below.add_row(bar)
        below.add_row(Text(text))
        return Group(table, below)


@contextmanager
def show_training(opening: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Show a run on stderr, after a line that opens it: live on a terminal, else a line now and then."""
    say(opening)
    display = Display()
    if sys.stderr.isatty():
        console = Console(stderr=True, highlight=False, markup=False)
        with Live(display, console=console, refresh_per_second=4, transient=True):

            def take_live(record: dict[str, Any]) -> None:
                display.take(record)
                if "weights" in record:
                    console.print(str(Beginning(**record["weights"])))

            yield take_live
        return
    last = time.perf_counter()

    def take(record: dict[str, Any]) -> None:
        nonlocal last
        display.take(record)
        if "weights" in record:
            say(str(Beginning(**record["weights"])))
        if record["kind"] == "save" or time.perf_counter() - last > _EVERY:
            last = time.perf_counter()
            say(display.line())

    yield take
