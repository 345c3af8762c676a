"""``vlmt index calibrate``: where copies begin, measured on pairs that are known."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmt_cli.commands.embedding import loader
from vlmt_cli.commands.options import DATA, DataFolder, Json, check_named

if TYPE_CHECKING:
    from vlmt_cli.clean.calibrate import Calibration, Curve


def calibrate(
    folders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DIR]...",
            help="Folders of COCO's and Visual Genome's images, or source=DIR: pairs that the crosswalk knows are"
            " copies.",
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Pairs of image files that are copies: two a line, a tab or comma between."),
    ] = None,
    embed: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A network to measure beside looks, as vlmt scan --embed takes it."),
    ] = None,
    most: Annotated[int, typer.Option(min=2, help="Pairs of copies to measure on, drawn from all.")] = 5_000,
    to: Annotated[Path | None, typer.Option(metavar="PNG", help="The picture; else DATA/calibration.png.")] = None,
    data: DataFolder = DATA,
    as_json: Json = False,
) -> None:
    """Measure by threshold how many copies are caught, and how many different pictures taken for copies.

    Looks and a network's embeddings are measured on the same pairs: those that Visual Genome's crosswalk to COCO knows,
    or those of a file. Each file of one side beside all files of the other that it is not paired with makes the
    different ones.

    Examples:

      vlmt index calibrate data/images/coco data/images/vg --embed sscd_disc_mixup.torchscript.pt

      vlmt index calibrate --pairs copies.tsv --embed facebook/dinov2-base --to dinov2.png
    """
    import random

    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.clean.calibrate import calibrate as measure
    from vlmt_cli.clean.calibrate import pairs_by_crosswalk, read_pairs
    from vlmt_cli.clean.calibrate_picture import draw_calibration
    from vlmt_cli.clean.image_files import image_files
    from vlmt_cli.clean.own_index import known_index
    from vlmt_cli.commands.show import progress, say

    check_named(data)
    if bool(folders) == bool(pairs):
        raise UsageError("needs folders of images or --pairs", todo="give the one or the other")
    known = read_pairs(pairs) if pairs else []
    if folders:
        files = {each.image: each.path for each in image_files(folders)[0]}
        known = pairs_by_crosswalk(files, known_index(data if data.is_dir() else None).links)
        if len(known) < 2:
            todo = "give a folder of COCO's images and one of Visual Genome's, or --pairs"
            raise UsageError("the crosswalk joins no two pairs of these files", todo=todo)
    if len(known) > most:
        known = random.Random(0).sample(known, most)
    embedder = loader(embed)() if embed else None
    with progress("Comparing") as update:
        measured = measure(known, embedder, lambda done, total: update("", done, total))
    if as_json:
        print(measured.model_dump_json(indent=2))
    else:
        _show(measured)
    picture = to or data / "calibration.png"
    draw_calibration(measured, picture)
    say(f"Written to {picture}.")


def _show(measured: "Calibration") -> None:
    from vlmt_cli.base.words import count
    from vlmt_cli.commands.show import stdout

    console = stdout()
    _show_curve("Looks: bits of 256 up to which pictures are the same", "bits", measured.looks)
    if measured.embeddings:
        title = f"{measured.model} (SHA-256 {(measured.sha256 or '')[:16]}): cosine from which they are"
        _show_curve(title, "cosine", measured.embeddings)
    console.print(f"{count(measured.copies, 'pair')} of copies, {measured.different:,} of different pictures.")
    if measured.unreadable:
        console.print(f"{count(measured.unreadable, 'file')} could not be decoded, and left their pairs out.")
    for name, curve in (("looks", measured.looks), ("embeddings", measured.embeddings)):
        point = curve.without_false if curve else None
        if point and point.recall:
            threshold = f"{point.threshold:g}{' bits' if name == 'looks' else ''}"
            console.print(f"Without a false pair, {name} at {threshold} catch {point.recall:.1f}% of the copies.")
        elif curve:
            console.print(f"Without a false pair, {name} catch none of the copies.")
    for curve in (measured.looks, measured.embeddings):
        for pair in curve.nearest if curve else ():
            line = f"  most alike of the different: {pair.value:.3g}, {pair.first} and {pair.second}"
            console.print(line, soft_wrap=True)


def _show_curve(title: str, unit: str, curve: "Curve") -> None:
    from vlmt_cli.commands.show import stdout, table

    rows = [[f"{each.threshold:g}", f"{each.recall:.1f}", f"{each.false_pairs:,}"] for each in curve.points]
    stdout().print(table([unit, "copies caught, %", "false pairs"], rows, title, left=0))
