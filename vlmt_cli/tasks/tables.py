"""Reading example tables and other Parquet files. No torch here: scoring predictions needs none."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.table import TWELVE


def clean_command(dataset: str) -> str:
    """Return the command that cleans a dataset along with the twelve."""
    return "vlmt clean --datasets all" + ("" if dataset in TWELVE else f",{dataset}")


def read_columns(path: Path, columns: list[str] | None) -> pa.Table:
    """Read columns of a Parquet file, None for all. Raises a DataError when it is damaged or lacks one."""
    try:
        return pq.read_table(path, columns=columns)
    except FileNotFoundError as error:
        todo = f"make it with {clean_command(path.parent.name)}"
        raise DataError("there is no such example table", where=path, todo=todo) from error
    except (OSError, pa.ArrowException, KeyError) as error:
        reason = str(error).splitlines()[0][:160]
        raise DataError(f"is damaged ({reason})", where=path, todo="delete it and run the command again") from error
