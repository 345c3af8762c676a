"""``vlmt clean``: remove every test image from every train and validation set, and prove it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmt_cli.commands.options import DATA, DataFolder, Json, Recipe, Settings

if TYPE_CHECKING:
    import pyarrow as pa

    from vlmt_cli.clean.report import NearDuplicates
    from vlmt_cli.clean.splits import Split
    from vlmt_cli.datasets.options import Options
    from vlmt_cli.datasets.prepare import Prepared


def clean(
    folders: Annotated[
        list[str] | None,
        typer.Argument(help="With --near-duplicates: folders of images, FOLDER or source=FOLDER; else DATA/images."),
    ] = None,
    data: DataFolder = DATA,
    datasets: Annotated[
        str, typer.Option(help="Datasets to clean of each other's test images, with commas; all means all twelve.")
    ] = "all",
    available: Annotated[
        bool, typer.Option("--available", help="Take the datasets and splits whose files are there.")
    ] = False,
    identity: Annotated[
        str,
        typer.Option(help="strict: every relation that the files give. paper: ids and Visual Genome's crosswalk."),
    ] = "strict",
    image_list: Annotated[
        list[str] | None,
        typer.Option(help="NAME:ROLE=FILE with an image key a line; ROLE is train, val, test, pretrain or detector."),
    ] = None,
    near_duplicates: Annotated[
        bool, typer.Option("--near-duplicates", help="Compare image files, too: equal pixels and near-duplicates.")
    ] = False,
    allow_list: Annotated[
        Path | None, typer.Option(help="Pairs of image keys that a person has judged to be different images.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Verify the split that is there; exit 4 when it leaks.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report, but write no split.")] = False,
    recipe: Recipe = "data",
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Remove every test image from every train and validation set, and prove it.

    Reads the official files in DATA/raw, writes example tables to DATA/examples and the clean split to DATA/clean:
    keep.parquet, removed.parquet (with reasons), report.json, report.md and overlap.png. Test sets stay untouched.

    Examples:

      vlmt clean --datasets all

      vlmt clean --available --image-list bottom_up:detector=visual_genome_detector_train.txt

      vlmt clean --near-duplicates vg=VG_100K train2014 val2014

      vlmt clean --check
    """
    import pyarrow as pa

    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.base.recipes import load_recipe
    from vlmt_cli.clean.removal import LAST_RELATION
    from vlmt_cli.commands.show import say
    from vlmt_cli.datasets.options import Options

    if identity not in LAST_RELATION:
        raise UsageError(f"there is no identity {identity!r}", todo=f"choose {' or '.join(LAST_RELATION)}")
    if folders and not near_duplicates:
        raise UsageError(f"unexpected argument {folders[0]!r}", todo="folders go with --near-duplicates")
    if allow_list and not near_duplicates:
        raise UsageError("--allow-list goes with --near-duplicates")
    options = load_recipe(recipe, Options, settings or ())

    names = names_of(datasets)
    missing = require_files(data, names, available)
    examples = prepare_examples(data, names, options)
    splits, links = read_splits(examples, image_list or ())
    found = None
    if near_duplicates:
        gallery = None if dry_run or check else data / "near_duplicates" / "gallery.html"
        more, found = _compare_files(data, splits, folders or [str(data / "images")], allow_list, options, gallery)
        links = pa.concat_tables([links, more])
    warnings = warnings_of(splits, links, examples, missing)
    if check:
        for warning in warnings:
            say(f"Warning: {warning}")
        _check(data, splits, links, identity, as_json)
    else:
        _clean(data, splits, links, identity, examples, warnings, found, dry_run, as_json)


def names_of(datasets: str) -> list[str]:
    """Return the datasets that ``--datasets`` names; ``all`` stands for the twelve."""
    import difflib

    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.datasets.table import DATASETS, TWELVE

    names: list[str] = []
    for name in (part.strip() for part in datasets.split(",")):
        if name != "all" and name not in DATASETS:
            close = difflib.get_close_matches(name, DATASETS, n=1)
            todo = f"did you mean {close[0]}?" if close else f"choose among all, {', '.join(DATASETS)}"
            raise UsageError(f"there is no dataset {name!r}", todo=todo)
        names += TWELVE if name == "all" else [name]
    return list(dict.fromkeys(names))


def require_files(data: Path, names: list[str], available: bool) -> list[str]:
    """Return the missing official files, or raise the error that lists them."""
    from vlmt_cli.base.errors import DataError
    from vlmt_cli.datasets.prepare import missing_files

    raw = data / "raw"
    if not raw.is_dir():
        todo = "put the official files below it, or name another data folder with --data"
        raise DataError("there is no such folder", where=raw, todo=todo)
    missing = [file for name in names for file in missing_files(data, name)]
    if missing and not available:
        raise DataError(
            f"{len(missing)} official files are missing: {', '.join(missing)}",
            where=raw,
            todo="download them, or take what is there with --available",
        )
    return missing


def prepare_examples(data: Path, names: list[str], options: "Options") -> "dict[str, Prepared]":
    from vlmt_cli.commands.show import progress
    from vlmt_cli.datasets.prepare import prepare
    from vlmt_cli.datasets.table import CROSSWALKS

    with progress("Reading annotations", size=True) as update:
        return prepare(data, [*names, *CROSSWALKS], options, update)


