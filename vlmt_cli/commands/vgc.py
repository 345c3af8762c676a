"""``vlmt vgc``: does a model that answers a question about a thing also find that thing?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmt_cli.commands.devices import Computing, Device, check_computing, check_gpus, devices_of
from vlmt_cli.commands.options import DATA, BatchSize, DataFolder, Features, Json, Partial, Weights, check_features

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from vlmt_cli.analysis.consistency.report import ConsistencyReport, Measured
    from vlmt_cli.analysis.consistency.vgc import Agreement, Consistency
    from vlmt_cli.evaluation.bootstrap import Estimate

WORDS = 10
"""Nouns, and adjectives, that are shown; ``vgc.json`` has more."""


def vgc(
    model: Annotated[
        list[str],
        typer.Option(
            "--model",
            help="PATH or NAME=PATH: a run folder (RUN), a .pt or a hub id. TASK=PATH: one checkpoint of"
            " several, a task each; NAME:TASK=PATH to name such a set. Repeat it for more.",
        ),
    ],
    weights: Weights = "best",
    tagger: Annotated[
        str,
        typer.Option("--tagger", help="Finds nouns and adjectives: lexicon (built in), spacy, or spacy:NAME."),
    ] = "lexicon",
    right: Annotated[
        str, typer.Option("--right", help='VQA accuracy at which a question is answered: ">= 0.5", "> 0" or "= 1".')
    ] = ">= 0.5",
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder to write to; else the run folder, or one beside the models.")
    ] = None,
    gallery: Annotated[
        int, typer.Option("--gallery", min=0, help="Contradictions to show on the page; 0 writes none.")
    ] = 60,
    features: Features = None,
    partial: Partial = False,
    device: Device = "auto",
    batch_size: BatchSize = 64,
    data: DataFolder = DATA,
    as_json: Json = False,
) -> None:
    """Measure multi-task visual grounding consistency (MT-VGC, equation 5).

    Questions of VQA's train and val about test images of RefCOCO and RefCOCO+, which cleaning takes out of training,
    are paired with the expressions for the same image; a pair counts by the nouns and adjectives that the two share,
    and is right when both are. On the official files that is about 1,500 images and, in the paper, 111,275 pairs.

    Predictions are kept: another --tagger or --right does not run the model again. Photos in
    DATA/images/coco are shown in the gallery of contradictions.

    Examples:

      vlmt vgc --model ckpt.pt

      vlmt vgc --model runs/all-tasks --tagger spacy --right "= 1"

      vlmt vgc --model vqa=runs/st-vqa --model refcoco=runs/st-refcoco --model refcoco+=runs/st-refcoco+

      vlmt vgc --model AT=runs/all-tasks --model ST:vqa=a.pt --model ST:refcoco=b.pt --model ST:refcoco+=c.pt
    """
    from vlmt_cli.analysis.consistency.concepts import check_tagger
    from vlmt_cli.analysis.consistency.names import find_models, parse_models
    from vlmt_cli.analysis.consistency.vgc import rule_of

    models = find_models(parse_models(model), data)
    check_tagger(tagger)
    rule_of(right)
    check_computing(asked := Computing(device))
    check_gpus(asked)
    check_features(features, data)

    from vlmt_cli.analysis.consistency.report import report_json
    from vlmt_cli.analysis.consistency.run import run_vgc
    from vlmt_cli.commands.show import progress, say, stdout

    [chosen] = devices_of(asked)
    with progress("Predicting") as update:
        report = run_vgc(
            models,
            data,
            to,
            weights=weights,
            tagger=tagger,
            right=right,
            features=features,
            partial=partial,
            device=chosen,
            batch_size=batch_size,
            gallery=gallery,
            progress=update,
        )
    for note in report.notes:
        say(note)
    if as_json:
        print(report_json(report).decode(), end="")
        return
    console = stdout()
    for table in _tables(report):
        console.print(table)
    pages = [model.gallery for model in report.models.values() if model.gallery]
    for line in [*_remarks(report), f"Written to {report.folder}: {', '.join(['vgc.json', *pages])}"]:
        console.print(line, markup=False, soft_wrap=True)


def _tables(report: "ConsistencyReport") -> "list[Table]":
    """Lay out the score and what it is made of, how models differ, and where they are consistent."""
    from vlmt_cli.commands.show import table

    measured = [model.consistency for model in report.models.values()]
    names = [_marked(name, model) for name, model in report.models.items()]
    rows = [
        [f"MT-VGC, answered at {report.right}", *(_shares(consistency.weighted.both) for consistency in measured)],
        *(
            [f"  answered at {rule}", *(_shares(consistency.by_right[rule].both) for consistency in measured)]
            for rule in measured[0].by_right
            if rule != report.right
        ),
        ["  unweighted", *(_shares(consistency.unweighted.both) for consistency in measured)],
        ["  expected by chance", *(_percent(consistency.weighted.chance) for consistency in measured)],
        ["  above it", *(_shares(consistency.weighted.excess) for consistency in measured)],
        ["  by chance within images", *(_percent(consistency.weighted.chance_within) for consistency in measured)],
        ["  above it", *(_shares(consistency.weighted.excess_within) for consistency in measured)],
        *(
            [["  control: no word shared", *map(_control, measured)]]
            if any(0 in consistency.by_overlap for consistency in measured)
            else []
        ),
        ["  kappa", *(_number(consistency.weighted.kappa) for consistency in measured)],
        ["questions answered", *(_percent(consistency.weighted.answered) for consistency in measured)],
        ["expressions found", *(_percent(consistency.weighted.found) for consistency in measured)],
    ]
    tables = [table(["", *names], rows, "Consistency in %")]
    if report.differences:
        rows = [
            [
                f"{_plain(difference.ours)} above {_plain(difference.theirs)}",
                *(_shares(each) for each in (difference.weighted, difference.unweighted)),
                _number(difference.kappa),
            ]
            for difference in report.differences
        ]
        header = ["", "MT-VGC", "unweighted", "kappa"]
        tables.append(table(header, rows, "\nDifferences in %, on the same pairs"))
    return [*tables, _parts(report, names)]


def _control(consistency: "Consistency") -> str:
    """Show both right among pairs of the same images that share no word."""
    return _shares(consistency.by_overlap[0].both) if 0 in consistency.by_overlap else "-"


def _parts(report: "ConsistencyReport", names: "Sequence[str]") -> "Table":
    """Lay out MT-VGC by what pairs share: of one model with all that there is, of several side by side."""
    from itertools import islice

    from vlmt_cli.commands.show import table

    measured = [model.consistency for model in report.models.values()]
    kinds: list[tuple[str, list[Mapping[str, Agreement]]]] = [
        ("words shared", [{str(d): part for d, part in consistency.by_overlap.items()} for consistency in measured]),
        ("part of speech", [consistency.by_part for consistency in measured]),
        ("noun", [consistency.by_noun for consistency in measured]),
        ("adjective", [consistency.by_adjective for consistency in measured]),
    ]
    rows: list[list[str]] = []
    for kind, groups in kinds:
        for number, (what, first) in enumerate(islice(groups[0].items(), WORDS)):
            cells = [kind if not number else "", what, f"{first.both.n:,}"]
            if len(measured) == 1:
                cells += [_shares(first.both), _percent(first.chance), _number(first.kappa)]
            else:
                cells += [_percent(group[what].both.value) for group in groups]
            rows.append(cells)
    columns = ["MT-VGC", "by chance", "kappa"] if len(measured) == 1 else names
    return table(
        ["pairs that share", "", "pairs", *columns],
        rows,
        "\nConsistency in %, by what question and expression share",
        left=2,
    )


def _remarks(report: "ConsistencyReport") -> list[str]:
    """Say what the numbers are of, and what they do not show."""
    from vlmt_cli.analysis.consistency.vgc import COVERAGE, FEWEST_IMAGES
    from vlmt_cli.evaluation.marks import LEAKED, UNKNOWN

    first = next(iter(report.models.values())).consistency
    lines = [
        f"{first.questions:,} questions and {first.expressions:,} expressions about {first.images:,} images make"
        f" {first.pairs:,} pairs, of which {first.overlapping:,} share a noun or adjective by {report.tagger}."
    ]
    for name, model in report.models.items():
        if model.seen.images:
            lines.append(
                f"{LEAKED} {name}: {' and '.join(model.seen.stages)} saw {model.seen.images:,} of these images."
            )
        if model.seen.unknown:
            stages = " and ".join(model.seen.unknown)
            lines.append(f"{UNKNOWN} {name}: which images {stages} saw is not known, and they may be of these.")
    if first.weighted.both.groups < FEWEST_IMAGES:
        lines.append(COVERAGE)
    paper = dict(report.paper)
    images, pairs = (f"{int(paper.pop(what)):,}" for what in ("images", "question-reference pairs"))
    scores = ", ".join(f"{name} {score:.2f}%" for name, score in paper.items())
    return [*lines, f"The paper has {scores}, of {images} images and {pairs} pairs."]


def _marked(name: str, model: "Measured") -> str:
    """Mark a model whose training saw these images, or may have."""
    from vlmt_cli.evaluation.marks import LEAKED, UNKNOWN

    return _plain(name) + LEAKED * bool(model.seen.images) + UNKNOWN * bool(model.seen.unknown)


def _percent(share: float) -> str:
    return f"{100 * share:z.2f}"


def _shares(estimate: "Estimate") -> str:
    return f"{_percent(estimate.value)} [{_percent(estimate.low)}, {_percent(estimate.high)}]"


def _number(estimate: "Estimate | None") -> str:
    return "-" if estimate is None else f"{estimate.value:z.3f} [{estimate.low:z.3f}, {estimate.high:z.3f}]"


def _plain(name: str) -> str:
    """Return a name that rich shows without reading markup in it."""
    from rich.markup import escape

    return escape(name)
