"""A clean split on disk: ``keep.parquet``, ``removed.parquet``, ``report.json``, ``report.md``, ``overlap.png``,
``leaks.html``.

Mixtures that were cleaned with it are in ``mixtures``. For publication: ``card.md``, ``contamination.csv`` and, where
asked for, ``croissant.json``.
"""

from pathlib import Path

from vlmt_cli.base.documents import read_json
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import bring_back
from vlmt_cli.base.origin import verify_split
from vlmt_cli.base.schema import parse
from vlmt_cli.base.words import quoted
from vlmt_cli.clean.report import Report
from vlmt_cli.datasets.official import all_datasets

REMOVED_FILE = "removed.parquet"
REPORT_FILE = "report.json"
PAGES = ("report.md", "card.md", "contamination.csv", "overlap.png", "leaks.html")
"""What says again, for people, what the other files hold."""


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
