"""Records of small files in whichever form: JSON, JSON lines, CSV, TSV, Excel and Parquet, as columns.

A form of predictions, or a benchmark's file, names which fields of a record mean what; here they become columns.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vlmt_cli.base.beginnings import beginning
from vlmt_cli.base.collecting import gc_paused
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.json_or_lines import json_or_lines
from vlmt_cli.base.packed import open_packed
from vlmt_cli.base.words import printable

Record = dict[str, Any]

XLSX = b"PK\x03\x04"
PARQUET = b"PAR1"
REFER_IDS = {
    "sent_id": ("sent_id", "sentence_id", "sentId", "sentid"),
    "ref_id": ("ref_id", "refId", "refid"),
    "ann_id": ("ann_id", "annotation_id", "annId", "annid"),
}
"""The kinds of ids that the refer toolkit has, and what fields of them are called."""
_FIRST = 1_000
_HEAD = 1 << 20
_WHOLE = 10**15
_LONGEST_BOX = 400


def head_of(path: Path) -> bytes:
    """Return the first bytes of what a file unpacks to.

    Raises:
        DataError: it is missing, empty, or a web page, a pickle or the like.
    """
    with reading(path), open_packed(path) as file:
        head = file.read(_HEAD)
    if not head.strip():
        raise DataError("is empty", where=path, todo="get the file again")
    if not head.startswith((XLSX, PARQUET)) and (said := beginning(head)):
        raise DataError(said[0], where=path, todo=said[1])
    return head


def first_record(path: Path, head: bytes) -> Record:
    """Return the first record of a file, by which its form is told; empty where it has none."""
    if head.startswith(PARQUET):
        return dict.fromkeys(pq.read_schema(path).names)
    if head.startswith(XLSX):
        return next(iter(_of_excel(path, 1)), {})
    text = head.decode("utf-8-sig", "replace").lstrip()
    if text[:1] not in ("{", "["):
        return next(iter(_of_table(path, text, 1)), {})
    decoder = json.JSONDecoder()
    try:
        value, _ = decoder.raw_decode(text.lstrip("[ \t\r\n"))
    except (ValueError, RecursionError):
        return next(iter(read_records(path, head)), {})  # one object longer than the head, or damaged
    if isinstance(value, dict) and not text.startswith("[") and any(map(_has_records, value.values())):
        return next(iter(read_records(path, head)), {})
    return value if isinstance(value, dict) else {}


def read_records(path: Path, head: bytes | None = None) -> list[Record]:
    """Read all records of a file.

    JSON may be a list, a record a line, records by their id, which becomes the field ``id``, or an object with one list
    of records in it. Images in Parquet are left out.

    Raises:
        DataError: it cannot be read, or has no records.
    """
    head = head_of(path) if head is None else head
    if head.startswith(PARQUET):
        records = _of_parquet(path)
    elif head.startswith(XLSX):
        records = _of_excel(path)
    elif head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
        records = _of_json(path)
    else:
        records = _of_table(path, head.decode("utf-8-sig", "replace"))
    if not records:
        raise DataError("has no records", where=path, todo="get the file again")
    return records


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the errors of opening a file into DataErrors."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError("there is no such file", where=path, todo="check the path") from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", where=path) from error


def _of_json(path: Path) -> list[Record]:
    with reading(path), open_packed(path) as file:
        data = file.read()
    with gc_paused():
        return records_in(json_or_lines(data, path))


def records_in(value: Any) -> list[Record]:
    """Return the records in a JSON value."""
    if isinstance(value, dict):
        parts = [part for part in value.values() if _has_records(part)]
        if lists := [part for part in parts if isinstance(part, list)]:
            return records_in(max(lists, key=len))
        by_id = max(parts, key=len) if parts and not all(isinstance(part, dict) for part in value.values()) else value
        if by_id and all(isinstance(each, dict) for each in by_id.values()):
            return [{"id": name, **each} for name, each in by_id.items()]
        return [value]
    if isinstance(value, list):
        flat = [each for part in value for each in (part if isinstance(part, list) else [part])]
        return [each for each in flat if isinstance(each, dict)]
    return []


def _has_records(value: Any) -> bool:
    """Whether a value is a list of records, or of records by their id."""
    first = next(iter(value.values() if isinstance(value, dict) else value), None) if _is_many(value) else None
    return isinstance(first, dict)


def _is_many(value: Any) -> bool:
    return isinstance(value, (list, dict)) and len(value) > 0


def _of_parquet(path: Path) -> list[Record]:
    with reading(path):
        try:
            file = pq.ParquetFile(path)
            schema = file.schema_arrow
            held = [
                name
                for name, kind in zip(schema.names, schema.types, strict=True)
                if not (pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0)
                and not pa.types.is_binary(kind)
            ]
            rows: list[Record] = file.read(columns=held).to_pylist()
            return rows
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"is damaged ({str(error).splitlines()[0][:160]})", where=path) from error


def _of_excel(path: Path, rows: int | None = None) -> list[Record]:
    import pandas as pd

    with reading(path):
        try:
            table = pd.read_excel(path, engine="calamine", nrows=rows, keep_default_na=False, na_values=[""])
        except (ValueError, KeyError, ImportError, pd.errors.ParserError) as error:
            raise DataError(f"is not an Excel table ({printable(error)})", where=path) from error
        except Exception as error:  # calamine's own errors have no public type
            if type(error).__module__.partition(".")[0] != "python_calamine":
                raise
            raise DataError(f"is not an Excel table ({printable(error)})", where=path) from error
    records: list[Record] = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in record.items()} for record in records]


def _of_table(path: Path, head: str, most: int | None = None) -> list[Record]:
    """Read CSV or TSV; without a header the columns are ``0``, ``1``, ..."""
    first = head.partition("\n")[0].rstrip("\r")
    delimiter = "\t" if "\t" in first else ","
    if delimiter not in first:
        raise DataError("is neither JSON nor a table", where=path, todo="look at what it holds")
    csv.field_size_limit(1 << 30)
    with reading(path), open_packed(path) as file:
        lines = (line.decode("utf-8-sig" if not number else "utf-8", "replace") for number, line in enumerate(file))
        try:
            reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL)
            names = next(reader)
            rows: list[list[str]] = []
            if not all(name and name[0].isalpha() and name.replace("_", "").isalnum() for name in names):
                rows, names = [names], [str(number) for number in range(len(names))]
            for row in reader:
                rows.append(row)
                if most and len(rows) >= most:
                    break
        except (csv.Error, StopIteration) as error:
            raise DataError(f"is not a table ({printable(error)})", where=path) from error
    return [dict(zip(names, row, strict=False)) for row in rows if row]


def strings(records: Sequence[Record], names: Sequence[str]) -> pa.Array | None:
    """Return one field of N records as strings: the first of some names that any record has; None where none does."""
    for name in names:
        values = [record.get(name) for record in records]
        if any(value is not None for value in values):
            return pa.array(map(as_text, values), pa.string())
    return None


def refer_ids(records: Sequence[Record]) -> dict[str, pa.Array]:
    """Return the ids of the refer toolkit that N records have, by kind, where their field says it."""
    named = set().union(*records[:_FIRST])
    columns = {kind: strings(records, [name for name in names if name in named]) for kind, names in REFER_IDS.items()}
    return {kind: column for kind, column in columns.items() if column is not None}


def as_text(value: Any) -> str | None:
    """Return what a field says: numbers that are whole without a point, the first of a list, what else as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < _WHOLE else repr(number)
    if isinstance(value, (list, tuple)) and len(value) == 1:
        return as_text(value[0])
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value, default=str)
    return str(value)


