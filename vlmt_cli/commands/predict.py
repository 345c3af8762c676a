"""``vlmt predict``: any task on anyone's photos and texts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmt_cli.commands import completion
from vlmt_cli.commands.devices import Computing, Device, check_computing, check_gpus, devices_of
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
    from vlmt_cli.evaluation.predict import Photo
    from vlmt_cli.evaluation.predict_picture import View
    from vlmt_cli.evaluation.predictions import Prediction
    from vlmt_cli.evaluation.question import PhotoSource

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

      vlmt predict --model runs/at --task nlvr2 a.jpg b.jpg --text "Both red."

      vlmt predict --model runs/at --task guesswhat coco:9 --text "a dog? no."
    """
    import json

    import msgspec

    from vlmt_cli.commands.show import progress, say
    from vlmt_cli.evaluation.question import check_question, find_photos
    from vlmt_cli.runs.folders import check_checkpoint, find_run

    sources = find_photos(photos)
    _check_targets(page, draw, task, sources)
    check_question(task, len(sources), text)
    given = None if boxes is None else _given(boxes, task, len(sources))
    model = find_run(model, data)
    check_checkpoint(model, data)
    check_features(features, data)
    check_computing(asked := Computing(device))
    check_gpus(asked)

    from vlmt_cli.evaluation.predict import check_question_fits, remarks
    from vlmt_cli.evaluation.predict import predict as ask
    from vlmt_cli.evaluation.predict_photos import Networks, see
    from vlmt_cli.evaluation.setup import open_model

    loaded = open_model(model, weights)
    if loaded.weights.kind:
        say(f"{model}: {loaded.weights}")
    checkpoint, recipe = loaded.checkpoint, loaded.recipe
    check_question_fits(checkpoint, task, len(sources), text)
    for line in text:
        for remark in remarks(checkpoint, task, line):
            say(f"{line!r}: {remark}")
    if recipe and task not in recipe.tasks:
        say(f"{model} was last trained on {', '.join(recipe.tasks)}, and not on {task}")
    [where] = devices_of(asked)
    networks = Networks(where, detector, backbone, detector_weights)
    with progress("Extracting") as update:
        seen, notes = see(sources, checkpoint.lineage.extractor, networks, stores_of(data, features), given, update)
    for note in notes:
        say(note)
    checkpoint.model.to(where)
    with progress("Ranking") as update:
        predictions = ask(loaded, task, seen, text, top=top, progress=update)
    extractor = checkpoint.lineage.extractor
    facts = [model, *([f"features of {extractor.name}"] if extractor else [])]
    _illustrate(predictions, page, draw, task, dict(zip(sources, seen, strict=True)), data, facts)
    if as_json:
        print(json.dumps({"model": model, "task": task, "predictions": msgspec.to_builtins(predictions)}, indent=2))
    else:
        _show(predictions, model, task)


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
    photos: "dict[PhotoSource, Photo]",
    data: Path,
    facts: list[str],
) -> None:
    """Write the requested page and picture."""
    from vlmt_cli.commands.show import say
    from vlmt_cli.evaluation.predict_page import write_prediction_page
    from vlmt_cli.evaluation.predict_picture import draw_boxes
    from vlmt_cli.evaluation.predictions import Boxes, photos_of

    shown = {name for prediction in predictions for name in photos_of(prediction)} if page or draw else set()
    views = {photo.name: _view(source, photo, data) for source, photo in photos.items() if photo.name in shown}
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


def _view(source: "PhotoSource", photo: "Photo", data: Path) -> "View":
    """Read a photo to show; that of an image key is looked for in ``<data>/images``."""
    from vlmt_cli.base.image_names import photo_of
    from vlmt_cli.base.images import read_image
    from vlmt_cli.evaluation.predict_picture import View

    path = source.path or photo_of(data / "images", source.name)
    picture = read_image(str(path)) if path else None
    return View(None if isinstance(picture, str) else picture, photo.regions.width, photo.regions.height)


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
        printed = [[_unmarked(cell) for cell in line] for line in lines]
        laid_out = table(header, printed, _unmarked(f"{task} by {model}"), left)
        laid_out.columns[0].no_wrap, laid_out.columns[0].overflow = False, "fold"  # long names, and long captions
        laid_out.columns[-1].justify = "left"
        stdout().print(laid_out)


def _bar(probability: float) -> str:
    return f"{probability:.3f} {'█' * round(BAR * probability)}"


def _corners(box: tuple[float, ...]) -> str:
    return ", ".join(f"{side:.0f}" for side in box)


def _unmarked(cell: str) -> str:
    """Escape a text for the terminal: no markup, and no control characters."""
    from rich.markup import escape

    from vlmt_cli.base.words import escaped

    return escape(escaped(cell))
