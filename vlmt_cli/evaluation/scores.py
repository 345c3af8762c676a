"""``scores.json``: a model's scores, with all that checking them needs; and their rows as in table 2."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat, NonNegativeInt, PositiveInt, model_validator

from vlmt_cli.base.documents import read_json
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.files import write_text
from vlmt_cli.base.schema import parse
from vlmt_cli.datasets.table import GROUPS, TASKS, TWELVE
from vlmt_cli.evaluation.bootstrap import Estimate
from vlmt_cli.evaluation.contamination import Contamination, Control, in_words
from vlmt_cli.evaluation.marks import is_leaked, mark_of
from vlmt_cli.paper import table
from vlmt_cli.runs.best import BestOrLast
from vlmt_cli.runs.trained import Trained

SCORES_FILE = "scores.json"

_TABLE_2 = [name for name in next(iter(table("table2_results"))) if name in TASKS]
COLUMNS = {name: TASKS[name].short for name in dict.fromkeys([*_TABLE_2, *TASKS])}
"""The columns of table 2 in its order, and what other tasks add."""
NOTHING = "-"
PAPERS_PARAMETERS = 270e6
"""Of each of the paper's models (table 2: 270M of one model, 3B of twelve)."""
_CONTROLLED = {"in_differences": "difference in differences"}
_CONTAMINATION = {"seen": "images seen in training", "unseen": "images not seen", "difference": "difference"}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Shortlist(_Model):
    """How retrieval was scored where the model did not score all pairs of a caption and an image.

    Attributes:
        k: images for each caption, and captions for each image, that the model scored.
        pairs, scored: of all pairs, and of those that the model scored: the shortlist, what the loss is measured on,
            and the first thousand of COCO's 5,000 images.
        fitted: validation pairs that the cheap score of all pairs was fitted on.
        captions, images: of the sample, chosen at random, of which all pairs were scored.
        loss: by metric, the sample's by all pairs less its by the shortlist; negative where the shortlist flatters.
    """

    k: PositiveInt
    pairs: PositiveInt
    scored: PositiveInt
    fitted: PositiveInt
    captions: PositiveInt
    images: PositiveInt
    loss: dict[str, FiniteFloat]


class TaskScore(_Model):
    """One task's score.

    Attributes:
        metric: what it is; a share, from 0 to 1.
        split: what it was measured on: ``test``, ``testA+testB``, ``testdev``.
        score: the mean of the examples' scores, with its interval and their number.
        extra: further metrics by name; plain numbers, such as a median rank, are not shares.
        contamination: the score on images that training saw, and on the others; None where its images are unknown.
        control: what a model that saw none of the images scores on the same examples; None where none was given.
        shortlist: how a score of retrieval was made where not all pairs were scored; else None.
        unknown_stages: the trainings behind the model whose images are unknown: they may have seen any.
    """

    metric: str
    split: str
    score: Estimate
    extra: dict[str, Estimate | FiniteFloat] = {}
    contamination: Contamination | None = None
    control: Control | None = None
    shortlist: Shortlist | None = None
    unknown_stages: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _are_shares(self) -> "TaskScore":
        for name, share in {self.metric: self.score, **self.extra}.items():
            if isinstance(share, Estimate) and not 0 <= share.low <= share.high <= 1:
                raise ValueError(f"{name} has the interval {share.low} to {share.high}, which is not within 0 and 1")
            if isinstance(share, Estimate) and not 0 <= share.value <= 1:
                raise ValueError(f"{name} is {share.value}, which is not from 0 to 1")
        return self


