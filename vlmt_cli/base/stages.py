"""Where the seconds of a command go."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

IMPORTS = "imports"
seconds_to_start = 0.0
"""What importing ``vlmt_cli.app`` took, which says so here."""


class Stages:
    """Wall-clock seconds of each stage of a command, in ``seconds`` by the stage's name.

    A stage that is entered again adds to its seconds. ``imports`` begins with what it took to start the command.
    """

    def __init__(self) -> None:
        self.seconds = {IMPORTS: seconds_to_start}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count what is done within to a stage."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def __str__(self) -> str:
        return ", ".join(f"{name} {seconds:.2f} s" for name, seconds in self.seconds.items())
