"""Schedules as pictures: figures 2 and 6, and single-task against multi-task curves (figures 4 and 7)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vlmt_cli.analysis.schedule.runs import GapScores
from vlmt_cli.analysis.schedule.schedule import Schedule, TaskSchedule, totals
from vlmt_cli.base.files import atomic
from vlmt_cli.datasets.table import TASKS
from vlmt_cli.evaluation.scores import COLUMNS

GROUP_COLOURS = {"G1": "#0072b2", "G2": "#d55e00", "G3": "#009e73", "G4": "#aa4499"}
"""Of Okabe and Ito and of Tol, which are told apart with any kind of colour vision."""
_INK, _DIM, _LINE, _SHADE = "#1d2433", "#667085", "#d0d5dd", "#f4ead5"
_SINGLE, _MULTI = "#e69f00", "#0072b2"
_ALL = "all tasks"


def draw_states(schedule: Schedule, path: Path) -> None:
    """Draw each task's states along the iterations (figure 2 left): thick lines go, thin lines stop."""
    tasks = _in_order(schedule)
    figure = Figure(figsize=(9, 0.36 * len(tasks) + 1.35), layout="constrained")
    axes = figure.add_subplot()
    for y, task in enumerate(tasks):
        colour = GROUP_COLOURS[TASKS[task.task].group]
        for segment in task.segments:
            width = 7.5 if segment.state == "go" else 1.4
            axes.plot([segment.begin, segment.end], [y, y], color=colour, linewidth=width, solid_capstyle="butt")
        counted = totals(task.segments, schedule.recipe.training.gap, task.drawn)
        share = counted.updates / max(1, schedule.iterations)
        axes.text(1.01, y, f"{share:.0%}", transform=axes.get_yaxis_transform(), va="center", fontsize=9, color=_INK)
    axes.text(1.01, -0.95, "updates", transform=axes.get_yaxis_transform(), va="center", fontsize=8.5, color=_DIM)
    axes.set_yticks(range(len(tasks)), [COLUMNS[task.task] for task in tasks], fontsize=9.5, color=_INK)
    axes.set_ylim(len(tasks) - 0.4, -1.3)
    axes.set_xlim(0, schedule.iterations)
    _count(axes.xaxis)
    axes.set_xlabel("multi-task iteration", fontsize=9.5, color=_DIM)
    handles = [Line2D([], [], color=_DIM, linewidth=width) for width in (7.5, 1.4)]
    labels = ["go", f"stop: every {_ordinal(schedule.recipe.training.gap)} iteration"]
    groups = [group for group in GROUP_COLOURS if any(TASKS[task.task].group == group for task in tasks)]
    handles += [Line2D([], [], color=GROUP_COLOURS[group], linewidth=7.5) for group in groups]
    axes.legend(
        handles, [*labels, *groups], loc="lower left", bbox_to_anchor=(0, 1), ncols=6, frameon=False, fontsize=9
    )
    _plain(axes, grid=None)
    axes.tick_params(axis="y", length=0)
    _save(figure, path)


def draw_drift(schedule: Schedule, task: str, path: Path) -> None:
    """Draw a task's validation score with its stopped iterations shaded (figure 6 left)."""
    task_schedule = schedule.tasks[task]
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for segment in task_schedule.segments:
        if segment.state == "stop":
            axes.axvspan(segment.begin, segment.end, color=_SHADE, linewidth=0)
    colour = GROUP_COLOURS[TASKS[task].group]
    axes.plot(task_schedule.validated, 100 * task_schedule.scores, "-o", color=colour, linewidth=1.6, markersize=3.2)
    axes.plot(
        task_schedule.validated,
        100 * np.maximum.accumulate(task_schedule.scores),
        "--",
        color=_DIM,
        linewidth=0.9,
        drawstyle="steps-post",
    )
    axes.set_xlim(0, schedule.iterations)
    _count(axes.xaxis)
    axes.set_xlabel("multi-task iteration", fontsize=9.5, color=_DIM)
    axes.set_ylabel(f"validation, {TASKS[task].metric}, %", fontsize=9.5, color=_DIM)
    later = task_schedule.scores[task_schedule.validated >= (totals(task_schedule.segments, 1).first_stop or 0)]
    spread = max(float(np.ptp(later)), 1e-3)
    axes.set_ylim(100 * max(0.0, later.min() - 0.7 * spread), 100 * min(1.0, later.max() + 0.2 * spread))
    axes.set_title(
        f"{COLUMNS[task]}, {task_schedule.examples:,} examples", fontsize=11, loc="left", color=_INK, weight="bold"
    )
    handles = [
        Line2D([], [], color=colour, marker="o", markersize=3.2),
        Line2D([], [], color=_DIM, linewidth=0.9, linestyle="--"),
        Line2D([], [], color=_SHADE, linewidth=9),
    ]
    labels = ["score", "best so far", "stopped"]
    axes.legend(handles, labels, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize=9)
    _plain(axes, grid="y")
    _save(figure, path)


