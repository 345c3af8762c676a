"""``vlmt evaluate``: the official scores of a checkpoint, or of another model's predictions."""

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmt_cli.base.errors import UsageError
from vlmt_cli.commands import completion
from vlmt_cli.commands.devices import (
    Computing,
    Device,
    Gpus,
    Processes,
    check_computing,
    check_gpus,
    devices_of,
    on_each,
)
from vlmt_cli.commands.evaluate_predictions import OfPredictions, evaluate_predictions
from vlmt_cli.commands.options import (
    DATA,
    BatchSize,
    DataFolder,
    Features,
    Json,
    Limit,
    Paper,
    Partial,
    Weights,
    check_data,
    check_features,
    check_named,
    grouped,
)

if TYPE_CHECKING:
    from rich.table import Table

    from vlmt_cli.evaluation.evaluate import Evaluation
    from vlmt_cli.tasks.process import Process

BATCH = 64


@grouped
def evaluate(
    given: OfPredictions,
    model: Annotated[str | None, typer.Option("--model", help="A run folder, a .pt, or a hub id.")] = None,
    weights: Weights = "best",
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks",
            help="Tasks and groups with commas, vqa,G3, or all; else those of the run.",
            autocompletion=completion.tasks,
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="A split to score; else each task's official test set.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder to write to; else the run folder, or one beside the .pt.")
    ] = None,
    intervals: Annotated[bool, typer.Option("--intervals", help="Show every metric with its 95% interval.")] = False,
    paper: Paper = False,
    contaminated: Annotated[
        bool,
        typer.Option("--contaminated", help="Show scores on test images that training saw beside those on others."),
    ] = False,
    control: Annotated[
        str | None,
        typer.Option(
            "--control",
            help="A run that was evaluated and saw none of the images: what it scores on the same examples is taken"
            " out of the difference. Implies --contaminated. With --predictions: such a model's file.",
        ),
    ] = None,
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="Score test images that training saw, and mark the scores.")
    ] = False,
    submission: Annotated[
        bool, typer.Option("--submission", help="Write files for the servers of VQA, GQA, NLVR2 and SNLI-VE.")
    ] = False,
    partial: Partial = False,
    limit: Limit = None,
    features: Features = None,
    only_1k: Annotated[
        bool, typer.Option("--coco-1k", help="COCO's first 1,000 test images alone: 25 times quicker than all 5,000.")
    ] = False,
    shortlist: Annotated[
        int | None,
        typer.Option(
            "--shortlist",
            min=10,
            metavar="K",
            help="Of COCO's 5,000 images let the model score K for each caption, and K captions for each image, that a"
            " cheap score puts first; what that loses is measured and shown.",
        ),
    ] = None,
    device: Device = "auto",
    gpus: Gpus = None,
    processes: Processes = None,
    batch_size: BatchSize = BATCH,
    data: DataFolder = DATA,
    as_json: Json = False,
) -> None:
    """Score a checkpoint on the official test sets, and keep every prediction; or score another model's answers.

    Of a run its best weights are scored: those with the highest mean validation score over its tasks.
    VQA's test answers are secret: its score is on val, and --submission writes the file for the server. Test images
    that any training behind the checkpoint saw are refused, with exit code 4. Scores of a part (--limit) are marked as
    such and go to a folder of their own.

    Examples:

      vlmt evaluate --model runs/all-tasks

      vlmt evaluate --model runs/all-tasks --tasks G3 --intervals --paper

      vlmt evaluate --model runs/all-tasks --weights last --to last-scores

      vlmt evaluate --model runs/full --contaminated --control runs/clean

      vlmt evaluate --model runs/all-tasks --gpus 8

      vlmt evaluate --model 12-in-1.pt --tasks vqa,gqa --submission --to submissions

      vlmt evaluate --predictions answers.jsonl --benchmark refcoco:testA --trained-on mix665k.json
    """
    if given.predictions:
        others = {
            "--model": model, "--tasks": tasks, "--split": split, "--paper": paper, "--submission": submission,
            "--contaminated": contaminated, "--allow-leak": allow_leak, "--partial": partial, "--limit": limit,
            "--features": features, "--coco-1k": only_1k, "--shortlist": shortlist, "--intervals": intervals,
            "--gpus": gpus, "--processes": processes, "--device": device != "auto",
            "--batch-size": batch_size != BATCH, "--weights": weights != "best",
        }  # fmt: skip
        check_named(data)
        evaluate_predictions(given, others, control, data, to, as_json)
        return
    given.check_unused()
    if model is None:
        raise UsageError("there is nothing to score", todo="give --model a run, or --predictions a file of answers")
    if shortlist and only_1k:
        what = "--shortlist is for more than the thousand images that --coco-1k scores"
        raise UsageError(what, todo="leave one of them out")
    from vlmt_cli.base.words import count
    from vlmt_cli.commands.show import stdout
    from vlmt_cli.evaluation.question import named_tasks
    from vlmt_cli.runs.folders import check_checkpoint, find_run

    model = find_run(model, data)
    check_checkpoint(model, data)
    if control is not None:
        control = find_run(control, data)
        check_checkpoint(control, data)
        contaminated = True
    if tasks is not None:
        named_tasks(tasks)
    check_data(data)
    check_features(features, data)
    check_computing(asked := Computing(device, gpus, processes))
    check_gpus(asked)

    from vlmt_cli.evaluation.score_tables import PAPERS_PARAMETERS, compares

    options = {
        "source": model, "data": data, "folder": to, "weights": weights, "tasks": tasks, "split": split,
        "features": features, "allow_leak": allow_leak, "contrasted": contaminated, "control": control,
        "submission": submission, "partial": partial, "only_1k": only_1k, "shortlist": shortlist, "limit": limit,
        "batch_size": batch_size,
    }  # fmt: skip
    result = on_each(devices_of(asked), functools.partial(_evaluate_here, options=options))
    if result is None:
        return
    if as_json:
        print(result.scores.model_dump_json(indent=2))
        return
    console = stdout()
    in_full = intervals or contaminated or bool(limit) or bool(shortlist) or not _fits_as_table2(result, paper)
    console.print(_table(result, in_full, paper))
    if limit:
        what = f"Scores of at most the first {count(limit, 'example')} of each split"
        console.print(f"{what}: a quick test, not a result to report.")
    if shortlist and not any(score.shortlist for score in result.scores.tasks.values()):
        console.print(
            "--shortlist had nothing to shorten, as no split has more than a thousand images: all pairs were scored."
        )
    if paper and result.paper and not all(compares(*score, result.paper) for score in result.scores.tasks.items()):
        console.print("The paper's figure is left out where ours is of another split, or training saw its images.")
    if paper and result.paper is None:
        console.print("The run reproduces no row of the paper's table 2, so that none stands beside it.")
    elif paper and result.parameters < PAPERS_PARAMETERS / 2:
        console.print(f"The paper's models have some 270 million parameters, this one has {result.parameters:,}.")
    for line in [*_notes(result, contaminated, in_full), f"Written to {result.folder}: scores.json, predictions/"]:
        console.print(line)
    for path in result.submissions:
        console.print(f"For the server: {path}")


