"""``vlmt data show DATASET --masking``: a picture of what pre-training hides."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from vlmt_cli.features.store import FeatureStore

MOST = 200

# What the file of image {0} may be called, by source, beside its bare id.


def show_masking(
    table: Path, name: str, path: Path, count: int, data: Path, features: Path | None, as_json: bool
) -> None:
    """Draw the first images of an example table that have features, masked, and say where the picture is.

    Args:
        table: the example table.
        name: what the examples are: ``vqa train``.
        path: the PNG.
        count: how many images.
        data: the data folder; photos are found in its ``images/<source>/``.
        features: the store; else one in ``data/features``.

    Raises:
        DataError: no image has features.
        UsageError: the PNG's name does not end in .png, or the picture would be too large.
    """
    from vlmt_cli.analysis.masking.card import Example
    from vlmt_cli.analysis.masking.picture import draw_masking
    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.base.image_names import photo_of
    from vlmt_cli.commands.show import stdout

    if path.suffix.lower() != ".png":
        raise UsageError("the picture is a PNG", where=f"--to {path}", todo="give it a name that ends in .png")
    if count > MOST:
        raise UsageError(f"a picture has room for {MOST} images", where=f"--count {count}")
    store, covered = _store(table, name, data, features)
    examples = [
        Example(image, text, store.read(image), photo_of(data / "images", image))
        for image, text in _first(table, covered, count)
    ]
    shares = draw_masking(examples, f"What pre-training masks: {name}", path)
    if as_json:
        result = {"picture": str(path), "images": [example.image for example in examples], **shares._asdict()}
        print(json.dumps(result, indent=2))
        return
    regions, several = shares.regions, "s" * (len(examples) > 1)
    line = (
        f"{path}: {len(examples)} image{several}; of {regions:,} regions {shares.sampled_regions / regions:.1%} sampled"
        f" and {shares.neighbours / regions:.1%} masked as their neighbours; of {shares.words:,} words"
        f" {shares.sampled_words / max(shares.words, 1):.1%} sampled"
    )
    stdout().print(line, soft_wrap=True)


def _store(table: Path, name: str, data: Path, features: Path | None) -> "tuple[FeatureStore, pa.Array]":
    """Open the store, and say which of the table's images it has: of several the one that has most."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from vlmt_cli.base.errors import DataError
    from vlmt_cli.features.coverage import images_of
    from vlmt_cli.features.store import FeatureStore

    # A store of given boxes has an image's candidates, and not what a detector finds in it.
    paths = [features] if features else sorted(file.parent for file in (data / "features").glob("*/data.mdb"))
    stores = [store for store in map(FeatureStore, paths) if features or not store.has_candidates]
    where = features or data / "features"
    if not stores:
        raise DataError("there is no feature store", where=where, todo="make one with vlmt extract or pack")
    images = images_of(table).flatten().unique()
    covered = [images.filter(pc.is_in(images, pa.array(store.keys(), pa.string()))) for store in stores]
    store, keys = max(zip(stores, covered, strict=True), key=lambda pair: len(pair[1]))
    if not len(keys):
        raise DataError(f"has no features of the images of {name}", where=where, todo="extract or pack them")
    return store, keys


def _first(table: Path, covered: "pa.Array", count: int) -> list[tuple[str, str]]:
    """Return the first ``count`` of the images, each with the text of its first example."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    wanted = covered[:count]
    texts: dict[str, str] = {}
    for batch in pq.ParquetFile(table).iter_batches(columns=["images", "text"]):
        shows = pc.is_in(batch["images"].flatten(), wanted)
        if not pc.any(shows).as_py():
            continue
        for images, text in zip(batch["images"].to_pylist(), batch["text"].to_pylist(), strict=True):
            for image in images:
                texts.setdefault(image, text)
        if all(image in texts for image in wanted.to_pylist()):
            break
    return [(image, texts[image]) for image in wanted.to_pylist()]
