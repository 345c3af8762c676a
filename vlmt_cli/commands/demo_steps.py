"""The steps of ``vlmt demo``: complete steps are not repeated, interrupted ones resume."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.files import write_text
from vlmt_cli.commands.show import say
from vlmt_cli.runs.folders import settle

MANIFEST = "demo.json"
"""The options of the demo, and which of its steps are complete."""


class Steps:
    """The steps of a demo, each of which is done once, however often the demo is started.

    Args:
        folder: of the demo.
        options: of the demo; all steps in a folder have the same.

    Raises:
        UsageError: the folder holds a demo of other options, or somebody's own data.
        DataError: the record of its steps is damaged.
    """

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self.folder, self.options, self.done = folder, options, list[str]()
        path = folder / MANIFEST
        if not path.exists():
            return
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            before, self.done = dict(kept["options"]), list(kept["done"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError("is damaged", where=path, todo=f"delete {folder} and start anew") from error
        for name, value in options.items():
            if before.get(name) != value:
                what = f"was started with --{name} {before.get(name)}, not {value}"
                raise UsageError(what, where=folder, todo="give the same options, or another --folder")

    def do(self, command: str, work: Callable[[], None]) -> None:
        """Do what a command line does, unless it was done before.

        Args:
            command: as a user would write it, with ``{folder}`` for the demo's folder.
            work: does it; it must be able to go on after it was killed.
        """
        if command not in self.done:
            say(f"$ vlmt {command.format(folder=self.folder)}")
            work()
            self.complete(command)

    def train(self, command: str, run: str, work: Callable[[Path, bool], None]) -> None:
        """Do a training, or the rest of one that was interrupted.

        Args:
            command: as for ``do``, without the run.
            run: its name.
            work: trains into a folder; its argument says whether a run is resumed there.
        """
        from vlmt_cli.runs.recipe import RECIPE

        path = self.folder / "runs" / run

        def go_on() -> None:
            settle(path)
            resume = (path / RECIPE).exists()
            if resume:
                say(f"Resuming {path}")
            work(path, resume)

        self.do(f"{command} --data {{folder}} --run {{folder}}/runs/{run}", go_on)

    def complete(self, step: str) -> None:
        """Note that a step is complete."""
        self.done.append(step)
        content = {"options": self.options, "done": self.done}
        write_text(self.folder / MANIFEST, json.dumps(content, indent=2) + "\n")