def draw_updates(schedule: Schedule, path: Path) -> None:
    """Draw the sizes of datasets against how often they were trained (figure 6 right)."""
    tasks = sorted(schedule.tasks.values(), key=lambda task: task.examples)
    counted = [totals(task.segments, schedule.recipe.training.gap, task.drawn).updates for task in tasks]
    most = max(schedule.iterations, *counted)  # a task that is drawn often trains more than once an iteration
    heights = np.log10([task.examples for task in tasks])
    low, high = heights[0] - 0.12, heights[-1] + 0.12
    figure = Figure(figsize=(7.6, max(3.0, 0.3 * len(tasks) + 1.0)), layout="constrained")
    axes = figure.add_subplot()
    labels = _apart(heights, (high - low) / max(1, len(tasks)) * 0.95, low, high)
    for task, updates, y, label in zip(tasks, counted, heights, labels, strict=True):
        colour = GROUP_COLOURS[TASKS[task.task].group]
        axes.plot([updates, most * 1.02, most * 1.06], [y, y, label], color=_LINE, linewidth=0.8, clip_on=False)
        axes.plot([updates], [y], "o", color=colour, markersize=7, clip_on=False, zorder=3)
        name = f"{COLUMNS[task.task]}  {updates / max(1, schedule.iterations):.0%}"
        axes.text(most * 1.07, label, name, fontsize=9, color=colour, va="center")
    counts = [count * 10**power for power in range(9) for count in (1, 2, 5) if low <= np.log10(count) + power <= high]
    axes.set_yticks(np.log10(counts), [f"{count:,}" for count in counts])
    axes.set_xlim(0, most)
    axes.set_ylim(low, high)
    axes.set_xlabel("updates", fontsize=9.5, color=_DIM)
    axes.set_ylabel("training examples", fontsize=9.5, color=_DIM)
    _plain(axes, grid="x")
    _count(axes.xaxis)
    _save(figure, path)


