"""``vlmt analyze schedule``: what dynamic stop-and-go did, and what it would have done otherwise."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmt_cli.commands.options import DATA, DataFolder, Json, MultiTaskRun, Paper, Runs

if TYPE_CHECKING:
    from vlmt_cli.analysis.schedule.runs import GapScores
    from vlmt_cli.analysis.schedule.schedule import Schedule, Setting

GAPS = (1, 4, 8, 16)
"""The gaps of table 11."""


def schedule(
    run: MultiTaskRun = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            "--with", help="A run to compare with: of one of its tasks, or of another gap. Else all that fit in RUNS."
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Task whose drift is drawn; else RefCOCO+, or the smallest that stopped.")
    ] = None,
    replays: Annotated[
        list[str] | None,
        typer.Option(
            "--replay",
            help="Replay other DSG settings: gap=8,converged=0.002,diverged=0.01,variant=authors; others stay as they"
            " were. Repeat it for more; else gaps 1, 4, 8 and 16.",
        ),
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", help="Folder for the pictures; else RUN/schedule.")] = None,
    data: DataFolder = DATA,
    runs: Runs = None,
    paper: Paper = False,
    as_json: Json = False,
) -> None:
    """Show what dynamic stop-and-go did in a run, and what another gap or threshold would have done.

    Draws when each task was in state go or stop (figure 2 left), a small dataset's drift and sizes against updates
    (figure 6); with single-task runs, curves of both (figures 4 and 7); with runs of other gaps, these (figure 2
    right).

    Examples:

      vlmt analyze schedule

      vlmt analyze schedule runs/all-tasks --task refcoco+ --replay gap=8 --replay gap=4,diverged=0.02

      vlmt analyze schedule runs/all-tasks --with runs/single-task-snli_ve --with runs/gap-8 --paper
    """
    import json

    from vlmt_cli.analysis.schedule import runs as schedules
    from vlmt_cli.analysis.schedule.schedule import read_schedule, replay, setting_of, totals
    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.commands.schedule_tables import show_curves, show_gaps, show_replays, show_tasks
    from vlmt_cli.commands.show import say, stdout
    from vlmt_cli.commands.stale import say_stale
    from vlmt_cli.runs.folders import find_run, run_folders, runs_folder

    folder = runs or runs_folder(data)
    run = Path(find_run(run, data)) if run else folder / "all-tasks"
    beside = [Path(find_run(path, data)) for path in beside or ()]
    mine = read_schedule(run)
    if task is not None and task not in mine.tasks:
        raise UsageError(f"the run has no task {task!r}", where=run, todo=f"choose among {', '.join(mine.tasks)}")
    own = setting_of(mine.recipe)
    settings = _settings(replays, own)
    folders = beside or run_folders(folder)
    singles, others, passed = schedules.companions(mine, folders)
    for path, reason in passed.items():
        say(f"Passed over: {path} {reason}{'' if reason.startswith('is unfinished') else '; --with RUN takes another'}")
    if beside and len(singles) + len(others) + len(passed) < len(beside):
        say("Passed over runs that are neither single-task runs of the same model nor differ in the gap alone")
    gaps, source = schedules.gap_scores([mine, *others]) if others else ([], "validation")
    say_stale([mine.run, *(other.run for other in others)] if others else [], data)
    published = _paper_gaps() if paper and source == "test" else []
    if paper and gaps and source != "test":
        say("The paper's scores are on test images, these on validation images: they are not shown beside each other")
    small = task or _small(mine, own.gap)
    pictures = _draw(mine, singles, gaps, published, source, small, to or run / "schedule")
    replayed = {
        setting: {
            name: totals(segments, setting.gap, mine.tasks[name].drawn)
            for name, segments in replay(mine, setting).items()
        }
        for setting in settings
    }
    logged = {name: totals(task.segments, own.gap, task.drawn) for name, task in mine.tasks.items()}
    if as_json:
        print(
            json.dumps(
                {
                    "run": str(run),
                    "iterations": mine.iterations,
                    "setting": vars(own),
                    "tasks": {
                        name: {"examples": mine.tasks[name].examples, **vars(task_schedule)}
                        for name, task_schedule in logged.items()
                    },
                    "replays": [
                        vars(setting) | {"tasks": {name: vars(task_schedule) for name, task_schedule in tasks.items()}}
                        for setting, tasks in replayed.items()
                    ],
                    "curves": {
                        name: {
                            "run": str(single.run),
                            "alone": vars(schedules.fit(single, name)),
                            "together": vars(schedules.fit(mine, name)),
                        }
                        for name, single in singles.items()
                    },
                    "passed_over": [{"run": str(path), "reason": reason} for path, reason in passed.items()],
                    "gaps": [vars(gap) for gap in gaps],
                    "pictures": [str(path) for path in pictures],
                },
                indent=2,
            )
        )
        return
    show_tasks(mine, logged)
    show_replays(mine, own, replayed)
    show_curves(mine, singles)
    if gaps:
        show_gaps(gaps, published, source)
    stdout().print("Drawn in " + ", ".join(str(path) for path in pictures))


def _settings(replays: Sequence[str] | None, own: "Setting") -> "list[Setting]":
    """Read ``gap=8,diverged=0.01``; what is not named is as in the run."""
    from dataclasses import replace

    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.training.dsg import VARIANTS

    if not replays:
        return [replace(own, gap=gap) for gap in sorted({*GAPS, own.gap})]
    kinds: dict[str, Any] = {"gap": int, "converged": float, "diverged": float, "variant": str}
    settings = []
    for text in replays:
        changes: dict[str, Any] = {}
        for part in text.split(","):
            name, _, value = part.strip().partition("=")
            try:
                changes[name] = kinds[name](value)
            except (KeyError, ValueError) as error:
                raise UsageError(f"--replay {text!r}", todo="write it as gap=8,converged=0.002") from error
        setting = replace(own, **changes)
        if setting.gap < 1 or setting.converged < 0 or setting.diverged < 0 or setting.variant not in VARIANTS:
            what = f"--replay {text!r} has a value out of range"
            raise UsageError(what, todo="a gap is 1 or more, a threshold 0 or more, a variant paper or authors")
        settings.append(setting)
    return settings


def _small(mine: "Schedule", gap: int) -> str:
    """Choose whose drift to draw: RefCOCO+, as the paper, else the smallest dataset that stopped, or the smallest."""
    from vlmt_cli.analysis.schedule.schedule import totals

    if "refcoco+" in mine.tasks:
        return "refcoco+"
    stopped = [task for task in mine.tasks.values() if totals(task.segments, gap).stops]
    return min(stopped or mine.tasks.values(), key=lambda candidate: candidate.examples).task


def _paper_gaps() -> "list[GapScores]":
    from vlmt_cli.analysis.relations.ablations import TABLES, ablation_table
    from vlmt_cli.analysis.schedule.runs import GapScores

    rows, _ = ablation_table("11", {})
    gaps = dict(zip(TABLES["11"], GAPS, strict=True))
    return [
        GapScores(
            gaps[row.recipe],
            1,
            {name: value / 100 for name, value in row.paper.items() if name in ("G1", "G2", "G3", "G4")},
            row.paper["average"] / 100,
        )
        for row in rows
    ]


def _draw(
    mine: "Schedule",
    singles: "Mapping[str, Schedule]",
    gaps: "Sequence[GapScores]",
    published: "Sequence[GapScores]",
    source: str,
    small: str,
    folder: Path,
) -> list[Path]:
    from vlmt_cli.analysis.schedule import plot

    pictures = [folder / f"{name}.png" for name in ("stop-and-go", "drift", "updates")]
    plot.draw_states(mine, pictures[0])
    plot.draw_drift(mine, small, pictures[1])
    plot.draw_updates(mine, pictures[2])
    if gaps:
        pictures.append(folder / "gaps.png")
        plot.draw_gaps(gaps, published, source, pictures[-1])
    if singles:
        pictures.append(folder / "curves.png")
        plot.draw_curves(mine, singles, pictures[-1])
    return pictures