def _evaluate_here(process: "Process", options: dict[str, Any]) -> "Evaluation | None":
    """Evaluate in this process, which may be one of several; the first shows how far it is."""
    from vlmt_cli.evaluation.choose import by_reason
    from vlmt_cli.evaluation.evaluate import evaluate

    if not process.is_first:
        return evaluate(**options, process=process)
    with _bars() as (update, say):
        result = evaluate(**options, process=process, progress=update, say=say)
        assert result is not None
        for reason, names in by_reason(result.left_out).items():
            say(f"Left out: {', '.join(names)} ({reason})")
    return result


def _table(result: "Evaluation", in_full: bool, paper: bool) -> "Table":
    """Lay scores out as the paper's table 2, or in full with a row a metric and its interval."""
    from vlmt_cli.commands.show import table
    from vlmt_cli.evaluation.score_tables import by_task, table2

    tasks, title = result.scores.tasks, "Scores in %"
    if in_full:
        return table(*by_task(tasks, result.paper if paper else None), title, left=3)
    model = Path(result.scores.model).name
    return table(*table2({model: tasks}, (result.paper,) if paper and result.paper else ()), title)


def _fits_as_table2(result: "Evaluation", paper: bool) -> bool:
    """Whether tasks are not few and the terminal is not too narrow for the paper's table 2."""
    from rich.measure import Measurement

    from vlmt_cli.commands.show import stdout
    from vlmt_cli.datasets.table import TWELVE

    console = stdout()
    wide = Measurement.get(console, console.options.update_width(1000), _table(result, False, paper)).maximum
    return len(result.scores.tasks) > len(TWELVE) // 2 and wide <= console.width


def _notes(result: "Evaluation", contaminated: bool, intervals: bool) -> list[str]:
    """Say what the numbers of the table do not."""
    from vlmt_cli.datasets.table import TASKS
    from vlmt_cli.evaluation.marks import is_leaked, marks_explained
    from vlmt_cli.evaluation.score_tables import concluded, shortlist_explained
    from vlmt_cli.evaluation.scores import COLUMNS

    notes = []
    if (trained := result.scores.trained) and not trained.finished:
        notes.append(f"The run is unfinished ({trained}): these are scores of its iteration {trained.iteration:,}.")
    for choice in result.choices:
        if choice.secret:
            can_submit = TASKS[choice.task].submission and not choice.submitted
            hint = "; --submission writes the file for the server" if can_submit else ""
            what = f"the answers of {choice.secret} are {'secret' if TASKS[choice.task].secret else 'not known'}"
            notes.append(f"{COLUMNS[choice.task]} is scored on {choice.name}: {what}{hint}.")
    tasks = result.scores.tasks
    if explained := marks_explained(tasks.values(), intervals):
        notes.append(explained)
    notes += [shortlist_explained(task.shortlist) for task in tasks.values() if task.shortlist]
    if contaminated:
        notes += concluded(tasks)
    if contaminated and (clean := [COLUMNS[name] for name, task in tasks.items() if not is_leaked(task)]):
        notes.append(f"Training saw none of the images scored for {', '.join(clean)}.")
    return notes


@contextmanager
def _bars() -> Iterator[tuple[Callable[[str, int, int], None], Callable[[str], None]]]:
    """Show a bar a task, as pairs of a caption and an image go by at another rate than questions.

    Yields:
        What moves the bar, and what says a line.
    """
    from vlmt_cli.commands.show import progress, say

    with ExitStack() as stack:
        shown: dict[str, Callable[[str, int, int], None]] = {}

        def clear() -> None:
            shown.clear()
            stack.close()

        def update(name: str, done: int, total: int) -> None:
            if name not in shown:
                clear()
                shown[name] = stack.enter_context(progress("Evaluating"))
            shown[name](name, done, total)

        def tell(line: str) -> None:
            clear()
            say(line)

        yield update, tell
