"""``vlmt clean``: remove every test image from every train and validation set, and prove it."""

from pathlib import Path
from typing import Annotated

import typer

from vlmt_cli.base.collecting import importing
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
    Mixtures,
    RecipeName,
    check_data,
)


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
    mixture: Mixtures = None,
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
    card.md and contamination.csv. Test sets stay untouched. Mixtures are cleaned beside the split, whose hash says
    nothing of them.

    A split is never replaced by a different one (other datasets, identity, options, lists or image files) unless
    --replace says so; --to writes the other one elsewhere. The same command can be run again and again.

    Examples:

      vlmt clean --datasets all

      vlmt clean --available --image-list bottom_up:detector=visual_genome_detector_train.txt

      vlmt clean --mixture mix=llava_v1_5_mix665k.json

      vlmt clean --near-duplicates vg=VG_100K train2014 val2014

      vlmt clean --identity paper --to split-paper

      vlmt clean --check
    """
    with importing():
        from vlmt_cli.base.errors import UsageError
        from vlmt_cli.base.recipes import load_recipe
        from vlmt_cli.clean.removal import LAST_RELATION
        from vlmt_cli.commands.clean_answer import answer
        from vlmt_cli.commands.clean_check import check as check_split
        from vlmt_cli.commands.clean_input import (
            names_of,
            parse_image_list,
            parse_mixture,
            require_files,
            warn_of_copies,
        )
        from vlmt_cli.commands.clean_question import (
            image_files_of,
            question_of,
            refuse_contradiction,
            widened,
        )
        from vlmt_cli.datasets.options import Options
        from vlmt_cli.datasets.table import DATASETS

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
        other = "--dry-run" if dry_run else "--replace"
        todo = f"give --check to look at the split that is there, or {other} to answer anew"
        raise UsageError(f"--check makes no split, and {other} is for what does", todo=todo)
    options = load_recipe(recipe, Options, keys or ())
    lists = [parse_image_list(given) for given in image_list or ()]
    mixtures = [parse_mixture(given) for given in mixture or ()]
    if twice := {each.name for each in mixtures if [other.name for other in mixtures].count(each.name) > 1}:
        raise UsageError(f"--mixture {min(twice)} is given twice", todo="give each a name of its own")
    if check:
        check_data(data)
        names = names_of(datasets) if datasets else None
        own = options if recipe != "data" or keys else None
        files = image_files_of(folders or [str(data / "images")], verdicts) if near_duplicates else None
        if names or identity or own or lists or files or mixtures:
            refuse_contradiction(to or data / "clean", names, identity, own, lists, files, mixtures)
        warn_of_copies(data, names or DATASETS)
        check_split(data, to or data / "clean", fast, as_json)
        return
    if dry_run and (to or replace):
        raise UsageError(f"--dry-run writes nothing, and {'--to' if to else '--replace'} says where to")
    names = names_of(datasets or "all")
    check_data(data)
    files = image_files_of(folders or [str(data / "images")], verdicts) if near_duplicates else None
    asked = question_of(names, identity or "strict", options, lists, files, mixtures)
    if not dry_run:
        wider = widened(data, to, asked, replace)
        names = wider.datasets
        asked = question_of(names, asked.identity, options, lists, files, wider.mixtures)
    warn_of_copies(data, names)
    missing = require_files(data, names, available)
    answer(
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
