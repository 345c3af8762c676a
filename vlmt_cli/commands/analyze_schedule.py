"""The body of ``vlmt analyze schedule``."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vlmt_cli.analysis.relations.ablations import TABLES, ablation_table
from vlmt_cli.analysis.schedule import runs as schedules
from vlmt_cli.analysis.schedule.schedule import (
    Schedule,
    Setting,
    Totals,
    read_schedule,
    replay,
    setting_of,
    totals,
)
from vlmt_cli.base.errors import UsageError
from vlmt_cli.commands.show import say, stdout, table
from vlmt_cli.evaluation.scores import COLUMNS
from vlmt_cli.runs.recipe import RECIPE
from vlmt_cli.training.dsg import VARIANTS

GAPS = (1, 4, 8, 16)
"""The gaps of table 11."""


def schedule(
    run: Path,
    beside: Sequence[Path] | None,
    runs: Path,
    task: str | None,
    replays: Sequence[str] | None,
    to: Path | None,
    paper: bool,
    as_json: bool,
) -> None:
    """Read a run, replay it, draw it, and show it."""
    mine = read_schedule(run)
    if task is not None and task not in mine.tasks:
        raise UsageError(f"the run has no task {task!r}", where=run, todo=f"choose among {', '.join(mine.tasks)}")
    own = setting_of(mine.recipe)
    settings = _settings(replays, own)
    folders = list(beside) if beside else _all_runs(runs)
    singles, others = schedules.companions(mine, folders)
    if beside and len(singles) + len(others) < len(beside):
        say("Runs are passed over that are neither of one of its tasks and the same model, nor of another gap alone")
    gaps, source = schedules.gap_scores([mine, *others]) if others else ([], "validation")
    published = _paper_gaps() if paper else []
    small = task or _small(mine, own.gap)
    pictures = _draw(mine, singles, gaps, published, small, to or run / "schedule")
    replayed = {
        setting: {name: totals(segments, setting.gap) for name, segments in replay(mine, setting).items()}
        for setting in settings
    }
    logged = {name: totals(task_schedule.segments, own.gap) for name, task_schedule in mine.tasks.items()}
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
                    "gaps": [vars(gap) for gap in gaps],
                    "pictures": [str(path) for path in pictures],
                },
                indent=2,
            )
        )
        return
    _show_tasks(mine, logged)
    _show_replays(mine, own, replayed)
    _show_curves(mine, singles)
    if gaps:
        _show_gaps(gaps, published, source)
    stdout().print("Drawn in " + ", ".join(str(path) for path in pictures))


def _settings(replays: Sequence[str] | None, own: Setting) -> list[Setting]:
    """Read ``gap=8,diverged=0.01``; what is not named is as in the run."""
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
            what = f"--replay {text!r} has no such value"
            raise UsageError(what, todo="a gap is 1 or more, a threshold 0 or more, a variant paper or authors")
        settings.append(setting)
    return settings


def _all_runs(runs: Path) -> list[Path]:
    return sorted({path.parent for pattern in ("*", "*/*") for path in runs.glob(f"{pattern}/{RECIPE}")})


def _small(mine: Schedule, gap: int) -> str:
    """Choose whose drift to draw: RefCOCO+, as the paper, else the smallest dataset that stopped, or the smallest."""
    if "refcoco+" in mine.tasks:
        return "refcoco+"
    stopped = [task for task in mine.tasks.values() if totals(task.segments, gap).stops]
    return min(stopped or mine.tasks.values(), key=lambda candidate: candidate.examples).task


def _paper_gaps() -> list[schedules.GapScores]:
    rows, _ = ablation_table("11", {})
    gaps = dict(zip(TABLES["11"], GAPS, strict=True))
    return [
        schedules.GapScores(
            gaps[row.recipe],
            1,
            {name: value / 100 for name, value in row.paper.items() if name in ("G1", "G2", "G3", "G4")},
            row.paper["average"] / 100,
        )
        for row in rows
    ]


def _draw(
    mine: Schedule,
    singles: Mapping[str, Schedule],
    gaps: Sequence[schedules.GapScores],
    published: Sequence[schedules.GapScores],
    small: str,
    folder: Path,
) -> list[Path]:
    from vlmt_cli.analysis.schedule import plot as plot

    pictures = [folder / f"{name}.png" for name in ("stop-and-go", "drift", "updates")]
    plot.draw_states(mine, pictures[0])
    plot.draw_drift(mine, small, pictures[1])
    plot.draw_updates(mine, pictures[2])
    if gaps:
        pictures.append(folder / "gaps.png")
        plot.draw_gaps(gaps, published, pictures[-1])
    if singles:
        pictures.append(folder / "curves.png")
        plot.draw_curves(mine, singles, pictures[-1])
    return pictures


def _show_tasks(mine: Schedule, logged: Mapping[str, Totals]) -> None:
    rows = [
        [
            COLUMNS[name],
            f"{mine.tasks[name].examples:,}",
            f"{totals.updates:,}",
            f"{totals.updates / max(1, mine.iterations):.0%}",
            str(totals.stops),
            "" if totals.first_stop is None else f"{totals.first_stop:,}",
            mine.tasks[name].segments[-1].state,
        ]
        for name, totals in logged.items()
    ]
    header = ["task", "examples", "updates", "of iterations", "stops", "first after", "at the end"]
    stdout().print(table(header, rows, f"{mine.run}: {mine.iterations:,} iterations"))


def _show_replays(mine: Schedule, own: Setting, replayed: Mapping[Setting, Mapping[str, Totals]]) -> None:
    header = ["updates (stops)"] + [_name(setting, own) for setting in replayed]
    rows = []
    for name in mine.tasks:
        rows.append([COLUMNS[name], *(f"{tasks[name].updates:,} ({tasks[name].stops})" for tasks in replayed.values())])
    sums = [sum(totals.updates for totals in tasks.values()) for tasks in replayed.values()]
    every = mine.iterations * len(mine.tasks)
    rows.append(["all", *(f"{total:,} = {total / max(1, every):.0%}" for total in sums)])
    stdout().print(table(header, rows, "What other settings would have done with these scores"))
    stdout().print("Scores are as logged, not as they would have been: under another setting the model is another.")


def _name(setting: Setting, own: Setting) -> str:
    parts = [f"gap {setting.gap}"]
    for name in ("converged", "diverged", "variant"):
        if getattr(setting, name) != getattr(own, name):
            parts.append(f"{name} {getattr(setting, name)}")
    return "\n".join(parts) + ("\nas it was" if setting == own else "")


def _show_curves(mine: Schedule, singles: Mapping[str, Schedule]) -> None:
    if not singles:
        return
    rows = []
    for name, single in singles.items():
        alone, together = schedules.fit(single, name), schedules.fit(mine, name)
        cells = [f"{100 * score:.2f}" for fit in (alone, together) for score in (fit.best, fit.last)]
        rows.append([COLUMNS[name], *cells[:2], f"{alone.best_at:.0%}", *cells[2:], f"{together.best_at:.0%}"])
    header = ["task", "alone:\nbest", "\nlast", "\nbest at", "together:\nbest", "\nlast", "\nbest at"]
    stdout().print(table(header, rows, "Validation scores, %; a best score long before the end tells of overfitting"))


def _show_gaps(gaps: Sequence[schedules.GapScores], published: Sequence[schedules.GapScores], source: str) -> None:
    groups = list(gaps[0].groups)
    rows = []
    for whose, scores in (("", gaps), ("the paper's ", published)):
        for score in scores:
            cells = [f"{100 * score.groups[group]:.2f}" for group in groups if group in score.groups]
            rows.append([f"{whose}gap {score.gap}", str(score.runs), *cells, f"{100 * score.average:.2f}"])
    stdout().print(table(["", "runs", *groups, "All"], rows, f"Mean {source} scores by gap, %"))
