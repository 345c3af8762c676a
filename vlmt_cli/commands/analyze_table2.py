"""``vlmt analyze table2``: what joint training gains, over all models of the paper's table 2."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmt_cli.commands.options import DATA, DataFolder, Json, Paper, Runs

if TYPE_CHECKING:
    from vlmt_cli.analysis.relations.seeds import OverSeeds
    from vlmt_cli.analysis.relations.table2 import Score, Table2Row
    from vlmt_cli.analysis.relations.table2_runs import PassedOver, ScoredRun
    from vlmt_cli.analysis.schedule.convergence import Convergence

_FEW = 8


def table2(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN]...", help="Runs; else all in RUNS and in its sweeps.", show_default=False),
    ] = None,
    intervals: Annotated[bool, typer.Option("--intervals", help="Show 95% intervals.")] = False,
    paper: Paper = False,
    data: DataFolder = DATA,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Show what joint training gains (table 2): single-task, group-task and all-tasks models, and fine-tuned ones.

    A run joins the row of table 2 that its recipe reproduces, with the scores that vlmt evaluate gave it. With --paper
    the paper's figures stand beside those that compare, and tables 4, 5 and 9 follow where their runs are.

    Examples:

      vlmt analyze table2 --paper

      vlmt analyze table2 runs/single-task-vqa runs/all-tasks --intervals
    """
    import json

    from vlmt_cli.analysis.relations.published import beside_published, table5
    from vlmt_cli.analysis.relations.table2 import caveat, missing_models, table2_rows
    from vlmt_cli.analysis.relations.table2_runs import scored_runs
    from vlmt_cli.analysis.schedule.convergence import convergence
    from vlmt_cli.base.errors import DataError
    from vlmt_cli.runs.folders import data_option, find_run, run_folders, runs_folder
    from vlmt_cli.runs.recipe import RECIPE

    folder = runs or runs_folder(data)
    chosen = [Path(find_run(name, data)) for name in folders] if folders else run_folders(folder)
    scored, passed_over = scored_runs(chosen)
    rows, left_out = table2_rows(scored)
    at = data_option(data)
    if not rows:
        reasons = "; ".join(f"{each.folder} {each.reason}" for each in passed_over[:3])
        reasons += f"; and {len(passed_over) - 3} more" if len(passed_over) > 3 else ""
        mends = [each.todo + at for each in passed_over if each.todo]
        todo = "train one with vlmt train --preset all-tasks and score it with vlmt evaluate, or name another --data"
        todo = f"run {mends[0]}" if mends else todo
        raise DataError(f"no run has scores of a row of table 2{f' ({reasons})' if reasons else ''}", where=folder,
                        todo=todo)  # fmt: skip
    times = convergence(scored)
    if as_json:
        content = {
            "caveat": caveat(rows) or None,
            "rows": [_row_json(row) for row in rows],
            "iterations_to_convergence": [_times_json(each) for each in times],
            "passed_over": [
                {"folder": str(each.folder), "reason": each.reason, "command": each.todo + at if each.todo else None}
                for each in passed_over + left_out
            ],
            "missing": missing_models(rows, at),
        }
        print(json.dumps(content, indent=2))
        return
    _show_rows(rows, intervals, paper)
    _show_recalls(rows, paper)
    _show_convergence(times, paper)
    if paper:
        tables = beside_published(rows)
        of_table_5 = table5([path for path in chosen if (path / RECIPE).exists()])
        for published in tables + ([of_table_5] if of_table_5 else []):
            _show(f"Table {published.number}, in %", published.header, published.lines, 2 - (published.number == "5"))
    _show_notes(rows, scored, [*passed_over, *left_out], intervals, paper, named=bool(folders), at=at)


def _row_json(row: "Table2Row") -> dict[str, Any]:
    return {
        "row": row.name,
        "tasks": {
            task: {
                "percent": score.number.value,
                "interval": score.interval,
                "interval_over": "seeds" if score.number.interval else "images",
                "by_seed": dict(score.number.values),
                "split": score.split,
                "metric": score.metric,
                "mark": score.mark,
                "recalls": score.recalls,
                "paper": score.paper,
            }
            for task, score in row.tasks.items()
        },
        "groups": {group: _over_seeds_json(number) for group, number in row.groups.items()},
        "average": _over_seeds_json(row.average),
        "models": row.models,
        "parameters": row.parameters,
        "better_than_single_task": row.better,
        "compared_with_single_task": row.compared,
        "gain": _over_seeds_json(row.gain),
        "paper": row.paper,
        "lacking": row.lacking,
    }


def _times_json(times: "Convergence") -> dict[str, Any]:
    alone, together = _over_seeds_json(times.alone), _over_seeds_json(times.together)
    return vars(times) | {"alone": alone, "together": together}


