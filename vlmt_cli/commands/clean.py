"""``vlmt clean``: remove every test image from every train and validation set, and prove it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmt_cli.commands.options import (
    DATA,
    Available,
    Croissant,
    DataFolder,
    DataKeys,
    Datasets,
    Identity,
    ImageLists,
    Json,
    RecipeName,
    check_data,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from vlmt_cli.clean.compare_files import Compared
    from vlmt_cli.clean.question import CleanQuestion
    from vlmt_cli.clean.report import NearDuplicates
    from vlmt_cli.clean.splits import Split
    from vlmt_cli.datasets.options import Options


_LISTED = 10  # pairs on the terminal; the file has all


def clean(
    folders: Annotated[
        list[str] | None,
        typer.Argument(help="With --near-duplicates: folders of images, FOLDER or source=FOLDER; else DATA/images."),
    ] = None,
    data: DataFolder = DATA,
    datasets: Datasets = None,
    available: Available = False,
    identity: Identity = None,
    image_list: ImageLists = None,
    near_duplicates: Annotated[
        bool, typer.Option("--near-duplicates", help="Compare image files, too: equal pixels and near-duplicates.")
    ] = False,
    verdicts: Annotated[
        Path | None,
        typer.Option(help="With --near-duplicates: pairs that a person has judged, as the gallery page saves them."),
    ] = None,
    allow_list: Annotated[Path | None, typer.Option(hidden=True, help="The old name of --verdicts.")] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Write the split to this folder, and leave DATA unchanged.")
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace an existing split of other datasets, options or files."),
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Verify the existing split, or that in --to, as it was made; exit code 4 on a leak."
        ),
    ] = False,
    fast: Annotated[
        bool,
        typer.Option("--fast", help="Trust size and time of official files instead of comparing their contents."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report, but write no split.")] = False,
    croissant: Croissant = False,
    recipe: RecipeName = "data",
    keys: DataKeys = None,
    as_json: Json = False,
) -> None:
    """Remove every test image from every train and validation set, and prove it.

    Reads the official files in DATA/raw, writes example tables to DATA/examples and the clean split to DATA/clean:
    keep.parquet, removed.parquet (with reasons), report.json, report.md, overlap.png,
    card.md and contamination.csv. Test sets stay untouched.

    A split is never replaced by a different one (other datasets, identity, options, lists or image files) unless
    --replace says so; --to writes the other one elsewhere. The same command can be run again and again.

    Examples:

      vlmt clean --datasets all

      vlmt clean --available --image-list bottom_up:detector=visual_genome_detector_train.txt

      vlmt clean --near-duplicates vg=VG_100K train2014 val2014

      vlmt clean --identity paper --to split-paper

      vlmt clean --check
    """
    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.base.recipes import load_recipe
    from vlmt_cli.clean.removal import LAST_RELATION
    from vlmt_cli.commands.clean_check import check as check_split
    from vlmt_cli.commands.clean_input import names_of, parse_image_list, require_files
    from vlmt_cli.commands.clean_question import datasets_to_clean, image_files_of, question_of, refuse_contradiction
    from vlmt_cli.datasets.options import Options

    if identity not in (None, *LAST_RELATION):
        raise UsageError(f"there is no identity {identity!r}", todo=f"choose {' or '.join(LAST_RELATION)}")
    if folders and not near_duplicates:
        raise UsageError(f"unexpected argument {folders[0]!r}", todo="folders go with --near-duplicates")
    verdicts = verdicts or allow_list
    if verdicts and not near_duplicates:
        raise UsageError("--verdicts goes with --near-duplicates")
    if near_duplicates and identity == "paper":
        raise UsageError("--near-duplicates goes with strict identity", todo="leave --identity paper out")
    if fast and dry_run:
        raise UsageError("--fast goes with a split that is written or checked, and --dry-run writes none")
    if croissant and (check or dry_run):
        raise UsageError(
            f"--croissant describes what is written, and {'--check' if check else '--dry-run'} writes nothing"
        )
    if check and (dry_run or replace):
        raise UsageError(f"--check writes nothing, and {'--dry-run' if dry_run else '--replace'} is for what does")
    options = load_recipe(recipe, Options, keys or ())
    lists = [parse_image_list(given) for given in image_list or ()]
    if check:
        check_data(data)
        names = names_of(datasets) if datasets else None
        own = options if recipe != "data" or keys else None
        files = image_files_of(folders or [str(data / "images")], verdicts) if near_duplicates else None
        if names or identity or own or lists or files:
            refuse_contradiction(to or data / "clean", names, identity, own, lists, files)
        check_split(data, to or data / "clean", fast, as_json)
        return
    if dry_run and (to or replace):
        raise UsageError(f"--dry-run writes nothing, and {'--to' if to else '--replace'} says where to")
    names = names_of(datasets or "all")
    check_data(data)
    files = image_files_of(folders or [str(data / "images")], verdicts) if near_duplicates else None
    asked = question_of(names, identity or "strict", options, lists, files)
    if not dry_run:
        names = datasets_to_clean(data, to, asked, replace)
        asked = question_of(names, asked.identity, options, lists, files)
    missing = require_files(data, names, available)
    _clean(
        data,
        asked,
        options,
        missing,
        to=to,
        replace=replace,
        fast=fast,
        dry_run=dry_run,
        croissant=croissant,
        as_json=as_json,
    )


def compare_image_files(
    data: Path,
    splits: "list[Split]",
    links: "pa.Table",
    folders: list[str],
    verdicts: Path | None,
    options: "Options",
    page: Path | None,
) -> "tuple[pa.Table, NearDuplicates]":
    """Compare image files, write the gallery for a person to judge to ``page``, and return links and counts."""
    import os

    from vlmt_cli.clean.compare_files import compare_files
    from vlmt_cli.clean.gallery import write_gallery
    from vlmt_cli.clean.verdicts import NONE, read_verdicts
    from vlmt_cli.commands.show import progress, say

    judged = read_verdicts(verdicts) if verdicts else NONE
    with progress("Hashing images") as update:
        compared = compare_files(
            splits,
            links,
            folders,
            verdicts=judged,
            same=options.near_duplicates.same,
            borderline=options.near_duplicates.borderline,
            cache=data / "near_duplicates" / "hashes.parquet",
            workers=os.cpu_count() or 1,
            progress=lambda done, total: update("", done, total),
        )
    _say_pairs(compared, page)
    if page and len(compared.to_judge):
        write_gallery(page, compared.to_judge, judged)
        say(f"Pairs of test and training images for a person to judge: {page}")
    return compared.links, compared.near_duplicates


def _say_pairs(compared: "Compared", page: Path | None) -> None:
    """Say how many files were compared and which pairs are alike; all pairs go into a CSV file beside the page."""
    from pyarrow import csv

    from vlmt_cli.base.files import atomic
    from vlmt_cli.base.words import count
    from vlmt_cli.commands.show import say

    near = compared.near_duplicates
    given = near.files + len(near.damaged) + sum(skipped.files for skipped in near.passed_over)
    kinds = ", ".join(f"{number:,} {how}" for how, number in near.pairs.items()) or "none"
    say(f"{near.files:,} of {count(given, 'file')} compared; pairs: {kinds}; unreadable: {len(near.damaged):,}")
    for skipped in near.passed_over:
        say(f"Passed over, {skipped.reason}: {count(skipped.files, 'file')}, such as {skipped.first}")
    for pair in compared.pairs.slice(0, _LISTED).to_pylist():
        say(f"  {pair['how']}: {pair['image_a']} {pair['image_b']}, {pair['distance']} of 256 bits differ")
    if page and len(compared.pairs):
        path = page.with_name("pairs.csv")
        with atomic(path) as temporary:
            csv.write_csv(compared.pairs, temporary)
        say(f"{count(len(compared.pairs), 'pair')} of image files: {path}")
    elif len(compared.pairs) > _LISTED:
        say(f"  and {len(compared.pairs) - _LISTED:,} more")


def _clean(
    data: Path,
    asked: "CleanQuestion",
    options: "Options",
    missing: list[str],
    *,
    to: Path | None,
    replace: bool,
    fast: bool,
    dry_run: bool,
    croissant: bool,
    as_json: bool,
) -> None:
    """Answer the question: read, compare, remove, write, show.

    What must be read again is read beside ``DATA/examples`` and takes its place along with the split, so that both stay
    as they were when anything goes wrong.
    """
    from contextlib import ExitStack, nullcontext

    import pyarrow as pa

    from vlmt_cli import __version__
    from vlmt_cli.base.files import locked
    from vlmt_cli.clean import split_folder
    from vlmt_cli.clean.claim import detectors
    from vlmt_cli.clean.overlap import compare_splits
    from vlmt_cli.clean.removal import remove_test_images, removed_table
    from vlmt_cli.clean.report import make_report
    from vlmt_cli.clean.text_leaks import text_leaks
    from vlmt_cli.commands.clean_input import crosswalk_of, files_of, read_splits, warnings_of
    from vlmt_cli.commands.clean_question import command_of, refuse_to_lose
    from vlmt_cli.commands.clean_tables import images_table, matrix_table
    from vlmt_cli.commands.reading import examples_of
    from vlmt_cli.commands.show import progress, stdout
    from vlmt_cli.datasets.official import absent_tests
    from vlmt_cli.datasets.prepare import NEXT, move_in, prepare
    from vlmt_cli.datasets.table import CROSSWALKS

    target, names = to or data / "clean", [*asked.datasets, *CROSSWALKS]
    with ExitStack() as stack:
        if dry_run:
            examples = stack.enter_context(examples_of(data, names, options))
        else:
            beside = to / "examples" if to else data / "examples" / NEXT if target.exists() else None
            with progress("Reading annotations", size=True) as update:
                examples = prepare(data, names, options, update, beside=beside, thorough=not fast)
        splits, links = read_splits(examples, asked.image_lists, options.clean.test_files)
        if not dry_run and not replace:
            refuse_to_lose(data, target, splits)
        duplicates = None
        if asked.image_files:
            verdicts = Path(asked.image_files.verdicts) if asked.image_files.verdicts else None
            gallery = None if dry_run else data / "near_duplicates" / "gallery.html"
            folders = asked.image_files.folders
            more, duplicates = compare_image_files(data, splits, links, folders, verdicts, options, gallery)
            links = pa.concat_tables([links, more])
        removal = remove_test_images(compare_splits(splits, links), asked.identity)
        removed = removed_table(removal)
        report = make_report(
            removal,
            removed,
            version=__version__,
            question=asked,
            files=files_of(data, examples),
            texts=text_leaks(splits, removal.kept),
            warnings=warnings_of(splits, links, examples, missing),
            absent_test_files=[file for name in examples for file in absent_tests(data, name)],
            notes={name: each.manifest.notes for name, each in examples.items() if each.manifest.splits},
            near_duplicates=duplicates,
            crosswalk=crosswalk_of(examples),
        )
        if not dry_run:
            with locked(data) if to is None else nullcontext():
                if to is None:
                    move_in(data, examples.values())
                hashes = {name: each.manifest.links_hash for name, each in examples.items()}
                split_folder.write(
                    target, removal, removed, report, hashes, command_of(asked, bool(missing)), croissant
                )
    if as_json:
        print(report.model_dump_json(indent=2))
        return
    console = stdout()
    console.print(matrix_table(report))
    console.print(images_table(report))
    for warning in report.warnings:
        console.print(f"Warning: {warning}", style="yellow", markup=False)
    for sentence in [report.verdict, *detectors(report)]:
        console.print(sentence, markup=False)
    console.print(f"Split hash {report.split_hash}")
    if dry_run:
        return
    written = "report.md, overlap.png, keep.parquet, removed.parquet, report.json, card.md, contamination.csv"
    if croissant:
        written += ", croissant.json"
    console.print(f"Written to {target}: {written}", markup=False)
    if read_beside := [name for name, each in examples.items() if to and each.beside]:
        console.print(
            f"The examples of {', '.join(read_beside)} are in {target / 'examples'}, as they differ from those in"
            f" {data / 'examples'}.",
            markup=False,
        )
