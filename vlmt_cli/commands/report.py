"""``vlmt report``: one page of one's own runs."""

from pathlib import Path
from typing import Annotated

import typer

from vlmt_cli.commands.options import DATA, DataFolder, Json


def report(
    run: Annotated[
        list[Path] | None,
        typer.Argument(help="Run folders, as the shell lists them; else all of DATA/runs.", show_default=False),
    ] = None,
    to: Annotated[Path, typer.Option("--to", help="The page.")] = Path("report.html"),
    examples: Annotated[
        int, typer.Option("--examples", min=0, help="Right and wrong examples to show of each task.")
    ] = 2,
    data: DataFolder = DATA,
    as_json: Json = False,
) -> None:
    """Write one HTML page of runs: scores with intervals, leaks, schedule, pairs, affinity, consistency, examples.

    The page shows what the runs and their data folder have, and names the command that makes what they lack. It
    trains and scores nothing. The examples are those right and wrong answers of which the model was most confident.
    Folders that are not runs are passed over.

    Examples:

      vlmt report runs/all-tasks

      vlmt report demo/runs/* --data demo --to demo-report.html
    """
    from vlmt_cli.analysis import run_report as library
    from vlmt_cli.base.errors import DataError
    from vlmt_cli.base.words import count
    from vlmt_cli.commands.show import say, stdout
    from vlmt_cli.runs.folders import data_of, find_run, runs_folder

    folder = runs_folder(data)
    named = run or (sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else [])
    runs, passed = library.find_runs(Path(find_run(path, data)) for path in named)
    if not runs:
        why = "; ".join(f"{path}: {reason}" for path, reason in passed.items())
        what = f"there is no run to report{f' ({why})' if why else ''}"
        raise DataError(what, where=None if run else folder, todo="name folders that vlmt train made")
    if passed:
        say(f"Passed over {len(passed)} of {count(len(named), 'path')}:")
        for path, reason in passed.items():
            say(f"  {path}: {reason}")
    if (found := data_of(runs, data)) != data:
        say(f"Data folder: {found}, in which the runs are")
    data = found
    made = library.write_report(to, runs, data, examples=examples)
    if as_json:
        print(library.as_json(to, made, runs, passed))
        return
    console = stdout()
    console.print(f"{count(len(made.sections), 'section')} of {count(len(runs), 'run')}.")
    if made.lacks:
        console.print("Left out, and what would make it:")
    for lack in made.lacks:
        console.print(f"  {lack.what}{': ' if lack.command else ''}{lack.command}")
    console.print(f"Written to {to}")