class Scores(_Model):
    """What one model scored.

    Attributes:
        format: of this file.
        model: the run folder, file or hub id.
        weights: of a run, whether its best were scored or its last; None of a model that has only one kind.
        tasks: by name.
        groups: the mean of each task group that is complete, as tables 6 and 10 have it; of G2 over Recall@1.
        average: the mean of the twelve tasks (table 2); None unless all have scores.
        split_hash: of the clean split that the model was last trained on; None when it was the full one, or unknown.
        recipe_hash: of the recipe that made the model; None when unknown.
        weights_hash: SHA-256 of the weights; None in older files.
        trained: of a run, after which iteration the weights were taken, and how far it was; None of others, and in
            older files.
        leaks_allowed: whether test images that training saw were let in.
        resamples, resampled, seed: of the intervals: how often, what, and with which seed.
        versions: of ``vlmt`` and ``torch``.
    """

    format: Literal["vlmt scores 1", "vlmt scores 2", "vlmt scores 3"] = "vlmt scores 3"
    model: str
    weights: BestOrLast | None = None
    tasks: dict[str, TaskScore]
    groups: dict[str, float]
    average: float | None
    split_hash: str | None
    recipe_hash: str | None
    weights_hash: str | None = None
    trained: Trained | None = None
    leaks_allowed: bool
    resamples: PositiveInt
    resampled: Literal["image", "example"]
    seed: NonNegativeInt
    versions: dict[str, str]

    @model_validator(mode="after")
    def _add_up(self) -> "Scores":
        if unknown := self.tasks.keys() - TASKS.keys():
            raise ValueError(f"{', '.join(sorted(unknown))} is not a task")
        groups, average = averages(_values(self.tasks))
        stated = self.groups | {"average": self.average}
        right = groups | {"average": average}
        if stated.keys() != right.keys() or any(not _near(stated[name], right[name]) for name in right):
            raise ValueError("the averages are not those of the tasks")
        return self


def make_scores(
    model: str,
    tasks: Mapping[str, TaskScore],
    *,
    weights: BestOrLast | None = None,
    split_hash: str | None,
    recipe_hash: str | None,
    weights_hash: str | None = None,
    trained: Trained | None = None,
    leaks_allowed: bool,
    resamples: int,
    resampled: Literal["image", "example"],
    seed: int,
) -> Scores:
    """Put tasks' scores together with their averages and the versions that run; see ``Scores``."""
    groups, average = averages(_values(tasks))
    return Scores(
        model=model,
        weights=weights,
        tasks={name: tasks[name] for name in COLUMNS if name in tasks},
        groups=groups,
        average=average,
        split_hash=split_hash,
        recipe_hash=recipe_hash,
        weights_hash=weights_hash,
        trained=trained,
        leaks_allowed=leaks_allowed,
        resamples=resamples,
        resampled=resampled,
        seed=seed,
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    """Return the versions of what scored; torch is not needed to score another model's predictions."""
    versions = {"vlmt": version("vlmt")}
    with suppress(PackageNotFoundError):
        versions["torch"] = version("torch")
    return versions


def averages(values: Mapping[str, float]) -> tuple[dict[str, float], float | None]:
    """Average tasks' scores as the paper does, which prints the mean of all cut off, not rounded: 69.089 as 69.08.

    Returns:
        The mean of each group whose tasks are all there, and of all twelve; None where one is lacking.
    """
    complete = {group: names for group, names in GROUPS.items() if values.keys() >= set(names)}
    groups = {group: _mean(values[name] for name in names) for group, names in complete.items()}
    return groups, _mean(values[name] for name in TWELVE) if values.keys() >= set(TWELVE) else None


def write_scores(path: Path, scores: Scores) -> None:
    """Write ``scores.json``, whole or not at all."""
    write_text(path, scores.model_dump_json(indent=2) + "\n")


def read_scores(path: Path) -> Scores:
    """Read ``scores.json``, or the one in a run folder.

    Raises:
        DataError: there is none, or it is damaged.
    """
    path = path / SCORES_FILE if path.is_dir() else path
    again = "make it again with vlmt evaluate"
    try:
        values = read_json(path, again)
    except FileNotFoundError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path, todo="make it with vlmt evaluate") from error
    return parse(Scores, values, path, todo=again)


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
    for column, mean in _average_cells(_values(tasks)).items():
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
    return cells | _average_cells(_values(tasks))


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


def _values(tasks: Mapping[str, TaskScore]) -> dict[str, float]:
    return {name: task.score.value for name, task in tasks.items()}


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def _near(first: float | None, second: float | None) -> bool:
    return first == second if first is None or second is None else abs(first - second) < 1e-9
