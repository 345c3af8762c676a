"""Tables 4, 5 and 9: what others and the paper report, with our runs beside them where these compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vlmt_cli.analysis.relations.table2 import KS, Score, Table2Row
from vlmt_cli.datasets.table import TASKS
from vlmt_cli.evaluation.bootstrap import Estimate
from vlmt_cli.evaluation.run_scores import run_scores
from vlmt_cli.evaluation.score_tables import NOTHING, compares
from vlmt_cli.evaluation.scores import COLUMNS, TaskScore
from vlmt_cli.paper import table
from vlmt_cli.runs.recipe import read_recipe

_OURS = {"4": ("AT clean", "AT->ST full"), "9": ("ST full", "AT->ST full")}
"""The rows of table 2 that tables 4 and 9 show."""
_FILES = {"4": "table4_state_of_the_art", "9": "table9_state_of_the_art"}


@dataclass(frozen=True)
class PublishedTable:
    """A table of the paper with columns or rows of ours.

    Attributes:
        number: in the paper.
        header: of its columns.
        lines: of cells; ``NOTHING`` where there is no figure, or ours does not compare.
    """

    number: str
    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


def beside_published(rows: Sequence[Table2Row]) -> list[PublishedTable]:
    """Return tables 4 and 9 with a column for each row of table 2 that they show; none without such a row."""
    by_name = {row.name: row for row in rows}
    tables = []
    for number, names in _OURS.items():
        ours = [by_name[name] for name in names if name in by_name]
        if not ours:
            continue
        published = table(_FILES[number])
        columns = [column for column in published[0] if column not in ("task", "split", "metric")]
        header = ("task", "split", *(_titled(column) for column in columns))
        lines = []
        for line in published:
            metric = line.get("metric") or ("R@1" if TASKS[line["task"]].group == "G2" else "accuracy")
            measured = f"{line['split']}, {metric}" if metric.startswith("R@") else line["split"]
            cells = (COLUMNS[line["task"]], measured, *(line[column] or NOTHING for column in columns))
            lines.append(cells + tuple(_cell(row.tasks.get(line["task"]), metric) for row in ours))
        tables.append(PublishedTable(number, header + tuple(f"our\n{row.name}" for row in ours), tuple(lines)))
    return tables


def _titled(column: str) -> str:
    return column.replace("Ours", "12-in-1").replace(" ", "\n", 1)


def _cell(score: Score | None, metric: str) -> str:
    if score is None or score.paper is None:
        return NOTHING
    value = score.recalls.get(int(metric[2:])) if metric.startswith("R@") else score.number.value
    return NOTHING if value is None else f"{value:.2f}"


def table5(folders: Sequence[Path]) -> PublishedTable | None:
    """Return table 5 with a row for each finished run that reproduces its last, with scores of its weights as they are
    now; None without one."""
    header = ["", "VQA\ntest-dev"] + [f"{name}\nR@{k}" for name in ("COCO", "Flickr30k") for k in KS]
    lines = [tuple(cell or NOTHING for cell in line.values()) for line in table("table5_hdc")]
    published = len(lines)
    for folder in folders:
        if read_recipe(folder).paper_row("table5") is None:
            continue
        mine = run_scores(folder)
        if mine.scores is None or mine.unfinished:
            continue
        tasks = mine.scores.tasks
        recalls = [cell for task in ("coco", "flickr30k") for cell in _recalls(tasks.get(task), task)]
        grounding = tasks.get("flickr30k_entities")
        shown = _percent(grounding.score) if grounding and compares("flickr30k_entities", grounding) else NOTHING
        lines.append((f"ours: {folder}", NOTHING, *recalls, shown))
    return PublishedTable("5", (*header, "grounding\nR@1"), tuple(lines)) if len(lines) > published else None


def _recalls(score: TaskScore | None, task: str) -> list[str]:
    if score is None or not compares(task, score):
        return [NOTHING] * len(KS)
    measured: Mapping[str, object] = {"Recall@1": score.score, **score.extra}
    values = [measured.get(f"Recall@{k}") for k in KS]
    return [_percent(value) if isinstance(value, Estimate) else NOTHING for value in values]


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.2f}"
