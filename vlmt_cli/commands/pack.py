"""``vlmt pack``: existing features, into a store."""

from pathlib import Path
from typing import Annotated

import typer

from vlmt_cli.commands.options import DATA, DataFolder, Json, check_data

FORMATS = ("lmdb", "tensorpack", "tsv", "arrays", "hdf5")


def pack(
    source: Annotated[
        Path,
        typer.Argument(help="Features: LMDB, TSV, a folder of .npy or .npz, HDF5; with --hard-negatives, a store."),
    ],
    store: Annotated[Path | None, typer.Argument(help="The store to make, or to add to.")] = None,
    format: Annotated[
        str | None, typer.Option("--format", help="lmdb, tensorpack, tsv, arrays or hdf5, where it is not recognised.")
    ] = None,
    image_source: Annotated[
        str | None,
        typer.Option(
            "--source", help="Source of images that are named by numbers: coco, vg, gqa, flickr30k, nlvr2 or cc."
        ),
    ] = None,
    extractor: Annotated[
        str | None, typer.Option(help="Name of the extractor; runs refuse features of another one.")
    ] = None,
    regions: Annotated[int | None, typer.Option(min=1, help="Keep the first so many regions of each image.")] = None,
    ids: Annotated[
        Path | None, typer.Option(help="For HDF5: the pickle or JSON that says which image each row is.")
    ] = None,
    whole_image_boxes: Annotated[
        bool, typer.Option("--whole-image-boxes", help="Accept features without boxes; each region is the whole image.")
    ] = False,
    hard_negatives: Annotated[
        bool,
        typer.Option(
            "--hard-negatives",
            help="Instead: find each clean train image's nearest neighbours in the store SOURCE.",
        ),
    ] = False,
    neighbours: Annotated[int, typer.Option(min=1, help="With --hard-negatives: neighbours of each image.")] = 100,
    partial: Annotated[
        bool, typer.Option("--partial", help="With --hard-negatives: leave images without features out.")
    ] = False,
    data: DataFolder = DATA,
    as_json: Json = False,
) -> None:
    """Import features of any supported format into a store.

    An interrupted command resumes when it is run again; files packed one after another make one store. Damaged records
    are left out, counted, and named in STORE.problems.jsonl. Pickles are read without running anything in them.

    Examples:

      vlmt pack COCO_trainval_resnext152_faster_rcnn_genome.lmdb data/features/coco --source coco --extractor X-152

      vlmt pack train2014_obj36.tsv data/features/coco36 --extractor bottom-up-attention

      vlmt pack --hard-negatives data/features/coco
    """
    import json
    from dataclasses import asdict

    import msgspec

    from vlmt_cli.base.errors import DataError, UsageError
    from vlmt_cli.base.keys import SOURCES
    from vlmt_cli.base.words import count
    from vlmt_cli.commands.show import progress, say, stdout

    if hard_negatives and store is not None:
        raise UsageError(f"unexpected argument {str(store)!r}", todo="--hard-negatives takes one store")
    if not hard_negatives and store is None:
        raise UsageError("the store to make is missing", todo="name it after the features: vlmt pack SOURCE STORE")
    if partial and not hard_negatives:
        raise UsageError("--partial goes with --hard-negatives")
    if hard_negatives:
        check_data(data)
    if not source.exists():
        raise DataError("there is no such file or folder", where=source, todo="name the features to pack")
    if store is None:
        _hard_negatives(source, data, neighbours, partial, as_json)
        return
    if format is not None and format not in FORMATS:
        raise UsageError(f"there is no format {format!r}", todo=f"choose among {', '.join(FORMATS)}")
    if image_source is not None and image_source not in SOURCES:
        raise UsageError(f"{image_source!r} is not an image source", todo=f"choose among {', '.join(SOURCES)}")

    from vlmt_cli.features.formats.entry import PackOptions
    from vlmt_cli.features.pack import UNKNOWN, beside
    from vlmt_cli.features.pack import pack as pack_features
    from vlmt_cli.features.problems import sentence

    with progress("Packing") as update:
        packed = pack_features(
            source,
            store,
            format=format,
            image_source=image_source,
            extractor=extractor,
            regions=regions,
            options=PackOptions(ids, whole_image_boxes),
            progress=update,
        )
    if as_json:
        print(json.dumps({**asdict(packed), "meta": msgspec.to_builtins(packed.meta)}, indent=2))
    else:
        meta = packed.meta
        scores = f" and {count(meta.classes, 'class score')}" if meta.classes else ""
        stdout().print(
            f"{store}: {count(packed.images, 'image')} packed, {packed.there:,} already there, {meta.images:,} in all;"
            f" {count(meta.feature_width, 'feature')}{scores} a region, by {meta.extractor}. Checksum {meta.checksum}",
        )
        if packed.captions:
            stdout().print(f"{count(packed.captions, 'caption')}: {beside(store, 'captions.parquet')}")
    if packed.meta.extractor == UNKNOWN:
        say("Warning: the extractor is not known; --extractor NAME lets runs refuse the features of another one.")
    if packed.mended:
        kinds = "; ".join(sentence(problem) for problem in packed.mended.values())
        say(f"Warning: impossible boxes were mended, in images: {kinds}")
    if left_out := sum(problem.count for problem in packed.problems.values()):
        kinds = "; ".join(sentence(problem) for problem in packed.problems.values())
        say(f"Warning: {count(left_out, 'record')} left out, named in {beside(store, 'problems.jsonl')}: {kinds}")


def _hard_negatives(store: Path, data: Path, neighbours: int, partial: bool, as_json: bool) -> None:
    import json

    from vlmt_cli.base.errors import DataError
    from vlmt_cli.commands.show import progress, say, stdout
    from vlmt_cli.datasets.clean_command import get_examples
    from vlmt_cli.features.hard_negatives import DATASETS, write_hard_negatives
    from vlmt_cli.features.store import FeatureStore

    names = [name for name in DATASETS if (data / "examples" / name / "train.parquet").exists()]
    if not names:
        raise DataError(
            f"there are no train images of {' or '.join(DATASETS)}",
            where=data / "examples",
            todo=get_examples(data, *DATASETS, split="train"),
        )
    features, result = FeatureStore(store), []
    for name in names:
        with progress(f"Hard negatives of {name}") as update:
            result.append(write_hard_negatives(features, data, name, neighbours, partial, update))
    if as_json:
        print(json.dumps([{**vars(table), "path": str(table.path)} for table in result], indent=2))
    for table in result:
        if not as_json:
            stdout().print(f"{table.path}: the nearest of {table.with_features:,} images to each of them")
        if lacking := table.images - table.with_features:
            say(f"Warning: {lacking:,} of {table.images:,} train images of {table.dataset} are left out: no features.")