def _over_seeds_json(number: "OverSeeds | None") -> dict[str, Any] | None:
    if number is None:
        return None
    return {"value": number.value, "interval": number.interval, "by_seed": dict(number.values)}


def _show_rows(rows: "Sequence[Table2Row]", intervals: bool, paper: bool) -> None:
    """Print a row a kind of model, or where the terminal is too narrow a row a task."""
    from rich.measure import Measurement

    from vlmt_cli.analysis.relations.table2 import seed_mark
    from vlmt_cli.commands.show import stdout, table
    from vlmt_cli.evaluation.score_tables import NOTHING, table2_columns

    header, keys = table2_columns(name for row in rows for name in row.tasks)
    header += ["\nover ST", "beats\nST in", "\nmodels", "param-\neters"]
    lines, mark = [], seed_mark(rows)
    for row in rows:
        cells = {task: _cell(score, intervals, mark) for task, score in row.tasks.items()}
        cells |= {group: _number(number, intervals, mark) for group, number in row.groups.items()}
        cells |= {"average": _number(row.average, intervals, mark)}
        beats = f"{row.better} of {row.compared}" if row.better is not None else NOTHING
        size = f"{row.parameters / 1e6:,.1f}M" if row.parameters is not None else NOTHING
        gain = _number(row.gain, intervals, mark, signed=True)
        lines.append([row.name, *(cells.get(key, NOTHING) for key in keys), gain, beats, str(row.models), size])
        if paper:
            figures = (f"{row.paper[key]:.2f}" if key in row.paper else NOTHING for key in keys)
            lines.append(["  the paper's", *figures, *_paper_of(row.name, NOTHING)])
    title = "Table 2: scores in %"
    wide = table(header, lines, title)
    console = stdout()
    if Measurement.get(console, console.options.update_width(1000), wide).maximum <= console.width:
        console.print(wide)
        return
    turned = [[" ".join(name.split()) or "", *cells] for name, *cells in zip(header, *lines, strict=True)]
    for start in range(0, len(lines), _FEW):
        part = [[row[0], *row[1 + start : 1 + start + _FEW]] for row in turned]
        names = [line[0].replace(" ", "\n") for line in lines[start : start + _FEW]]
        console.print(table(["", *names], part[1:], title))


def _paper_of(row: str, nothing: str) -> list[str]:
    """Return what the paper has in the last four columns, all of test scores."""
    from vlmt_cli.evaluation.score_tables import paper_rows

    published = paper_rows()[row]
    return [nothing, nothing, published["models"], published["params"]]


def _show_recalls(rows: "Sequence[Table2Row]", paper: bool) -> None:
    from vlmt_cli.analysis.relations.table2 import KS, paper_recalls
    from vlmt_cli.evaluation.score_tables import NOTHING
    from vlmt_cli.evaluation.scores import COLUMNS

    tasks = [task for task in ("coco", "flickr30k") if any(task in row.tasks for row in rows)]
    lines = []
    for row in rows:
        scores = [row.tasks.get(task) for task in tasks]
        cells = [_percent(score.recalls.get(k)) if score else NOTHING for score in scores for k in KS]
        if any(cell != NOTHING for cell in cells):
            lines.append([row.name, *cells])
            if paper and any(score and score.paper is not None for score in scores):
                known = [
                    paper_recalls(row.name, task) if score and score.paper is not None else {}
                    for task, score in zip(tasks, scores, strict=True)
                ]
                lines.append(["  the paper's", *(_percent(recalls.get(k)) for recalls in known for k in KS)])
    if lines:
        header = ["", *(f"{COLUMNS[task]}\nR@{k}" for task in tasks for k in KS)]
        _show("Image retrieval, in %", header, lines, 1)


def _show_convergence(times: "Sequence[Convergence]", paper: bool) -> None:
    from vlmt_cli.evaluation.scores import COLUMNS

    def iterations(number: "OverSeeds | None") -> str:
        return f"{number.value:,.0f}" if number else "-"

    lines = [
        [COLUMNS[each.task], iterations(each.alone), iterations(each.together)]
        + ([f"{each.paper:,}" if each.paper else "-"] if paper else [])
        for each in times
    ]
    if any(each.alone or each.together for each in times):
        header = ["task", "alone", "together"] + ["alone, the paper's"] * paper
        _show("Iterations until a task converged (section 3.3)", header, lines, 1)


def _show(title: str, header: "Sequence[str]", lines: "Sequence[Sequence[str]]", left: int) -> None:
    from vlmt_cli.commands.show import stdout, table

    stdout().print(table(header, lines, title, left=left))


