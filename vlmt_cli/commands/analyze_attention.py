"""``vlmt analyze attention``: what a model looks at, for one photo and one text."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlmt_cli.runs.best import BestOrLast


def attention(
    model: str,
    weights: "BestOrLast",
    photo: str,
    text: str,
    task: str | None,
    data: Path,
    features: str | None,
    detector: str | None,
    backbone: str | None,
    detector_weights: Path | None,
    to: Path,
    words: Path | None,
    maps: Path | None,
    layer: int | None,
    head: int | None,
) -> None:
    """Run the model once, and write the page and the pictures."""
    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.base.image_names import photo_of
    from vlmt_cli.base.images import read_image
    from vlmt_cli.base.schema import nearest
    from vlmt_cli.commands.options import check_features
    from vlmt_cli.commands.predict import stores_of
    from vlmt_cli.commands.show import say, stdout
    from vlmt_cli.datasets.table import TASKS
    from vlmt_cli.evaluation.question import find_photos
    from vlmt_cli.runs.folders import check_checkpoint, find_run

    if task is not None and task not in TASKS:
        raise UsageError(f"there is no task {task!r}", todo=nearest(task, TASKS))
    sources = find_photos([photo])
    model = find_run(model, data)
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
    seen, notes = see(sources[:1], checkpoint.lineage.extractor, networks, stores_of(data, features))
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
    write_attention_page(to, attention_maps, shown, text=text, facts=facts)
    written = [to]
    if words is not None:
        draw_words(words, attention_maps, shown, layer, head)
        written.append(words)
    if maps is not None:
        draw_maps(maps, attention_maps, shown, layer, head)
        written.append(maps)
    for drawn in written:
        stdout().print(str(drawn), markup=False, soft_wrap=True)
