"""The tables of ``vlmt analyze schedule``."""

from collections.abc import Mapping, Sequence

from vlmt_cli.analysis.schedule import runs as schedules
from vlmt_cli.analysis.schedule.schedule import Schedule, Setting, Totals
from vlmt_cli.base.words import count
from vlmt_cli.commands.show import stdout, table
from vlmt_cli.evaluation.scores import COLUMNS


def show_tasks(mine: Schedule, logged: Mapping[str, Totals]) -> None:
    """Show what each task did in a run: updates, stops, and the state at the end."""
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
    stdout().print(table(header, rows, f"{mine.run}: {count(mine.iterations, 'iteration')}"))


def show_replays(mine: Schedule, own: Setting, replayed: Mapping[Setting, Mapping[str, Totals]]) -> None:
    """Show updates and stops of each task under other settings, beside those of the run's own."""
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


def show_curves(mine: Schedule, singles: Mapping[str, Schedule]) -> None:
    """Show each task's validation scores alone and together, in percent; nothing without single-task runs."""
    if not singles:
        return
    rows = []
    for name, single in singles.items():
        alone, together = schedules.fit(single, name), schedules.fit(mine, name)
        cells = [f"{100 * score:.2f}" for fit in (alone, together) for score in (fit.best, fit.last)]
        rows.append([COLUMNS[name], *cells[:2], f"{alone.best_at:.0%}", *cells[2:], f"{together.best_at:.0%}"])
    header = ["task", "alone:\nbest", "\nlast", "\nbest at", "together:\nbest", "\nlast", "\nbest at"]
    stdout().print(table(header, rows, "Validation scores, %; a best score long before the end tells of overfitting"))
    stdout().print("Alone: " + "; ".join(f"{COLUMNS[name]} is {single.run}" for name, single in singles.items()))


def show_gaps(gaps: Sequence[schedules.GapScores], published: Sequence[schedules.GapScores], source: str) -> None:
    """Show mean scores by gap, in percent, above the paper's.

    Args:
        gaps: of the runs.
        published: of the paper; empty where they do not compare.
        source: ``test`` or ``validation``.
    """
    groups = list(gaps[0].groups)
    rows = []
    for whose, scores in (("", gaps), ("the paper's ", published)):
        for score in scores:
            cells = [f"{100 * score.groups[group]:.2f}" for group in groups if group in score.groups]
            rows.append([f"{whose}gap {score.gap}", str(score.runs), *cells, f"{100 * score.average:.2f}"])
    stdout().print(table(["", "runs", *groups, "All"], rows, f"Mean {source} scores by gap, %"))
