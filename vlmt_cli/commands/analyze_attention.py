"""``vlmt analyze attention``: what a model looks at, for one photo and one text."""

from pathlib import Path
from typing import Annotated

import typer

from vlmt_cli.commands import completion
from vlmt_cli.commands.options import (
    DATA,
    Backbone,
    DataFolder,
    Detector,
    DetectorWeights,
    Features,
    Weights,
    check_features,
)


def attention(
    photo: Annotated[str, typer.Argument(help="A photo, or an image key whose features are stored: coco:9.")],
    text: Annotated[str, typer.Option("--text", help="The caption, question or expression.")],
    model: Annotated[
        str | None, typer.Option("--model", help="Run folder, .pt or hub id; else RUNS/all-tasks.", show_default=False)
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            help="Task whose token the model gets; none for a pre-trained model.",
            autocompletion=completion.tasks,
        ),
    ] = None,
    to: Annotated[Path, typer.Option("--to", help="The page.")] = Path("attention.html"),
    words: Annotated[
        Path | None, typer.Option("--words", help="PNG of the photo with each region's most attended word (figure 10).")
    ] = None,
    maps: Annotated[Path | None, typer.Option("--maps", help="PNG of the four kinds of maps (figure 12).")] = None,
    layer: Annotated[
        int | None,
        typer.Option("--layer", help="Layer of the pictures of --words and --maps, from 0; else the mean of all."),
    ] = None,
    head: Annotated[
        int | None, typer.Option("--head", help="Head of these pictures, from 0; else the mean of all.")
    ] = None,
    data: DataFolder = DATA,
    features: Features = None,
    detector: Detector = None,
    backbone: Backbone = None,
    detector_weights: DetectorWeights = None,
    weights: Weights = "best",
) -> None:
    """Write an interactive page of all attention maps (figures 10 to 13): every layer, every head.

    Examples:

      vlmt analyze attention dog.jpg --text "the dog and its ball" --task refcoco

      vlmt analyze attention coco:9 --text "a plate of food" --words words.png --maps maps.png
    """
    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.base.image_names import photo_of
    from vlmt_cli.base.images import read_image
    from vlmt_cli.base.schema import nearest
    from vlmt_cli.commands.predict import stores_of
    from vlmt_cli.commands.show import say, stdout
    from vlmt_cli.datasets.table import TASKS
    from vlmt_cli.evaluation.question import check_options, find_photos
    from vlmt_cli.runs.folders import check_checkpoint, find_run, runs_folder

    if task is not None and task not in TASKS:
        raise UsageError(f"there is no task {task!r}", todo=nearest(task, TASKS))
    if words is None and maps is None:
        for option, number in (("--layer", layer), ("--head", head)):
            if number is not None:
                what = f"{option} goes with --words or --maps; the page has every layer and head"
                raise UsageError(what, todo="leave it out, or name a picture")
    sources = find_photos([photo])[:1]
    check_options(sources, features, detector, backbone, detector_weights)
    model = find_run(model, data) if model else str(runs_folder(data) / "all-tasks")
    check_checkpoint(model, data)
    check_features(features, data)

    from vlmt_cli.analysis.attention.maps import attention_of
    from vlmt_cli.analysis.attention.page import write_attention_page
    from vlmt_cli.analysis.attention.png import draw_maps, draw_words
    from vlmt_cli.evaluation.predict import stack
    from vlmt_cli.evaluation.predict_photos import Networks, see
    from vlmt_cli.evaluation.setup import open_model

    networks = Networks("cpu", detector, backbone, detector_weights)
    loaded = open_model(model, weights)
    if loaded.weights.kind:
        say(f"{model}: {loaded.weights}")
    checkpoint, encoder = loaded.checkpoint, loaded.encoder
    seen, notes = see(sources, checkpoint.lineage.extractor, networks, stores_of(data, features))
    for note in notes:
        say(note)
    longest = TASKS[task].max_tokens if task else checkpoint.config.trunk.positions
    ids = encoder.encode([text], longest)[0]
    token = loaded.token(task) if task else None
    regions = stack(seen, loaded.features.regions)
    attention_maps = attention_of(
        checkpoint.model,
        tokens=encoder.words(ids),
        ids=ids,
        task=(task, token) if task is not None and token is not None else None,
        features_VF=regions.features_BVF[0],
        pixels_V4=regions.pixels_BV4[0],
    )
    path = sources[0].path or photo_of(data / "images", sources[0].name)
    picture = read_image(str(path)) if path else None
    shown = None if isinstance(picture, str) else picture
    facts = [model, *([f"as {TASKS[task].title}"] if task else [])]
    # A layer or head that does not exist is refused before anything is written.
    if maps is not None:
        draw_maps(maps, attention_maps, shown, layer, head)
    if words is not None:
        draw_words(words, attention_maps, shown, layer, head)
    write_attention_page(to, attention_maps, shown, text=text, facts=facts)
    for drawn in filter(None, (to, words, maps)):
        stdout().print(str(drawn), soft_wrap=True)