def draw_gaps(gaps: Sequence[GapScores], published: Sequence[GapScores], source: str, path: Path) -> None:
    """Draw mean scores by group against the gap, as a share of each group's best (figure 2 right).

    Args:
        gaps: of some runs, in order of their gaps.
        published: the paper's, dashed; none for none.
        source: the images that the scores are on, ``validation`` or ``test``.
        path: the PNG.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    ticks = sorted({gap_scores.gap for gap_scores in (*gaps, *published)})
    for scores, style in ((published, "--"), (gaps, "-o")):
        for name in [*GROUP_COLOURS, _ALL]:
            line = [(score.gap, score.average if name == _ALL else score.groups.get(name)) for score in scores]
            points = [(gap, value) for gap, value in line if value is not None]
            best = max((value for _, value in points), default=0)
            if best > 0:
                colour, width = GROUP_COLOURS.get(name, _INK), 2.4 if name == _ALL else 1.6
                xs, ys = [ticks.index(gap) for gap, _ in points], [100 * value / best for _, value in points]
                faint = 0.55 if style == "--" else 1.0
                axes.plot(
                    xs,
                    ys,
                    style,
                    color=colour,
                    linewidth=width,
                    markersize=4.5,
                    alpha=faint,
                    label=name if style == "-o" else None,
                )
    axes.set_xticks(range(len(ticks)), [str(gap) for gap in ticks])
    axes.set_xlabel("gap: iterations between two updates of a stopped task", fontsize=9.5, color=_DIM)
    axes.set_ylabel(f"mean {source} score, % of the group's best", fontsize=9.5, color=_DIM)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=5, frameon=False, fontsize=9)
    if published:
        axes.text(1, 1.02, "dashed: the paper's", transform=axes.transAxes, ha="right", fontsize=8.5, color=_DIM)
    _plain(axes, grid="y")
    _save(figure, path)


def draw_curves(multi: Schedule, singles: Mapping[str, Schedule], path: Path) -> None:
    """Draw each task's training loss and validation score, alone and with all others (figures 4 and 7)."""
    tasks = [task.task for task in _in_order(multi) if task.task in singles]
    across = 2 if len(tasks) > 2 else 1
    down = -(-len(tasks) // across)
    figure = Figure(figsize=(6.2 * across, 1.95 * down + 0.75))
    outer = figure.add_gridspec(
        down,
        across,
        left=0.5 / (6.2 * across) + 0.02,
        right=0.985,
        top=1 - 0.75 / (1.95 * down + 0.75),
        bottom=0.42 / (1.95 * down + 0.75),
        hspace=0.62,
        wspace=0.14,
    )
    for number, task in enumerate(tasks):
        inner = outer[number % down, number // down].subgridspec(1, 2, wspace=0.24)
        loss, score = figure.add_subplot(inner[0]), figure.add_subplot(inner[1])
        for schedule, colour in ((singles[task], _SINGLE), (multi, _MULTI)):
            task_schedule = schedule.tasks[task]
            loss.plot(task_schedule.logged, task_schedule.losses, color=colour, linewidth=1.4)
            score.plot(task_schedule.validated, 100 * task_schedule.scores, color=colour, linewidth=1.4)
            score.plot(
                task_schedule.validated[-1:],
                100 * task_schedule.scores[-1:],
                "o",
                color=colour,
                markersize=4,
                clip_on=False,
            )
        loss.set_title(f"{COLUMNS[task]}: training loss", fontsize=9.5, loc="left", color=_INK, weight="bold")
        score.set_title("validation score, %", fontsize=9.5, loc="left", color=_INK, weight="bold")
        for axes in (loss, score):
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.set_xlim(0, max(multi.iterations, singles[task].iterations))
            _count(axes.xaxis)
            _plain(axes, grid="y")
    handles = [Line2D([], [], color=colour, linewidth=2.2) for colour in (_SINGLE, _MULTI)]
    labels = ["alone", f"with {len(multi.tasks) - 1} other task{'s' if len(multi.tasks) > 2 else ''}"]
    figure.legend(handles, labels, loc="upper left", bbox_to_anchor=(0.01, 1), ncols=2, frameon=False, fontsize=10)
    figure.text(0.985, 0.006, "iteration", ha="right", va="bottom", fontsize=9, color=_DIM)
    _save(figure, path)


def _in_order(schedule: Schedule) -> list[TaskSchedule]:
    """Return tasks by group, the largest dataset first."""
    return sorted(schedule.tasks.values(), key=lambda task: (TASKS[task.task].group, -task.examples))


def _apart(wanted: Any, least: float, low: float, high: float) -> list[float]:
    """Move rising places so far that there is ``least`` between any two of them, within ``low`` and ``high``."""
    places: list[float] = []
    for wish in wanted:
        places.append(max(float(wish), places[-1] + least if places else low))
    ceiling = high
    for number in reversed(range(len(places))):
        places[number] = min(places[number], ceiling)
        ceiling = places[number] - least
    return places


def _count(axis: Any) -> None:
    """Write numbers as 5k."""
    axis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}")


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _plain(axes: Any, grid: str | None) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_LINE)
    axes.tick_params(colors=_DIM, labelsize=8.5, length=3, color=_LINE)
    if grid:
        axes.grid(axis=grid, color="#eaecf0", linewidth=0.8)
        axes.set_axisbelow(True)


def _save(figure: Figure, path: Path) -> None:
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150, metadata={"Software": None})
