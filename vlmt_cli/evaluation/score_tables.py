"""Scores as tables: laid out as the paper's table 2, or with a row a metric; beside the paper's, where they compare."""

from collections.abc import Iterable, Mapping, Sequence

from vlmt_cli.base.errors import UsageError
from vlmt_cli.datasets.table import GROUPS, TASKS, TWELVE
from vlmt_cli.evaluation.bootstrap import Estimate
from vlmt_cli.evaluation.contamination import in_words
from vlmt_cli.evaluation.marks import is_leaked, mark_of
from vlmt_cli.evaluation.scores import COLUMNS, Shortlist, TaskScore, averages, values_of
from vlmt_cli.paper import table

NOTHING = "-"
PAPERS_PARAMETERS = 270e6
"""Of each of the paper's models (table 2: 270M of one model, 3B of twelve)."""
_CONTROLLED = {"in_differences": "difference in differences"}
_CONTAMINATION = {"seen": "images seen in training", "unseen": "images not seen", "difference": "difference"}


def table2(
    rows: Mapping[str, Mapping[str, TaskScore]],
    paper: Sequence[str] = (),
    intervals: bool = False,
    means: bool = True,
) -> tuple[list[str], list[list[str]]]:
    """Lay scores out as table 2: a row a model, in percent.

    Args:
        rows: by name, each model's tasks (``Scores.tasks``; of single-task models all of theirs together).
        paper: rows of the paper to add, of ``paper_rows()``: the figures that compare with the scores.
        intervals: whether to write the intervals.
        means: whether a group's mean stands after its tasks.

    Returns:
        The header, two lines a cell, task group above task; and the rows, with the marks of ``marks.mark_of``.

    Raises:
        UsageError: the paper has no such row.
    """
    header, keys = table2_columns((name for tasks in rows.values() for name in tasks), means)
    cells = {model: _cells(tasks, intervals) for model, tasks in rows.items()}
    measured = {name: score for tasks in rows.values() for name, score in tasks.items()}
    cells |= {f"paper: {name}": _paper_cells(name, measured) for name in paper}
    return header, [[model, *(row.get(key, NOTHING) for key in keys)] for model, row in cells.items()]


def table2_columns(present: Iterable[str], means: bool = True) -> tuple[list[str], list[str]]:
    """Return the header of table 2, two lines a cell, task group above task; and what stands in each column but the
    first: a task, a group for its mean, or ``average``. Tasks beyond the twelve follow where they are present."""
    header, above, keys = ["\n"], "", list[str]()
    for group, names in GROUPS.items():
        keys += [name for name in COLUMNS if name in names] + [group] * means
    listed = set(present)
    keys += ["average", *(name for name in COLUMNS if name in listed and name not in TWELVE)]
    for key in keys:
        group = TASKS[key].group if key in TWELVE else key if key in GROUPS else ""
        title = COLUMNS.get(key) or ("mean" if key in GROUPS else "All")
        header.append(f"{group if group != above else ''}\n{title}")
        above = group
    return header, keys


def by_task(tasks: Mapping[str, TaskScore], paper: str | None = None) -> tuple[list[str], list[list[str]]]:
    """Lay one model's scores out with a row a metric, for narrow terminals and for what table 2 has no room for.

    Args:
        tasks: ``Scores.tasks``.
        paper: a row of ``paper_rows()`` to show beside it: the figures that compare with the scores.

    Raises:
        UsageError: the paper has no such row.
    """
    published = _paper_cells(paper, tasks) if paper is not None else {}
    rows: list[list[str]] = []

    def add(*cells: str, column: str | None = None) -> None:
        beside = [published.get(column, NOTHING) if column else ""]
        rows.append([*cells, *(beside if paper is not None else [])])

    for name in (name for name in COLUMNS if name in tasks):
        task = tasks[name]
        measured = _measured(task.score, mark_of(task))
        add(COLUMNS[name], task.split, task.metric, *measured, column=name)
        for extra, value in task.extra.items():
            add("", "", extra, *(_measured(value) if isinstance(value, Estimate) else [f"{value:g}", "", ""]))
        if made := task.shortlist:
            for metric, loss in made.loss.items():
                count = made.images if metric.startswith("caption") else made.captions
                add("", "", f"{metric}: all pairs less shortlist", f"{100 * loss:+.2f}", "", f"{count:,}")
        for part in ("seen", "unseen", "difference"):
            if is_leaked(task) and (estimate := getattr(task.contamination, part)):
                add("", "", _CONTAMINATION[part], *_measured(estimate))
        for part, title in (_CONTAMINATION | _CONTROLLED).items() if task.control else ():
            prefix = "" if part in _CONTROLLED else "control: "
            add("", "", f"{prefix}{title}", *_measured(getattr(task.control, part)))
    for column, mean in _average_cells(values_of(tasks)).items():
        add(column if column in GROUPS else "All", "", "mean", mean, "", "", column=column)
    header = ["task", "split", "metric", "%", "95% interval", "n"] + ["paper"] * (paper is not None)
    return header, rows


