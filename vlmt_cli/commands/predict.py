"""``vlmt predict``: any task on anyone's photos and texts."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from vlmt_cli.base.collecting import importing
from vlmt_cli.base.stages import IMPORTS, Stages
from vlmt_cli.base.without_pandas import without_pandas
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
from vlmt_cli.commands.options import (
    DATA,
    Backbone,
    DataFolder,
    Detector,
    DetectorWeights,
    Features,
    Json,
    Weights,
    check_features,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmt_cli.base.boxes import BoxArray
    from vlmt_cli.evaluation.predict_picture import View
    from vlmt_cli.evaluation.predictions import Prediction
    from vlmt_cli.evaluation.question import PhotoSource
    from vlmt_cli.runs.best import BestOrLast
    from vlmt_cli.tasks.process import Process

BAR = 16  # characters, of a probability of one


def predict(
    photos: Annotated[
        list[str], typer.Argument(help="Image files, folders of them, or image keys of a feature store: coco:262148.")
    ],
    model: Annotated[str, typer.Option("--model", help="Run folder, .pt or hub id.")],
    task: Annotated[
        str,
        typer.Option("--task", help="Task: vqa, coco, refcoco, nlvr2, snli_ve, ...", autocompletion=completion.tasks),
    ],
    text: Annotated[
        list[str], typer.Option("--text", help="Question, phrase, dialogue, caption or statement. Repeat it for more.")
    ],
    boxes: Annotated[
        str | None,
        typer.Option(help="Boxes to choose among instead of detected ones, in pixels: [[x1, y1, x2, y2], ...]"),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Number of answers, boxes, photos or texts to show.")] = 5,
    page: Annotated[Path | None, typer.Option(help="An HTML page to write, with the photos in it.")] = None,
    draw: Annotated[Path | None, typer.Option(help="A PNG to write: the photo with the boxes that were found.")] = None,
    features: Features = None,
    detector: Detector = None,
    backbone: Backbone = None,
    detector_weights: DetectorWeights = None,
    weights: Weights = "best",
    device: Device = "auto",
    gpus: Gpus = None,
    processes: Processes = None,
    data: DataFolder = DATA,
    as_json: Json = False,
) -> None:
    """Run a model on photos of your own.

    vqa, vg_qa and gqa answer questions; refcoco, refcoco+, refcocog, visual7w, guesswhat and flickr30k_entities find
    the region that a text means; coco and flickr30k rank photos for a caption, and captions for a photo; nlvr2 says
    whether a statement is true of two photos, snli_ve whether it follows from one.

    Examples:

      vlmt predict --model runs/at --task vqa dog.jpg --text "what color is it?"

      vlmt predict --model runs/at --task refcoco a.jpg --text dog --draw b.png

      vlmt predict --model runs/at --task coco photos/ --text "a dog on a beach"

      vlmt predict --model runs/at --task coco photos/ --text "a dog on a beach" --gpus 8

      vlmt predict --model runs/at --task nlvr2 a.jpg b.jpg --text "Both red."

      vlmt predict --model runs/at --task guesswhat coco:9 --text "a dog? no."
    """
    import json

    import msgspec

    stage = Stages()
    with stage(IMPORTS), importing():
        from vlmt_cli.commands.show import say
        from vlmt_cli.evaluation.question import check_options, check_question, find_photos
        from vlmt_cli.runs.folders import check_checkpoint, find_run

    sources = find_photos(photos)
    _check_targets(page, draw, task, sources)
    check_question(task, len(sources), text)
    check_options(sources, features, detector, backbone, detector_weights)
    given = None if boxes is None else _given(boxes, task, len(sources))
    model = find_run(model, data)
    check_checkpoint(model, data)
    check_features(features, data)
    check_computing(asked := Computing(device, gpus, processes))
    check_gpus(asked)

    question = _Question(
        model, weights, task, sources, text, given, top, data, features, detector, backbone, detector_weights, stage
    )
    with stage(IMPORTS):
        devices = devices_of(asked)  # which asks torch
    said = on_each(devices, functools.partial(_ask, question=question))
    if said is None:
        return
    _illustrate(said.predictions, page, draw, task, dict(zip(sources, said.sizes, strict=True)), data, said.facts)
    if as_json:
        told = {"model": model, "task": task, "predictions": msgspec.to_builtins(said.predictions)}
        print(json.dumps(told | {"seconds": said.stage.seconds}, indent=2))
    else:
        _show(said.predictions, model, task)
    say(f"Seconds: {said.stage}")


class _Question(NamedTuple):
    """All that a process needs to answer; it travels between processes."""

    model: str
    weights: "BestOrLast"
    task: str
    sources: "list[PhotoSource]"
    texts: list[str]
    boxes: "BoxArray | None"
    top: int
    data: Path
    features: str | None
    detector: str | None
    backbone: str | None
    detector_weights: Path | None
    stage: Stages


class _Said(NamedTuple):
    """Predictions, name, width and height of every photo, what they were made with, and what the first process took."""

    predictions: "list[Prediction]"
    sizes: "list[tuple[str, int, int]]"
    facts: list[str]
    stage: Stages


def _ask(process: "Process", question: _Question) -> _Said:
    """Answer in this process, which may be one of several that share the photos; the first shows how far it is."""
    with (stage := question.stage)(IMPORTS), importing():
        from vlmt_cli.commands.show import progress, say
        from vlmt_cli.evaluation.predict import check_question_fits, in_order, predict, remarks, share
        from vlmt_cli.evaluation.predict_photos import Networks, see
        from vlmt_cli.evaluation.setup import open_model

    model, task, count = question.model, question.task, len(question.sources)
    tell = say if process.is_first else lambda line: None
    with stage("model"):
        loaded = open_model(model, question.weights)
    if loaded.weights.kind:
        tell(f"{model}: {loaded.weights}")
    checkpoint, recipe = loaded.checkpoint, loaded.recipe
    check_question_fits(checkpoint, task, count, question.texts)
    for line in question.texts:
        for remark in remarks(checkpoint, task, line):
            tell(f"{line!r}: {remark}")
    if recipe and task not in recipe.tasks:
        tell(f"{model} was last trained on {', '.join(recipe.tasks)}, and not on {task}")
    extractor, stores = checkpoint.lineage.extractor, stores_of(question.data, question.features)
    networks = Networks(str(process.device), question.detector, question.backbone, question.detector_weights)
    own = [question.sources[number] for number in share(count, process)]
    with progress("Extracting", shown=process.is_first) as update:
        seen, notes = see(own, extractor, networks, stores, question.boxes, update, stage)
    for note in notes:
        tell(note)
    with stage("model"):
        checkpoint.model.to(process.device)
    with progress("Ranking", shown=process.is_first) as update, stage("answer"), without_pandas():
        predictions = predict(loaded, task, seen, question.texts, top=question.top, process=process, progress=update)
    sizes = process.to_first([(photo.name, photo.regions.width, photo.regions.height) for photo in seen])
    facts = [model, *([f"features of {extractor.name}"] if extractor else [])]
    return _Said(predictions, in_order(sizes, count), facts, stage)


def _check_targets(page: Path | None, draw: Path | None, task: str, sources: "Sequence[PhotoSource]") -> None:
    """Find out early what cannot be drawn, and what would be written over."""
    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.datasets.table import TASKS
    from vlmt_cli.tasks.groups import rules_of

    if page is not None and page.suffix.lower() not in (".html", ".htm"):
        raise UsageError("the page is HTML", where=f"--page {page}", todo="give it a name that ends in .html")
    if draw is None:
        return
    if draw.suffix.lower() != ".png":
        raise UsageError("the picture is a PNG", where=f"--draw {draw}", todo="give it a name that ends in .png")
    if task in TASKS and rules_of(task).PREDICTS != "boxes":
        raise UsageError(
            f"{task} finds no boxes", where=f"--draw {draw}", todo="show its answers with --page FILE.html"
        )
    if len(sources) > 1:
        raise UsageError("one photo is drawn", where=f"--draw {draw}", todo="show several with --page FILE.html")
    if any(source.path and source.path.resolve() == draw.resolve() for source in sources):
        raise UsageError("is the photo itself", where=f"--draw {draw}", todo="give the picture another name")


def _given(boxes: str, task: str, photos: int) -> "BoxArray":
    """Read boxes to choose among, (C, 4)."""
    import msgspec
    import numpy as np

    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.datasets.table import TASKS
    from vlmt_cli.tasks.groups import rules_of

    if task in TASKS and rules_of(task).PREDICTS != "boxes":
        raise UsageError(f"{task} does not choose among boxes", where="--boxes", todo="leave it out")
    if photos != 1:
        raise UsageError("boxes are of one photo", where="--boxes", todo="ask about one photo at a time")
    try:
        corners = msgspec.json.decode(boxes, type=list[tuple[float, float, float, float]])
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise UsageError(f"cannot be read ({error})", where="--boxes", todo="write [[x1, y1, x2, y2], ...]") from error
    result = np.array(corners, np.float32).reshape(-1, 4)
    if not len(result) or not (result[:, 2:] > result[:, :2]).all():
        raise UsageError("holds no box, or one that ends before it begins", where="--boxes", todo="correct it")
    return result


def stores_of(data: Path, features: str | None) -> list[Path]:
    """Name the feature stores to look in; one that is named is the first, and beside it are those of candidates."""
    stores = sorted(file.parent for file in (data / "features").glob("*/data.mdb"))
    if features is None:
        return stores
    named = data / "features" / features
    chosen = named if named.exists() else Path(features)
    return [chosen, *(path for path in sorted(chosen.parent.glob("*candidates*")) if path != chosen)]


def _illustrate(
    predictions: "Sequence[Prediction]",
    page: Path | None,
    draw: Path | None,
    task: str,
    photos: "dict[PhotoSource, tuple[str, int, int]]",
    data: Path,
    facts: list[str],
) -> None:
    """Write the requested page and picture."""
    from vlmt_cli.commands.show import say
    from vlmt_cli.evaluation.predict_page import write_prediction_page
    from vlmt_cli.evaluation.predict_picture import draw_boxes
    from vlmt_cli.evaluation.predictions import Boxes, photos_of

    shown = {name for prediction in predictions for name in photos_of(prediction)} if page or draw else set()
    views = {name: _view(source, size, data) for source, (name, *size) in photos.items() if name in shown}
    if page:
        write_prediction_page(page, task, predictions, views, facts)
        say(f"Page: {page}")
    if draw:
        draw_boxes(
            draw,
            next(iter(views.values())),
            [prediction for prediction in predictions if isinstance(prediction, Boxes)],
        )
        say(f"Picture: {draw}")


def _view(source: "PhotoSource", size: "Sequence[int]", data: Path) -> "View":
    """Read a photo to show; that of an image key is looked for in ``<data>/images``."""
    from vlmt_cli.base.image_names import photo_of
    from vlmt_cli.base.images import read_image
    from vlmt_cli.evaluation.predict_picture import View

    path = source.path or photo_of(data / "images", source.name)
    picture = read_image(str(path)) if path else None
    width, height = size
    return View(None if isinstance(picture, str) else picture, width, height)


def _show(predictions: "Sequence[Prediction]", model: str, task: str) -> None:
    """Print one table of answers or boxes; of rankings one of photos and one of texts."""
    from vlmt_cli.commands.show import stdout, table
    from vlmt_cli.evaluation.predictions import Answers, Boxes, Photos, Texts

    rows: dict[tuple[str, ...], list[list[str]]] = {}
    for prediction in predictions:
        match prediction:
            case Answers():
                header: tuple[str, ...] = ("photo", "text", "answer", "probability")
                said = [[each.answer, _bar(each.probability)] for each in prediction.answers]
                about = [" and ".join(prediction.photos), prediction.text]
            case Boxes():
                header = ("photo", "text", "box", "probability")
                said = [[_corners(each.box), _bar(each.probability)] for each in prediction.boxes]
                about = [prediction.photo, prediction.text]
            case Photos():
                header = ("text", "photo", "score", "probability")
                said = [[each.photo, f"{each.score:z.3f}", _bar(each.probability)] for each in prediction.photos]
                about = [prediction.text]
            case Texts():
                header = ("photo", "text", "score", "probability")
                said = [[each.text, f"{each.score:z.3f}", _bar(each.probability)] for each in prediction.texts]
                about = [prediction.photo]
        blank = [""] * len(about)
        rows.setdefault(header, []).extend([*(blank if n else about), *cells] for n, cells in enumerate(said))
    for header, lines in rows.items():
        left = header.index("score") if "score" in header else len(header) - 1
        laid_out = table(header, lines, f"{task} by {model}", left)
        laid_out.columns[0].no_wrap, laid_out.columns[0].overflow = False, "fold"  # long names, and long captions
        laid_out.columns[-1].justify = "left"
        stdout().print(laid_out)


def _bar(probability: float) -> str:
    return f"{probability:.3f} {'█' * round(BAR * probability)}"


def _corners(box: tuple[float, ...]) -> str:
    return ", ".join(f"{side:.0f}" for side in box)