def read_splits(
    examples: "dict[str, Prepared]", image_lists: "list[str] | tuple[()]"
) -> "tuple[list[Split], pa.Table]":
    """Read the splits of the examples, and the image lists that join them."""
    import re

    import pyarrow as pa

    from vlmt_cli.base.errors import DataError, UsageError
    from vlmt_cli.clean.splits import image_list, read_split

    splits = [
        read_split(name, split, one.path(split)) for name, one in examples.items() for split in one.manifest.splits
    ]
    for given in image_lists:
        name, colon, rest = given.partition(":")
        role, equals, path = rest.partition("=")
        if not (re.fullmatch(r"[\w+.-]+", name) and colon and equals):
            todo = "write it as NAME:ROLE=FILE, NAME in letters, digits and + - . _"
            raise UsageError(f"--image-list {given!r}", todo=todo)
        if any((split.dataset, split.role) == (name, role) for split in splits):
            raise UsageError(f"--image-list {given!r}: {name} has {role} images already", todo="give it another name")
        splits.append(image_list(name, role, Path(path)))
    if not splits:
        raise DataError("there is nothing to clean", todo="put official files below raw/, or name an --image-list")
    return splits, pa.concat_tables([one.links() for one in examples.values()])


def _compare_files(
    data: Path,
    splits: "list[Split]",
    folders: list[str],
    allow_list: Path | None,
    options: "Options",
    page: Path | None,
) -> "tuple[pa.Table, NearDuplicates]":
    """Compare image files, write the gallery for a person to judge to ``page``, and return links and counts."""
    import os

    from vlmt_cli.clean.compare_files import compare_files
    from vlmt_cli.clean.gallery import write_gallery
    from vlmt_cli.clean.near_duplicates import read_allow_list
    from vlmt_cli.commands.show import progress, say

    allowed = read_allow_list(allow_list) if allow_list else set()
    with progress("Hashing images") as update:
        compared = compare_files(
            splits,
            folders,
            allowed=allowed,
            same=options.near_duplicates.same,
            borderline=options.near_duplicates.borderline,
            cache=data / "near_duplicates" / "hashes.parquet",
            workers=os.cpu_count() or 1,
            progress=lambda done, total: update("", done, total),
        )
    pairs = ", ".join(f"{count:,} {how}" for how, count in compared.found.pairs.items()) or "none"
    say(f"{compared.found.files:,} image files compared; pairs: {pairs}; unreadable: {len(compared.found.damaged):,}")
    if page and len(compared.to_judge):
        write_gallery(page, compared.to_judge, allowed)
        say(f"Pairs of test and training images for a person to judge: {page}")
    return compared.links, compared.found


def _clean(
    data: Path,
    splits: "list[Split]",
    links: "pa.Table",
    identity: str,
    examples: "dict[str, Prepared]",
    warnings: list[str],
    near_duplicates: "NearDuplicates | None",
    dry_run: bool,
    as_json: bool,
) -> None:
    from vlmt_cli import __version__
    from vlmt_cli.base.files import locked
    from vlmt_cli.clean import split_folder
    from vlmt_cli.clean.overlap import compare
    from vlmt_cli.clean.removal import remove_test_images, removed_table
    from vlmt_cli.clean.report import detectors, make_report, verdict
    from vlmt_cli.clean.text_leaks import text_leaks
    from vlmt_cli.commands.clean_tables import images_table, matrix_table
    from vlmt_cli.commands.show import stdout

    removal = remove_test_images(compare(splits, links), identity)
    removed = removed_table(removal)
    report = make_report(
        removal,
        removed,
        version=__version__,
        texts=text_leaks(splits, removal.kept),
        warnings=warnings,
        notes={name: one.manifest.notes for name, one in examples.items() if one.manifest.splits},
        near_duplicates=near_duplicates,
    )
    if not dry_run:
        with locked(data):
            split_folder.write(data / "clean", removal, removed, report)
    if as_json:
        print(report.model_dump_json(indent=2))
        return
    console = stdout()
    console.print(matrix_table(report))
    console.print(images_table(report))
    for warning in report.warnings:
        console.print(f"Warning: {warning}", style="yellow", markup=False)
    for sentence in [verdict(report), *detectors(report)]:
        console.print(sentence, markup=False)
    console.print(f"Split hash {report.split_hash}")
    if not dry_run:
        folder = data / "clean"
        names = "report.md, overlap.png, keep.parquet, removed.parquet, report.json"
        console.print(f"Written to {folder}: {names}", markup=False)


def warnings_of(
    splits: "list[Split]", links: "pa.Table", examples: "dict[str, Prepared]", missing: list[str]
) -> list[str]:
    """Say what the split cannot promise for lack of files."""
    from vlmt_cli.clean.blind_spots import blind_spots
    from vlmt_cli.datasets.crosswalks import IMAGES

    warnings = blind_spots(splits, links, examples["vg_images"].manifest.notes.get(IMAGES, 0))
    if missing:
        datasets = ", ".join(dict.fromkeys(split.dataset for split in splits))
        files = f"Clean only among {datasets}, as far as their files are there. Missing: {', '.join(missing)}."
        warnings.insert(0, files)
    return warnings


def _check(data: Path, splits: "list[Split]", links: "pa.Table", identity: str, as_json: bool) -> None:
    """Verify the split in ``data/clean``."""
    import json
    from dataclasses import asdict

    from vlmt_cli.base.errors import LeakError
    from vlmt_cli.clean.check import check_split
    from vlmt_cli.commands.show import stdout

    checked = check_split(data / "clean", splits, links, identity)
    if as_json:
        print(json.dumps(asdict(checked), indent=2))
    if checked.leaks:
        first = checked.first[0]
        raise LeakError(
            f"{checked.leaks:,} kept examples show test images, the first of them {first.dataset} {first.split}"
            f" {first.example_id} ({first.image}, which is {first.test_image} of {first.test_set}'s test set)",
            where=data / "clean",
            todo="make the split again with vlmt clean",
        )
    if not as_json:
        stdout().print(
            f"Clean: none of {checked.examples:,} kept examples shows a test image of {', '.join(checked.tests)},"
            f" under {identity} identity. Split hash {checked.split_hash}.",
            markup=False,
        )
