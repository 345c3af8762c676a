"""``vlmt evaluate``: a checkpoint's official scores."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmt_cli.commands.options import DATA, DataFolder, Json

if TYPE_CHECKING:
    from vlmt_cli.evaluation.evaluate import Evaluation


def evaluate(
    model: Annotated[str, typer.Option("--model", help="A run folder, a .pt, or a hub id.")],
    tasks: Annotated[
        str | None, typer.Option("--tasks", help="vqa,G3 or all; else what the run was trained on.")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="A split to score; else each task's official test set.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder to write to; else the run folder, or one beside the .pt.")
    ] = None,
    intervals: Annotated[bool, typer.Option("--intervals", help="Show every metric with its 95% interval.")] = False,
    paper: Annotated[bool, typer.Option("--paper", help="Show the paper's figures, too.")] = False,
    contaminated: Annotated[
        bool,
        typer.Option("--contaminated", help="Show scores on test images that training saw beside those on others."),
    ] = False,
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="Score test images that training saw, and mark the scores.")
    ] = False,
    submission: Annotated[
        bool, typer.Option("--submission", help="Write files for the servers of VQA, GQA, NLVR2 and SNLI-VE.")
    ] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Leave out examples whose images have no features.")
    ] = False,
    features: Annotated[
        str | None, typer.Option("--features", help="Feature store, by name or path; else the run's own.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1; auto takes a GPU where there is one.")] = "auto",
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Examples at a time.")] = 64,
    data: DataFolder = DATA,
    as_json: Json = False,
) -> None:
    """Score a checkpoint on the official test sets, and keep every prediction.

    VQA's test answers are secret: its score is on val, and --submission writes the file for the server. Test images
    that any training behind the checkpoint saw are refused, with exit code 4.

    Examples:

      vlmt evaluate --model runs/all-tasks

      vlmt evaluate --model runs/all-tasks --tasks G3 --intervals --paper

      vlmt evaluate --model runs/single-task-vqa --contaminated

      vlmt evaluate --model 12-in-1.pt --tasks vqa,gqa --submission --to submissions
    """
    from vlmt_cli.commands.show import say, stdout
    from vlmt_cli.evaluation import evaluate as library
    from vlmt_cli.evaluation.choose import by_reason

    with _bars() as update:
        result = library.evaluate(
            model,
            data,
            to,
            tasks=tasks,
            split=split,
            features=features,
            allow_leak=allow_leak,
            contrasted=contaminated,
            submission=submission,
            partial=partial,
            device=_device(device),
            batch_size=batch_size,
            progress=update,
            say=say,
        )
    for reason, names in by_reason(result.left_out).items():
        say(f"Left out: {', '.join(names)} ({reason})")
    if as_json:
        print(result.scores.model_dump_json(indent=2))
        return
    _show(result, intervals or contaminated, paper)
    console = stdout()
    for line in [*_notes(result), f"Written to {result.folder}: scores.json, predictions/"]:
        console.print(line, markup=False)
    for path in result.submissions:
        console.print(f"For the server: {path}", markup=False)