def _show_notes(
    rows: "Sequence[Table2Row]",
    runs: "Sequence[ScoredRun]",
    passed_over: "Sequence[PassedOver]",
    intervals: bool,
    paper: bool,
    named: bool,
    at: str,
) -> None:
    """Say what the numbers do not; commands that are advised end with ``at``."""
    from vlmt_cli.analysis.relations.table2 import caveat, few_images, missing_models
    from vlmt_cli.commands.show import say, stdout
    from vlmt_cli.datasets.table import TWELVE
    from vlmt_cli.evaluation.marks import MEANING
    from vlmt_cli.evaluation.score_tables import official_split
    from vlmt_cli.evaluation.scores import COLUMNS

    scores = [(task, score) for row in rows for task, score in row.tasks.items()]
    notes = _means_that_compare(rows) if paper else []
    for task, split in sorted({(task, score.split) for task, score in scores if score.split != official_split(task)}):
        notes.append(f"{COLUMNS[task]} is scored on {split}, not on its official test set {official_split(task)}.")
    marks = "".join(score.mark for _, score in scores)
    notes += [f"{mark} {meaning}" for mark, meaning in MEANING.items() if mark in marks]
    seeds = {run.seed for run in runs}
    if intervals and (few := few_images(score for _, score in scores)):
        notes.append(few)
    if len(seeds) > 1:
        notes.append("Means over seeds; intervals are Student's t over seeds where a cell has several.")
    if said := caveat(rows):
        notes.append(said)
    if paper and any(score.paper is None for task, score in scores if task in TWELVE):
        notes.append("The paper's figure is left out where ours is of another split, or training saw its images.")
    notes += _sizes(rows) if paper else []
    console = stdout()
    for note in notes:
        console.print(note)
    for line in _passed_over(passed_over, named, at):
        say(f"Passed over: {line}")
    for command in missing_models(rows, at):
        say(f"Missing: {command}")


def _passed_over(passed_over: "Sequence[PassedOver]", named: bool, at: str) -> list[str]:
    """Name what does not join the table, with the command that mends it; many runs of one reason in one line, counted,
    where no run was named."""
    from vlmt_cli.base.words import count

    lines, groups = [], dict[str, list[Path]]()
    for each in passed_over:
        if each.of_many and not named:
            groups.setdefault(each.of_many, []).append(each.folder)
        else:
            lines.append(f"{each.folder} {each.reason}{f'; run {each.todo}{at}' if each.todo else ''}")
    for reason, folders in groups.items():
        more = f", and {len(folders) - _FEW} more" if len(folders) > _FEW else ""
        lines.append(f"{count(len(folders), 'run')} {reason} ({', '.join(map(str, folders[:_FEW]))}{more})")
    if sum(map(len, groups.values())) < len(passed_over) and len(passed_over) > 1:
        lines.append(f"{len(passed_over)} runs in all")
    return lines


def _means_that_compare(rows: "Sequence[Table2Row]") -> list[str]:
    """Set our mean beside the paper's over the tasks that compare, where these are not all that the row has."""
    from vlmt_cli.datasets.table import TWELVE

    notes = []
    for row in rows:
        tasks = [task for task in TWELVE if task in row.paper]
        if len(tasks) > 1 and "average" not in row.paper:
            ours = sum(row.tasks[task].number.value for task in tasks) / len(tasks)
            theirs = sum(row.paper[task] for task in tasks) / len(tasks)
            notes.append(
                f"{row.name}, mean of the {len(tasks)} tasks that compare: {ours:.2f}; the paper's {theirs:.2f}."
            )
    return notes


def _sizes(rows: "Sequence[Table2Row]") -> list[str]:
    """Say where models or test sets are of another size than the paper's, so that the figures beside them compare
    less."""
    from vlmt_cli.analysis.relations.table2 import other_sizes
    from vlmt_cli.base.words import listed
    from vlmt_cli.evaluation.score_tables import PAPERS_PARAMETERS
    from vlmt_cli.evaluation.scores import COLUMNS

    notes = []
    models = [row.parameters / row.models for row in rows if row.parameters is not None]
    if models and max(models) < PAPERS_PARAMETERS / 2:
        notes.append(f"The paper's models have some 270 million parameters, these at most {max(models):,.0f}.")
    if others := other_sizes(rows):
        sizes = [f"{COLUMNS[task]} {ours:,} ({papers:,})" for task, (ours, papers) in others.items()]
        notes.append(f"These are not the paper's test sets; examples here (and in the paper): {listed(sizes)}.")
    return notes


def _cell(score: "Score", intervals: bool, mark: str) -> str:
    low, high = score.interval
    marks = score.mark + (mark if score.number.interval is None else "")
    return f"{score.number.value:.2f}{marks}" + (f"\n{low:.1f} to {high:.1f}" if intervals else "")


def _number(number: "OverSeeds | None", intervals: bool, mark: str, signed: bool = False) -> str:
    if number is None:
        return "-"
    text = f"{number.value:+.2f}" if signed else f"{number.value:.2f}"
    if number.interval is None:
        return text + mark
    return text + (f"\n{number.interval[0]:.1f} to {number.interval[1]:.1f}" if intervals else "")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
