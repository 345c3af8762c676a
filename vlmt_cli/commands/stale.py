"""Say of runs that their scores are of other weights than they have now, so that they are not compared by these."""

from collections.abc import Iterable
from pathlib import Path

from vlmt_cli.commands.show import say
from vlmt_cli.runs.folders import data_option


def say_stale(runs: Iterable[Path], data: Path) -> None:
    """Name the runs whose scores are of other weights, with the command that scores each as it is now."""
    from vlmt_cli.analysis.relations.seeds import stale_runs

    for mine in stale_runs(runs):
        say(f"Not compared by its test scores: {mine.run} {mine.lack}; run {mine.todo}{data_option(data)}")
