"""Image files that ``vlmt clean --near-duplicates`` compares, and what it says of them."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from vlmt_cli.clean.compare_files import Compared
    from vlmt_cli.clean.report import NearDuplicates
    from vlmt_cli.clean.splits import Split
    from vlmt_cli.datasets.options import Options

_LISTED = 10  # pairs on the terminal; the file has all


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
