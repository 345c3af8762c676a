"""What a report says, for those who publish data: a table for a dataset card, and rows for the CONDA database.

CONDA's contamination database has a row an evaluation dataset and a source that contains some of it, and shares in
percent of the evaluation dataset's splits; it asks for the reference and the pull request when a row is handed in.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from vlmt_cli.clean.markdown import plain
from vlmt_cli.clean.report import Report
from vlmt_cli.clean.scan_claim import compared_with, conclusion
from vlmt_cli.clean.scan_report import ScanReport
from vlmt_cli.datasets.table import short_title

CARD_FILE, CONDA_FILE = "card.md", "contamination.csv"
_CONDA = (
    "Evaluation Dataset;Subset;Contaminated Source;Model or corpus;Train Split;Development Split;Test Split;Approach;"
    "Reference;PR"
).split(";")


@dataclass(frozen=True)
class Shared:
    """Images of an evaluation dataset that a source has.

    Attributes:
        benchmark: the evaluation dataset.
        source: what contains them.
        images, of: how many of its images.
        left: how many after cleaning; None where nothing was cleaned.
        is_validation: whether the images are of a validation set, not of a test set.
    """

    benchmark: str
    source: str
    images: int
    of: int
    left: int | None = None
    is_validation: bool = False

    @property
    def percent(self) -> str:
        """The share in percent."""
        return f"{100 * self.images / self.of:.2f}"


def shared_in_mixture(report: ScanReport, name: str) -> list[Shared]:
    """List what a mixture shows of each benchmark, the most images first.

    Where the index lacks images of a benchmark, shares are of all its images, and so the least that they can be.
    """
    shared = [
        Shared(each.title, name, each.images, max(each.known, each.of or 0), is_validation=key.endswith("-val"))
        for key, each in report.benchmarks.items()
        if each.images
    ]
    return sorted(shared, key=lambda each: (-each.images, each.benchmark))


def shared_in_split(report: Report) -> list[Shared]:
    """List what the datasets' training and validation images have of each test set, in the order of table 1."""
    return [
        Shared(short_title(test), _in_words(source), cell.hit, cell.of, report.test_images_after[test][source].hit)
        for test, row in report.test_images_before.items()
        for source, cell in row.items()
        if cell and cell.hit
    ]


def _in_words(column: str) -> str:
    return short_title(column) if column.endswith(")") else f"{short_title(column)} train and val"


def conda_rows(shared: Sequence[Shared]) -> str:
    """Write rows in the form of CONDA's contamination database, with its header and its semicolons."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";", lineterminator="\n")
    writer.writerow(_CONDA)
    for each in shared:
        splits = ["", each.percent, ""] if each.is_validation else ["", "", each.percent]
        writer.writerow([each.benchmark, "", each.source, "corpus", *splits, "data-based", "", ""])
    return text.getvalue()


def card_of_mixture(report: ScanReport, shared: Sequence[Shared]) -> str:
    """Write a section for the card of a dataset that was scanned."""
    rows = [[each.benchmark, f"{each.images:,}", f"{each.of:,}", each.percent] for each in shared]
    without = {name: each.title for name, each in report.benchmarks.items() if not each.images}
    rest = [title for name, title in without.items() if compared_with(report, name)]
    open_ones = [title for name, title in without.items() if title not in rest]
    partly = [each.title for each in report.benchmarks.values() if each.lacks]
    after = [conclusion(report)]
    after += [f"None of the images compared is of: {'; '.join(rest)}."] if rest else []
    after += [f"No image could be compared with those of: {'; '.join(open_ones)}."] if open_ones else []
    after += [f"Not all images, or not all of their names, are known of: {'; '.join(partly)}."] if partly else []
    return _section(["benchmark", "images in this data", "of", "%"], rows, after)


def card_of_split(report: Report, shared: Sequence[Shared]) -> str:
    """Write a section for the card of a clean split."""
    rows = [[e.benchmark, e.source, f"{e.images:,}", f"{e.of:,}", e.percent, f"{e.left:,}"] for e in shared]
    header = ["test set", "in", "images before cleaning", "of", "%", "images after cleaning"]
    return _section(header, rows, [report.verdict, f"Split hash {report.split_hash}."])


def _section(header: Sequence[str], rows: Sequence[Sequence[str]], after: Sequence[str]) -> str:
    lines = ["## Images of benchmarks", ""]
    if rows:
        lines += [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
        lines += [f"| {' | '.join(plain(cell) for cell in row)} |" for row in rows]
        lines += [""]
    return "\n".join([*lines, *(f"{plain(each)}\n" for each in after)])
