"""How ``vlmt analyze trunks`` shows what it compared."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from vlmt_cli.analysis.relations.seeds import OverSeeds, one_seed, one_seed_mark
from vlmt_cli.analysis.relations.trunks import (
    MEAN,
    TrunkColumn,
    concluded,
    interactions,
    published,
)
from vlmt_cli.commands.show import stdout, table
from vlmt_cli.commands.sweep_options import NO_PAPER
from vlmt_cli.evaluation.marks import MEANING, VALIDATION
from vlmt_cli.evaluation.score_tables import NOTHING
from vlmt_cli.evaluation.scores import COLUMNS

GAIN = (
    "AT - ST compares models as their recipes train them: the trunk of an all-tasks model has the updates of all tasks,"
    " that of a single-task model its own task's alone."
)
PUBLISHED = (
    "Published models were trained on the full split, and but for 12-in-1 from weights pre-trained on other data."
)


def trunks_json(columns: Sequence[TrunkColumn], source: str, paper: bool) -> dict[str, Any]:
    """Lay all numbers out for programs."""
    beside = {kind: published(kind, columns) for kind in _KINDS} if paper and source == "test" else {}
    return {
        "source": source,
        "trunks": [
            {
                "trunk": column.trunk,
                "weights": column.weights,
                "parameters": column.parameters,
                "seconds_per_update": column.seconds,
                "all_tasks": _numbers_json(column.together, _marks_of(column, "AT")),
                "single_task": _numbers_json(column.alone, _marks_of(column, "ST")),
                "gain": _numbers_json(column.gain, _marks_of(column, "AT", "ST")),
            }
            for column in columns
        ],
        "interactions": [
            {
                "trunk": each.trunk,
                "other": each.other,
                "weights": each.weights,
                "by_task": _numbers_json(each.by_task),
            }
            for each in interactions(columns)
        ],
        "notes": notes(columns),
        **({"paper": beside} if beside else {}),
    }


def show_trunks(columns: Sequence[TrunkColumn], source: str, paper: bool) -> None:
    """Print a table of all-tasks models, one of single-task models, their difference, and what these allow to say."""
    beside = paper and source == "test"
    _show_scores("AT", "All tasks in one model (AT)", columns, source, beside)
    _show_scores("ST", "Each task alone (ST)", columns, source, beside)
    gained, mark = [column for column in columns if column.gain], _mark(columns)
    if gained:
        titles = [_title(column) for column in gained]
        marks = [_marks_of(column, "AT", "ST") for column in gained]
        lines = _lines([column.gain for column in gained], mark, marks, signed=True)
        stdout().print(table(["", *titles], lines, "What joint training gains (AT - ST), in points"))
    compared = interactions(columns)
    for other, weights in dict.fromkeys((each.other, each.weights) for each in compared):
        mine = [each for each in compared if (each.other, each.weights) == (other, weights)]
        lines = _lines([each.by_task for each in mine], mark, signed=True)
        title = f"By how much more it gains than for {other} ({weights}), in points"
        stdout().print(table(["", *(each.trunk for each in mine)], lines, title))
    if paper and not beside:
        stdout().print(NO_PAPER)
    elif any(published(kind, columns) for kind in _KINDS if beside):
        stdout().print(PUBLISHED)
    for note in notes(columns):
        stdout().print(note)


def _mark(columns: Sequence[TrunkColumn]) -> str:
    """Return what stands behind numbers of one seed, where others are of several."""
    return one_seed_mark(_numbers(columns)) if len(columns) > 1 else ""


def _numbers(columns: Sequence[TrunkColumn]) -> list[OverSeeds]:
    return [number for column in columns for number in (*column.together.values(), *column.alone.values())]


def notes(columns: Sequence[TrunkColumn]) -> list[str]:
    """Say what a reader should know, a line each."""
    marks = "".join(mark for column in columns for mark in column.marks.values())
    numbers = _numbers(columns)
    said = [f"{mark} {meaning}" for mark, meaning in MEANING.items() if mark in marks]
    if any(number.interval for number in numbers):
        begun = any(column.weights != "not pre-trained" for column in columns)
        once = " A trunk's pre-training was drawn once, not by seed." if begun else ""
        said.append(f"± is half a 95% interval over seeds (t).{once}")
    said += [one_seed(numbers)] if one_seed(numbers) and len(columns) > 1 else []
    said += [GAIN] if any(column.gain for column in columns) else []
    said += concluded(interactions(columns))
    if any(column.weights == "pre-trained here" for column in columns):
        bare = [column.trunk for column in columns if column.weights == "not pre-trained"]
        said += [f"{trunk} is not pre-trained; vlmt pretrain --preset {_preset(trunk)} does it." for trunk in bare]
    return said


_KINDS: tuple[Literal["AT", "ST"], ...] = ("AT", "ST")


def _show_scores(
    kind: Literal["AT", "ST"], title: str, columns: Sequence[TrunkColumn], source: str, beside: bool
) -> None:
    numbers = [column.together if kind == "AT" else column.alone for column in columns]
    shown = [(column, of) for column, of in zip(columns, numbers, strict=True) if of]
    if not shown:
        return
    header = ["", *(_title(column) for column, _ in shown)]
    marks = [_marks_of(column, kind) for column, _ in shown]
    papers = published(kind, columns) if beside else {}
    header += [f"{'published' if whose != '12-in-1' else 'the paper'}\n{whose}" for whose in papers]
    lines = _lines([of for _, of in shown], _mark(columns), marks, papers.values())
    if kind == "AT":
        empty = [""] * len(papers)
        sizes = [f"{column.parameters:,}" if column.parameters else NOTHING for column, _ in shown]
        speeds = [f"{column.seconds:.3f}" if column.seconds else NOTHING for column, _ in shown]
        lines += [["parameters", *sizes, *empty], ["seconds an update", *speeds, *empty]]
    stdout().print(table(header, lines, f"{title}: {source} scores, %"))


def _lines(
    numbers: Sequence[Mapping[str, OverSeeds]],
    one_seed: str,
    marks: Sequence[Mapping[str, str]] = (),
    papers: Any = (),
    signed: bool = False,
) -> list[list[str]]:
    """Return a row a task that any column has, and one of their means."""
    listed = [task for task in (*COLUMNS, MEAN) if any(task in of for of in numbers)]
    marks = marks or [{} for _ in numbers]
    lines = []
    for task in listed:
        cells = [
            _cell(of.get(task), one_seed, mark.get(task, ""), signed) for of, mark in zip(numbers, marks, strict=True)
        ]
        figures = [f"{figures[task]:.2f}" if task in figures else NOTHING for figures in papers]
        lines.append([COLUMNS.get(task, task), *cells, *figures])
    return lines


def _cell(number: OverSeeds | None, one_seed: str, mark: str, signed: bool) -> str:
    if number is None:
        return NOTHING
    value = f"{number.value:+.1f}" if signed else f"{number.value:.1f}"
    half = f" ±{(number.interval[1] - number.interval[0]) / 2:.1f}" if number.interval else one_seed
    return f"{value}{half}{mark}"


def _title(column: TrunkColumn) -> str:
    return f"{column.trunk}\n{column.weights.replace(' ', chr(10))}"


def _preset(trunk: str) -> str:
    return "pretrain" if trunk == "vilbert" else f"pretrain-{trunk}"


def _marks_of(column: TrunkColumn, *kinds: str) -> dict[str, str]:
    """Return the marks by task of all-tasks or single-task models, or of both together, and of their mean."""
    marks: dict[str, str] = {}
    for (kind, task), mark in column.marks.items():
        if kind in kinds:
            marks[task] = marks.get(task, "") + mark
    marks[MEAN] = "".join(marks.values()).replace(VALIDATION, "")
    return {task: "".join(sign for sign in MEANING if sign in mark) for task, mark in marks.items()}


def _numbers_json(numbers: Mapping[str, OverSeeds], marks: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {
        name: {
            "value": number.value,
            "interval": number.interval,
            "by_seed": dict(number.values),
            **({"mark": marks.get(name, "")} if marks is not None else {}),
        }
        for name, number in numbers.items()
    }
