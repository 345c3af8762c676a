"""Reading example tables and other Parquet files. No torch here: scoring predictions needs none."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.origin import KEEP_FILE, read_origin
from vlmt_cli.datasets.clean_command import clean_command, get_examples
from vlmt_cli.datasets.tables import check_columns


def require_in_split(data: Path, tasks: Sequence[str]) -> None:
    """Check that the clean split has all tasks of a training, so that one error names all that it lacks.

    Raises:
        DataError: it lacks some, or cannot be read.
    """
    keep = data / "clean" / KEEP_FILE
    if keep.exists():
        kept = read_origin(keep, f"{tasks[0]} train").kept
        if lacking := [task for task in tasks if task not in kept]:
            todo = get_examples(data, *lacking, split="train")
            raise DataError(f"the clean split has no {', '.join(lacking)}", where=keep, todo=todo)


def read_columns(path: Path, columns: list[str] | None) -> pa.Table:
    """Read columns of a Parquet file, None for all. Raises a DataError when it is damaged or lacks some."""
    try:
        table = pq.read_table(path, columns=columns)
    except FileNotFoundError as error:
        todo = get_examples(path.parents[2], path.parent.name, split=path.stem)
        raise DataError("there is no such example table", where=path, todo=todo) from error
    except (OSError, pa.ArrowException, KeyError) as error:
        missing = _missing_columns(path, columns)
        if missing and path.parent.parent.name == "examples":
            todo = f"run {clean_command(path.parents[2], path.parent.name)}, which reads the official files again"
            raise DataError(f"lacks {', '.join(missing)}: another vlmt made it", where=path, todo=todo) from error
        if missing:
            what = f"is another file than is wanted: it has no column {', '.join(missing)}"
            raise DataError(what, where=path, todo="give the path of the right file") from error
        reason = str(error).splitlines()[0][:160]
        raise DataError(f"is damaged ({reason})", where=path, todo="delete it and run the command again") from error
    check_columns(table, path)
    return table


def _missing_columns(path: Path, columns: list[str] | None) -> list[str]:
    """Name the columns that an intact file lacks."""
    try:
        there = pq.read_schema(path).names
    except (OSError, pa.ArrowException):
        return []
    return [name for name in columns or () if name not in there]