def four_numbers(records: Sequence[Record], names: Sequence[str]) -> NDArray[np.float64] | None:
    """Return one field of N records as (N, 4) numbers, NaN where it is none; None where no record has any."""
    for name in names:
        values = [four_of(record.get(name)) for record in records]
        if any(value is not None for value in values):
            return np.array([value or [np.nan] * 4 for value in values], np.float64)
    return None


def four_of(value: Any) -> list[float] | None:
    """Return the four numbers of a field, in a list, a list in a list, or as text; None where it has not four."""
    if isinstance(value, str) and value.lstrip().startswith("[") and len(value) < _LONGEST_BOX:
        try:
            value = msgspec.json.decode(value)
        except (msgspec.MsgspecError, RecursionError):
            return None
    if isinstance(value, (list, tuple)) and len(value) == 1 and isinstance(value[0], (list, tuple)):
        value = value[0]
    if not isinstance(value, (list, tuple)) or len(value) != 4:
        return None
    try:
        return [float(part) for part in value]
    except (TypeError, ValueError, OverflowError):
        return None


def numbers(records: Sequence[Record], name: str) -> NDArray[np.float64] | None:
    """Return one field of N records as numbers, NaN where it is none; None where no record has any."""
    values = np.array([_number(record.get(name)) for record in records], np.float64)
    return None if np.isnan(values).all() else values


def _number(value: Any) -> float:
    try:
        return float(value) if isinstance(value, (int, float, str)) else np.nan
    except (ValueError, OverflowError):
        return np.nan


def has(record: Mapping[str, Any], *names: str) -> bool:
    """Whether a record has all of some fields."""
    return all(name in record for name in names)


def has_any(record: Mapping[str, Any], names: Iterable[str]) -> bool:
    """Whether a record has any of some fields."""
    return any(name in record for name in names)
