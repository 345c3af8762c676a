"""Mixtures beside the datasets: ``vlmt clean --mixture`` scans them for test images, and ``--check`` what it wrote."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmt_cli.clean.check import Checked
    from vlmt_cli.clean.mixtures import ScannedMixture
    from vlmt_cli.clean.overlap import Overlap
    from vlmt_cli.clean.question import Mixture
    from vlmt_cli.clean.report import Report


def scan_mixtures(given: "Sequence[Mixture]", overlap: "Overlap", last: str, folder: Path) -> "list[ScannedMixture]":
    """Scan mixtures for the datasets' test images.

    Args:
        given: the mixtures.
        overlap: the datasets.
        last: the last relation to believe.
        folder: of the split, in which none of them may lie.
    """
    from vlmt_cli.clean.mixtures import ScannedMixture, index_of_tests, refuse_inside
    from vlmt_cli.clean.scan import partly_compared
    from vlmt_cli.commands.scan_sources import scan_sources
    from vlmt_cli.mixtures.opening import sources_of
    from vlmt_cli.mixtures.rules import NO_RULES

    if not given:
        return []
    index, scanned = index_of_tests(overlap, last), []
    for each in given:
        sources = sources_of(each.path)
        refuse_inside(each, sources, folder)
        files, tally, hits = scan_sources(sources, index, NO_RULES, each.source)
        scanned.append(ScannedMixture(each, sources, files, tally, hits, partly_compared(tally, index)))
    return scanned


def check_mixtures(checked: "Checked", folder: Path, report: "Report", overlap: "Overlap") -> "Checked":
    """Look for test images in the mixtures that were written with a split, and whether they are as they were.

    Returns:
        The check of the split, with what they add to it.
    """
    from dataclasses import replace

    from vlmt_cli.base.errors import DataError
    from vlmt_cli.clean.check import Leak
    from vlmt_cli.clean.claim import open_in_mixture
    from vlmt_cli.clean.mixture_report import FOLDER
    from vlmt_cli.clean.mixtures import hashes_below, index_of_tests, written_sources
    from vlmt_cli.clean.removal import LAST_RELATION
    from vlmt_cli.clean.scan import partly_compared
    from vlmt_cli.commands.scan_sources import scan_sources
    from vlmt_cli.mixtures.rules import NO_RULES

    if not report.mixtures:
        return checked
    index = index_of_tests(overlap, LAST_RELATION[report.identity], checked.tests)
    sources_of_names = {each.name: each.source for each in report.question.mixtures}
    for each in report.mixtures:
        where, problems, found = folder / FOLDER / each.name, [], []
        now = hashes_below(where)
        if changed := sorted(name for name in {*now, *each.sha256} if now.get(name) != each.sha256.get(name)):
            problems.append(f"{where / changed[0]} is not what was written with the split")
        try:
            sources = written_sources(folder, each)
            files, tally, hits = scan_sources(sources, index, NO_RULES, sources_of_names.get(each.name))
        except DataError as error:
            problems.append(f"{error.where} {error.what}")
        else:
            leaks = sum(file.hit_records for file in files)
            for hit in hits.slice(0, 1).to_pylist():
                record = f"{Path(hit['file']).name} record {hit['record']}"
                found.append(Leak(each.name, "mixture", record, hit["written"], hit["benchmark"], hit["image"]))
            checked = replace(
                checked,
                leaks=checked.leaks + leaks,
                records=checked.records + sum(file.records for file in files),
                open=[*checked.open, *open_in_mixture(each.name, tally, partly_compared(tally, index))],
            )
        checked = replace(checked, first=[*checked.first, *found], problems=[*checked.problems, *problems])
    return checked
