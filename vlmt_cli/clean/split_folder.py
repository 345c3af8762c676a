"""A clean split on disk: ``keep.parquet``, ``removed.parquet``, ``report.json``, ``report.md``, ``overlap.png``."""

from pathlib import Path

import pyarrow as pa
from pydantic import ValidationError

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import atomic_folder, write_parquet, write_text
from vlmt_cli.clean import heatmap, markdown
from vlmt_cli.clean.removal import Removal, keep_table
from vlmt_cli.clean.report import Report

KEEP_FILE = "keep.parquet"
REPORT_FILE = "report.json"


def write(folder: Path, removal: Removal, removed: pa.Table, report: Report) -> None:
    """Write a clean split, all of it or nothing; one that was there before is replaced."""
    with atomic_folder(folder) as new:
        write_parquet(new / KEEP_FILE, keep_table(removal))
        write_parquet(new / "removed.parquet", removed)
        write_text(new / REPORT_FILE, report.model_dump_json(indent=2) + "\n")
        write_text(new / "report.md", markdown.render(report))
        heatmap.draw(report, new / "overlap.png")


def read_report(folder: Path) -> Report:
    """Read a clean split's report. Raises a DataError when there is none, or it is damaged."""
    path = folder / REPORT_FILE
    try:
        return Report.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError("there is no clean split", where=folder, todo="make one with vlmt clean") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(
            f"is damaged ({first['msg']})", where=path, todo="make the split again with vlmt clean"
        ) from error
