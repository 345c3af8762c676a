"""``vlmt vgc``: does a model that answers a question about a thing also find that thing?"""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmt_cli.base.errors import UsageError
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
from vlmt_cli.commands.options import (
    DATA,
    BatchSize,
    DataFolder,
    Features,
    Json,
    Partial,
    Weights,
    check_features,
    check_named,
    grouped,
)
from vlmt_cli.commands.vgc_answers import OfAnswers, vgc_answers

if TYPE_CHECKING:
    from vlmt_cli.analysis.consistency.report import ConsistencyReport
    from vlmt_cli.tasks.process import Process


@grouped
def vgc(
    given: OfAnswers,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="PATH or NAME=PATH: a run folder (RUN), a .pt or a hub id. TASK=PATH: one checkpoint of"
            " several, a task each; NAME:TASK=PATH to name such a set. Repeat it for more.",
        ),
    ] = None,
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
    gpus: Gpus = None,
    processes: Processes = None,
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

    Of a model that vlmt does not run, --export writes the questions and expressions for an evaluation kit, and
    --predictions reads the answers back. Other pairings ask what fewer training mixtures have seen.

    Examples:

      vlmt vgc --model ckpt.pt

      vlmt vgc --model runs/all-tasks --tagger spacy --right "= 1"

      vlmt vgc --model runs/all-tasks --gpus 8

      vlmt vgc --model vqa=runs/st-vqa --model refcoco=runs/st-refcoco --model refcoco+=runs/st-refcoco+

      vlmt vgc --model AT=runs/all-tasks --model ST:vqa=a.pt --model ST:refcoco=b.pt --model ST:refcoco+=c.pt

      vlmt vgc --export llava --pairing gqa-graph --to vgc-questions

      vlmt vgc --pairing gqa-graph --predictions A=a.jsonl --predictions B=b.jsonl --boxes 0-1000
    """
    if given.export or given.predictions:
        check_named(data)
        others = {"--model": model, "--features": features, "--gpus": gpus, "--processes": processes}
        vgc_answers(given, others, data, to, tagger, right, partial, gallery, as_json)
        return
    given.check_unused()
    if not model:
        raise UsageError("there is nothing to measure", todo="give --model a run, or --predictions a file of answers")
    from vlmt_cli.analysis.consistency.concepts import check_tagger
    from vlmt_cli.analysis.consistency.names import find_models, parse_models
    from vlmt_cli.analysis.consistency.vgc import rule_of

    models = find_models(parse_models(model), data)
    check_tagger(tagger)
    rule_of(right)
    check_computing(asked := Computing(device, gpus, processes))
    check_gpus(asked)
    check_features(features, data)

    from vlmt_cli.analysis.consistency.report import report_json
    from vlmt_cli.commands.show import say
    from vlmt_cli.commands.vgc_tables import show_report

    options = {
        "models": models, "data": data, "folder": to, "weights": weights, "tagger": tagger, "right": right,
        "features": features, "partial": partial, "batch_size": batch_size, "gallery": gallery,
    }  # fmt: skip
    report = on_each(devices_of(asked), functools.partial(_run_here, options=options))
    if report is None:
        return
    for note in report.notes:
        say(note)
    if as_json:
        print(report_json(report).decode(), end="")
        return
    show_report(report)


def _run_here(process: "Process", options: dict[str, Any]) -> "ConsistencyReport | None":
    """Measure in this process, which may be one of several; the first shows how far it is."""
    from vlmt_cli.analysis.consistency.run import run_vgc
    from vlmt_cli.commands.show import progress

    if not process.is_first:
        return run_vgc(**options, process=process)
    with progress("Predicting") as update:
        return run_vgc(**options, process=process, progress=update)
