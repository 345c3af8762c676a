"""``vlmt doctor``: is a feature store sound, and which datasets' images does it cover?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmt_cli.commands.options import DATA, DataFolder, Json, check_data

if TYPE_CHECKING:
    from vlmt_cli.features.compare import Comparison
    from vlmt_cli.features.doctor import StoreReport


def doctor(
    features: Annotated[Path, typer.Argument(help="A store, as vlmt pack and extract make them.")],
    other: Annotated[Path | None, typer.Argument(help="Another store, to compare with.")] = None,
    data: DataFolder = DATA,
    as_json: Json = False,
) -> None:
    """Examine features: every checksum, values, boxes, and which datasets' images they cover.

    Exits with 3 when something is damaged.

    Examples:

      vlmt doctor data/features/coco

      vlmt doctor data/features/coco data/features/mine
    """
    import msgspec

    from vlmt_cli.base.errors import DataError
    from vlmt_cli.base.words import be, count
    from vlmt_cli.commands.reading import stale_split
    from vlmt_cli.commands.show import progress, say
    from vlmt_cli.features.doctor import examine

    if data != DATA:
        check_data(data)
    with progress("Examining") as update:
        report = examine(features, data, other, update)
    if report.coverage and (stale := stale_split(data)):
        say(f"Warning: {stale}")
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        _show(report)
    if report.is_damaged:
        records = sum(problem.count for problem in report.problems.values())
        what = "; ".join(
            [*report.store_problems, *([f"{count(records, 'record')} {be(records)} damaged"] if records else [])]
        )
        raise DataError(what, where=features, todo="pack or extract them again, into a new store")


def _show(report: "StoreReport") -> None:
    from vlmt_cli.commands.show import stdout, table
    from vlmt_cli.features.problems import sentence

    meta, console = report.meta, stdout()
    regions = report.regions
    rows = [
        ["extractor", f"{meta.extractor} ({meta.extractor_hash})"],
        ["images", f"{report.images:,}"],
        ["features a region", f"{meta.feature_width:,} of {meta.dtype}"],
        ["class scores a region", f"{meta.classes:,}"],
        ["regions an image", f"{regions.least} to {regions.most}, mean {regions.mean:.1f}" if regions else "none"],
        ["bytes an image", f"{report.bytes_an_image:,.0f}"],
        ["checksum", meta.checksum or "not finished"],
    ]
    console.print(table(["store", ""], rows, report.path, left=2))
    if report.coverage:
        rows = [
            [row.dataset, row.split, f"{row.images:,}", f"{row.with_features:,}", f"{row.share:.1%}",
             ", ".join(row.first_missing)] for row in report.coverage
        ]  # fmt: skip
        header = ["dataset", "split", "images", "with features", "share", "without"]
        console.print()
        console.print(table(header, rows, "Images of the datasets", left=2))
    if report.comparison:
        console.print()
        console.print(_comparison(report.comparison))
    for problem in report.problems.values():
        console.print(f"Damaged: {sentence(problem)}", style="yellow")
    if not report.is_damaged:
        console.print("Sound: no record is damaged.")


def _comparison(compared: "Comparison") -> str:
    from vlmt_cli.base.words import count

    images = (
        f"{count(compared.shared, 'image')} in both, {compared.only_here:,} only here,"
        f" {compared.only_there:,} only there"
    )
    if compared.matched is None or compared.matched_there is None:
        return f"Compared: {compared.verdict}; {images}"
    cosine = "; widths differ"
    if compared.cosine is not None:
        cosine = (
            f"; cosine {compared.cosine:.4f}, at least {compared.lowest_cosine:.4f}; lengths x {compared.scale:.3f}"
        )
    matched = (
        f"{compared.matched:.1%} of regions here and {compared.matched_there:.1%} there have a partner, of IoU"
        f" {compared.iou or 0:.3f}{cosine}"
    )
    also = ""
    if compared.other_counts:
        also = (
            f"; {compared.regions:.1f} regions an image here and {compared.regions_there:.1f} there, another number in"
            f" {compared.other_counts:,} of {count(compared.compared, 'image')}"
        )
    if compared.classes != compared.classes_there:
        also += f"; {count(compared.classes, 'class score')} a region here, {compared.classes_there:,} there"
    where = ", in the images of both" if compared.only_here or compared.only_there else ""
    return f"Compared: {compared.verdict}{where}. {images}; in {compared.compared:,} of them {matched}{also}"