def concluded(tasks: Mapping[str, TaskScore]) -> list[str]:
    """Say for each task with seen and unseen images what these scores allow to conclude."""
    return [
        f"{COLUMNS[name]}: {in_words(task.contamination, task.control)}"
        for name, task in tasks.items()
        if is_leaked(task) and task.contamination
    ]


def shortlist_explained(made: Shortlist) -> str:
    """Say how a score of retrieval was made where not all pairs were scored."""
    share = made.scored / made.pairs
    return (
        f"Shortlist {made.k}: the model scored {made.scored:,} of {made.pairs:,} pairs ({share:.1%});"
        f" the others stand behind, by a cheap score fitted on {made.fitted:,} validation pairs. What that loses is"
        f" measured on {made.captions:,} captions and {made.images:,} images, of which all pairs were scored."
    )


def paper_rows() -> dict[str, dict[str, str]]:
    """Return table 2's rows by name: ``ST full``, ``ST clean``, ``GT clean``, ``AT clean``, ..."""
    return {f"{row['run']} {'clean' if row['clean'] == 'yes' else 'full'}": row for row in table("table2_results")}


def _cells(tasks: Mapping[str, TaskScore], intervals: bool) -> dict[str, str]:
    """Return what stands in the column of each task, group mean and average."""
    cells = {}
    for name, task in tasks.items():
        percent, interval, _ = _measured(task.score, mark_of(task))
        cells[name] = f"{percent} {interval}" if intervals else percent
    return cells | _average_cells(values_of(tasks))


def _paper_cells(name: str, ours: Mapping[str, TaskScore]) -> dict[str, str]:
    if name not in paper_rows():
        raise UsageError(f"table 2 has no row {name!r}", todo=f"choose one of {', '.join(paper_rows())}")
    return {column: f"{figure:.2f}" for column, figure in comparable_figures(name, ours).items()}


def comparable_figures(row: str, ours: Mapping[str, TaskScore]) -> dict[str, float]:
    """Return the paper's figures that some scores can stand beside, in percent.

    Args:
        row: of the paper's table 2, such as ``AT clean``.
        ours: scores by task.

    Returns:
        By task, and the mean of a group and of all twelve (``average``) where each of their tasks compares.
    """
    published = paper_rows()[row]
    figures = {
        task: float(published[task])
        for task in TWELVE
        if task in ours and published[task] and compares(task, ours[task], row)
    }
    groups, average = averages(figures)
    return figures | groups | ({"average": float(published["average"] or average)} if average is not None else {})


def compares(task: str, score: TaskScore, row: str = "") -> bool:
    """Whether a score can stand beside the paper's; see ``why_not_compared``."""
    return not why_not_compared(task, score, row)


def why_not_compared(task: str, score: TaskScore, row: str = "") -> str:
    """Say why a score does not stand beside the paper's; nothing where it does.

    It must be of the official metric and test set, and training must be known to have seen none of the images, unless
    the row of the paper's table 2 is of the full split, where the paper's models saw them, too.
    """
    if score.split != official_split(task) or score.metric != TASKS[task].metric:
        return f"scored on {score.split}" if score.split != official_split(task) else f"scored by {score.metric}"
    if score.unknown_stages or (is_leaked(score) and not row.endswith(" full")):
        return "training saw some of its test images, or may have"
    return ""


def official_split(task: str) -> str:
    """Return the name of a task's official test set, as ``scores.json`` has it."""
    return "+".join(TASKS[task].official)


def _average_cells(values: Mapping[str, float]) -> dict[str, str]:
    groups, average = averages(values)
    cells = {group: _percent(value) for group, value in groups.items()}
    return cells | ({"average": _percent(average)} if average is not None else {})


def _measured(estimate: Estimate, mark: str = "") -> list[str]:
    interval = f"[{_percent(estimate.low)}, {_percent(estimate.high)}]"
    return [_percent(estimate.value) + mark, interval, f"{estimate.n:,}"]


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"
