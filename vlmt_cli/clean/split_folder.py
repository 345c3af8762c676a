"""A clean split on disk: ``keep.parquet``, ``removed.parquet``, ``report.json``, ``report.md``, ``overlap.png``,
``leaks.html``.

Mixtures that were cleaned with it are in ``mixtures``. For publication: ``card.md``, ``contamination.csv`` and, where
asked for, ``croissant.json``.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from vlmt_cli.base.documents import read_json
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import atomic_folder, bring_back, write_parquet, write_text
from vlmt_cli.base.origin import KEEP_FILE, verify_split
from vlmt_cli.base.schema import parse
from vlmt_cli.base.words import quoted
from vlmt_cli.clean import heatmap, markdown, publish
from vlmt_cli.clean.croissant import files_below, write_croissant
from vlmt_cli.clean.leaks_page import PAGE
from vlmt_cli.clean.mixtures import FOLDER as MIXTURES
from vlmt_cli.clean.mixtures import ScannedMixture, hits_of, write_cleaned
from vlmt_cli.clean.removal import LAST_RELATION, Removal, keep_table, origin_of
from vlmt_cli.clean.report import Report
from vlmt_cli.datasets.official import all_datasets

REMOVED_FILE = "removed.parquet"
REPORT_FILE = "report.json"


def write(
    folder: Path,
    removal: Removal,
    removed: pa.Table,
    report: Report,
    links: Mapping[str, str],
    command: str,
    leaks: Callable[[Path, str], None],
    croissant: bool = False,
    mixtures: Sequence[ScannedMixture] = (),
) -> None:
    """Write a clean split, all of it or nothing; one that was there before is replaced.

    Args:
        folder: where to.
        removal: what cleaning keeps.
        removed: its table of removed examples.
        report: about it.
        links: the hash of the identity links of each dataset and crosswalk that was read, by name.
        command: that makes the split again.
        leaks: writes the page of leaks, given its path and the verdict.
        croissant: whether ``croissant.json`` is written, too.
        mixtures: that were scanned; they are written without the records that show test images. Those that an older
            split had go with it.
    """
    origin = origin_of(removal, links, command)
    assert origin.split_hash == report.split_hash, "the report is another split's"
    with atomic_folder(folder) as new:
        write_parquet(new / KEEP_FILE, keep_table(removal).replace_schema_metadata(origin.metadata()))
        write_parquet(new / REMOVED_FILE, removed)
        if mixtures or (folder / MIXTURES).exists():
            (new / MIXTURES).mkdir()
        for number, mixture in enumerate(mixtures):
            removing = hits_of(mixture, removal.union, LAST_RELATION[removal.identity])
            report.mixtures[number] = write_cleaned(mixture, report.mixtures[number], removing, new, folder)
        write_text(new / REPORT_FILE, report.model_dump_json(indent=2) + "\n")
        write_text(new / "report.md", markdown.render(report))
        shared = publish.shared_in_split(report)
        write_text(new / publish.CARD_FILE, publish.card_of_split(report, shared))
        write_text(new / publish.CONDA_FILE, publish.conda_rows(shared))
        heatmap.draw_heatmap(report, new / "overlap.png")
        leaks(new / PAGE, report.verdict)
        if croissant:
            lists = {each.path: each.sha256 for each in report.question.image_lists}
            lists |= {each.path: each.sha256 for each in report.question.mixtures}
            what = f"A clean split of {', '.join(report.question.datasets)}. {report.verdict}"
            name = f"clean split {report.split_hash[:12]}"
            files = [*sorted(path for path in new.iterdir() if path.is_file()), *files_below(new / MIXTURES)]
            write_croissant(new, name, what, files, {**report.files, **lists})


def read_report(folder: Path) -> Report:
    """Read a clean split's report. Raises a DataError when there is none, or it is damaged or of an older vlmt."""
    path = folder / REPORT_FILE
    bring_back(folder)
    try:
        values = read_json(path, "make the split again with vlmt clean")
    except FileNotFoundError as error:
        raise DataError("there is no clean split", where=folder, todo="make one with vlmt clean") from error
    report = parse(Report, values, path, todo="run vlmt clean again")
    if unknown := sorted(set(report.question.datasets) - all_datasets().keys()):
        what = f"names the dataset {quoted(unknown[0])}, which this vlmt does not know"
        raise DataError(what, where=path, todo="run vlmt clean again")
    return report


def verified_report(data: Path) -> Report | None:
    """Read the report of the clean split in a data folder; None where there is no split.

    Raises:
        DataError: the split was made of other examples than those that are there, or is damaged.
    """
    bring_back(data / "clean")
    if not (data / "clean" / REPORT_FILE).exists():
        return None
    verify_split(data)
    return read_report(data / "clean")
