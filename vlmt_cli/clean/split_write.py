"""Write a clean split to its folder."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from vlmt_cli.base.files import atomic_folder, write_parquet, write_text
from vlmt_cli.base.origin import KEEP_FILE, Origin
from vlmt_cli.clean import heatmap, markdown, publish
from vlmt_cli.clean.croissant import files_below, write_croissant
from vlmt_cli.clean.leaks_page import PAGE
from vlmt_cli.clean.mixture_report import FOLDER as MIXTURES
from vlmt_cli.clean.mixtures import ScannedMixture, hits_of, write_cleaned
from vlmt_cli.clean.removal import LAST_RELATION, Removal, keep_table, origin_of
from vlmt_cli.clean.report import Report
from vlmt_cli.clean.split_folder import REMOVED_FILE, REPORT_FILE


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
    with atomic_folder(folder) as new, ThreadPoolExecutor(1) as pool:
        tables = pool.submit(_write_tables, new, removal, removed, origin)  # while pages and pictures are drawn
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
        tables.result()
        if croissant:
            lists = {each.path: each.sha256 for each in report.question.image_lists}
            lists |= {each.path: each.sha256 for each in report.question.mixtures}
            what = f"A clean split of {', '.join(report.question.datasets)}. {report.verdict}"
            name = f"clean split {report.split_hash[:12]}"
            files = [*sorted(path for path in new.iterdir() if path.is_file()), *files_below(new / MIXTURES)]
            write_croissant(new, name, what, files, {**report.files, **lists})


def _write_tables(folder: Path, removal: Removal, removed: pa.Table, origin: Origin) -> None:
    write_parquet(folder / KEEP_FILE, keep_table(removal).replace_schema_metadata(origin.metadata()))
    write_parquet(folder / REMOVED_FILE, removed)
