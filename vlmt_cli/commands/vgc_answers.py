"""``vlmt vgc --export`` and ``--predictions``: any model's consistency, without that model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from vlmt_cli.base.errors import UsageError
from vlmt_cli.commands.options import AUTO_BOXES, AnswerBoxes, AnswerForm, refuse_unused

PAIRING = "vqa-refcoco"
"""The paper's pairing."""


@dataclass(frozen=True)
class OfAnswers:
    """The options of models of which only the answers are known."""

    export: Annotated[
        str | None,
        typer.Option(
            "--export",
            metavar="FORM",
            help="Write the questions and expressions to --to, for kits to run: llava, lmms-eval, vlmevalkit or jsonl.",
        ),
    ] = None
    predictions: Annotated[
        list[str] | None,
        typer.Option(
            "--predictions",
            metavar="[NAME=]FILE",
            help="Answers to what --export wrote, in place of --model. Repeat it for more models; files of one NAME are"
            " one model's.",
        ),
    ] = None
    pairing: Annotated[
        str,
        typer.Option(
            "--pairing",
            help="With --export and --predictions: which questions and expressions, vqa-refcoco, gqa-refcoco (GQA's val"
            " on RefCOCO's images) or gqa-graph (GQA's val and its scene graphs).",
        ),
    ] = PAIRING
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            help="With --export and --predictions: a folder of all photos; else DATA/images, where it has them.",
        ),
    ] = None
    form: AnswerForm = None
    boxes: AnswerBoxes = AUTO_BOXES

    def check_unused(self) -> None:
        """Raise a UsageError where one of these options is given and a model is run."""
        if self.pairing != PAIRING:
            what = f"a model that runs here is measured on {PAIRING} alone"
            raise UsageError(what, where="--pairing", todo="leave it out, or give --predictions a file of answers")
        given = {name: value for name, value in vars(self).items() if value not in (None, [], AUTO_BOXES, PAIRING)}
        if given:
            option = "--" + next(iter(given))
            todo = "give --export a form, or --predictions a file of answers; or leave it out"
            raise UsageError(f"{option} does not go with --model", todo=todo)


def vgc_answers(
    given: OfAnswers,
    others: Mapping[str, object],
    data: Path,
    to: Path | None,
    tagger: str,
    right: str,
    partial: bool,
    gallery: int,
    as_json: bool,
) -> None:
    """Write the questions, or measure models by their answers and show it.

    Args:
        given: the options of answers.
        others: options of models that run here, by their names; none of them may be given.
        data: the data folder.
        to: where to write.
        tagger, right, partial, gallery: as ``from_answers.run_answers`` takes them.
        as_json: whether the report is printed as JSON.

    Raises:
        UsageError: an option does not go with others.
        DataError: answers cannot be read, or joined with the questions.
    """
    from vlmt_cli.analysis.consistency.concepts import check_tagger
    from vlmt_cli.analysis.consistency.vgc import rule_of

    option = "--export" if given.export else "--predictions"
    if given.export and given.predictions:
        raise UsageError("--export and --predictions exclude each other", todo="leave one of them out")
    refuse_unused(others, f"{{}} does not go with {option}")
    check_tagger(tagger)
    rule_of(right)
    if given.export:
        _export(given, data, to)
        return

    from vlmt_cli.analysis.consistency.from_answers import run_answers
    from vlmt_cli.analysis.consistency.report import report_json
    from vlmt_cli.commands.show import say
    from vlmt_cli.commands.vgc_tables import show_report

    report = run_answers(
        given.predictions or [],
        data,
        to,
        pairing=given.pairing,
        form=given.form,
        boxes=given.boxes,
        tagger=tagger,
        right=right,
        partial=partial,
        images=given.images,
        gallery=gallery,
    )
    for note in report.notes:
        say(note)
    if as_json:
        print(report_json(report).decode(), end="")
        return
    show_report(report)


def _export(given: OfAnswers, data: Path, to: Path | None) -> None:
    from vlmt_cli.analysis.consistency.exports.asked import QUESTION
    from vlmt_cli.analysis.consistency.exports.forms import read_back
    from vlmt_cli.analysis.consistency.from_answers import export_questions
    from vlmt_cli.analysis.consistency.pairings import pairing_of
    from vlmt_cli.base.words import count
    from vlmt_cli.commands.show import stdout

    if to is None:
        raise UsageError("it is not said where to write", where="--export", todo="give a folder with --to")
    if given.form or given.boxes != AUTO_BOXES:
        raise UsageError("--form and --boxes go with --predictions", todo="leave them out")
    asked = export_questions(given.export or "", to, data, given.pairing, given.images)
    table = asked.table
    questions = table["category"].to_pylist().count(QUESTION)
    lines = [
        f"{count(questions, 'question')} and {count(len(table) - questions, 'expression')} about"
        f" {count(len(table['image'].unique()), 'image')}.",
        pairing_of(given.pairing).seen,
        *(
            []
            if asked.photos
            else ["Photos were not looked for or are not all there: images have their official names."]
        ),
        f"Written to {to}; its README.md says how to run them. To read the answers back:",
        read_back(given.export or "", asked),
    ]
    for line in lines:
        stdout().print(line, soft_wrap=True)
