"""``vlmt evaluate --predictions``: another model's answers, scored without that model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmt_cli.base.errors import UsageError
from vlmt_cli.commands.options import AUTO_BOXES, AnswerBoxes, AnswerForm, refuse_unused

if TYPE_CHECKING:
    from vlmt_cli.evaluation.answers.score import Scored


@dataclass(frozen=True)
class OfPredictions:
    """The options of another model's predictions."""

    predictions: Annotated[
        list[Path] | None,
        typer.Option(
            "--predictions",
            help="A file of some model's answers, in place of --model. Repeat it to compare files with the first.",
        ),
    ] = None
    benchmark: Annotated[
        str | None,
        typer.Option(
            "--benchmark",
            metavar="NAME[:SPLIT]",
            help="With --predictions: what they answer, refcoco:testA, vqa:val2014 or pope.",
        ),
    ] = None
    rows: Annotated[
        list[Path] | None,
        typer.Option(
            "--rows",
            help="With --predictions: the benchmark's file, where its official files are not in the data folder. Repeat"
            " it for more.",
        ),
    ] = None
    questions: Annotated[
        Path | None,
        typer.Option(
            "--questions", help="With --predictions: the file of questions, where answers name only a question's id."
        ),
    ] = None
    form: AnswerForm = None
    boxes: AnswerBoxes = AUTO_BOXES
    seen: Annotated[
        Path | None,
        typer.Option(
            "--seen", help="With --predictions: hits.parquet of vlmt scan; scores images it found, and the others."
        ),
    ] = None
    trained_on: Annotated[
        str | None,
        typer.Option(
            "--trained-on",
            metavar="MIXTURE",
            help="With --predictions: the model's training data, which is scanned; or a dataset that it is supposed to"
            " have seen, such as coco-train2017.",
        ),
    ] = None

    def check_unused(self) -> None:
        """Raise a UsageError where one of these options is given and a model is scored."""
        given = {name: value for name, value in vars(self).items() if value not in (None, [], AUTO_BOXES)}
        if given:
            option = "--" + next(iter(given)).replace("_", "-")
            raise UsageError(f"{option} goes with --predictions", todo="give it a file of answers, or leave it out")


def evaluate_predictions(
    options: OfPredictions,
    others: Mapping[str, object],
    control: str | None,
    data: Path,
    to: Path | None,
    as_json: bool,
) -> None:
    """Score files of predictions of one benchmark, and show what they scored.

    Args:
        options: the files, the benchmark, and how to read and split.
        others: options of models by their names; none of them may be given.
        control: another model's file.
        data: the data folder.
        to: a folder for ``scores.json``, the same as a page, and the judged rows; None to write nothing.
        as_json: whether the scores are printed as JSON, a list with an object a file.

    Raises:
        UsageError: an option does not go with others, or the benchmark is not named.
        DataError: a file cannot be read, or joined with the benchmark's rows.
    """
    from vlmt_cli.commands.show import progress, say, stdout, table
    from vlmt_cli.evaluation.answers.report import header_of, notes_of, rows_of
    from vlmt_cli.evaluation.answers.score import Asked, score_files

    refuse_unused(others, "{} does not go with --predictions")
    if options.benchmark is None:
        todo = "give --benchmark, such as refcoco:testA or pope"
        raise UsageError("it is not said which benchmark the predictions are of", todo=todo)
    asked = Asked(
        benchmark=options.benchmark,
        rows=tuple(options.rows or ()),
        questions=options.questions,
        form=options.form,
        boxes=options.boxes,
        seen=options.seen,
        trained_on=options.trained_on,
        control=Path(control) if control else None,
        data=data,
    )
    paths = options.predictions or []
    with progress("Scanning") as update:
        scored = score_files(paths, asked, update)
    names = _names(paths)
    said = [[*each.said, *notes_of(each.report)] for each in scored]
    if to is not None:
        _write(to, scored, names, said)
        say(f"Written to {to}: scores.json, scores.html, predictions/")
    if options.seen is not None and (page := _onto_leaks(options.seen, scored, names)):
        say(f"Added to {page}: the scores on seen and unseen images")
    if as_json:
        print(_as_json(scored))
        return
    console = stdout()
    reports = [each.report for each in scored]
    if rows := rows_of(reports, names):
        console.print(table(header_of(reports), rows, f"{reports[0].benchmark}, in %", left=2))
    for lines, name in zip(said, names, strict=True):
        own = [line for line in lines if len(scored) == 1 or not all(line in each for each in said)]
        for line in own:
            console.print(f"{name}: {line}" if len(scored) > 1 else line, soft_wrap=True)
    for line in said[0] if len(scored) > 1 else ():
        if all(line in each for each in said):
            console.print(line, soft_wrap=True)
    console.print(f"The rows of {reports[0].benchmark} are from {reports[0].rows_from}.", soft_wrap=True)


def _names(paths: Sequence[Path]) -> list[str]:
    """Name files by what tells them apart: their names, with their folders where these are the same."""
    short = [path.name.partition(".json")[0] for path in paths]
    return short if len(set(short)) == len(short) else [str(path) for path in paths]


def _onto_leaks(seen: Path, scored: "Sequence[Scored]", names: Sequence[str]) -> Path | None:
    """Put the scores onto the page of the scan that says what training saw; None where it has no page."""
    from vlmt_cli.clean.leaks_page import PAGE, add_scores
    from vlmt_cli.evaluation.answers.report import header_of, rows_of

    reports = [each.report for each in scored]
    page = (seen if seen.is_dir() else seen.parent) / PAGE
    training = reports[0].training
    if training is None or not (rows := rows_of(reports, names)):
        return None
    note = (
        f"By {training.what}: images seen {training.seen:,}, not seen {training.unseen:,}. Intervals are over"
        f" {reports[0].unit}."
    )
    return page if add_scores(page, reports[0].benchmark, header_of(reports), rows, note) else None


def _as_json(scored: "Sequence[Scored]") -> str:
    import json

    return json.dumps([each.report.model_dump(mode="json") for each in scored], indent=2)


def _write(folder: Path, scored: "Sequence[Scored]", names: Sequence[str], said: Sequence[Sequence[str]]) -> None:
    import re

    from vlmt_cli.base.files import write_parquet, write_text
    from vlmt_cli.evaluation.answers.page import page_of

    write_text(folder / "scores.json", _as_json(scored) + "\n")
    write_text(folder / "scores.html", page_of([each.report for each in scored], names, said))
    for number, (each, name) in enumerate(zip(scored, names, strict=True), 1):
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._") or "predictions"
        write_parquet(folder / "predictions" / f"{number}-{plain}.parquet", each.table)
