"""Arrays in a file that processes map, so that all of a machine hold them once.

The file is Arrow's IPC form with one row: each column is an array, as one list. A mapped array is a view of the file,
which the system reads as it is needed and keeps once for all processes; it cannot be written to.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlmt_cli.base.files import atomic

Arrays = dict[str, Any]
"""numpy arrays of numbers or truth values, and Arrow arrays of strings, by name."""
_ABOUT = b"vlmt"


def write_arrays(path: Path, arrays: Arrays, about: Mapping[str, Any]) -> None:
    """Write arrays of any shapes, and what JSON can say about them, whole or not at all."""
    columns, kinds = {}, {}
    for name, array in arrays.items():
        if isinstance(array, pa.StringArray):
            flat, kinds[name] = array, ["string", [len(array)]]
        else:
            flat, kinds[name] = _flat(array), [array.dtype.str, list(array.shape)]
        columns[name] = pa.LargeListArray.from_arrays(pa.array([0, len(flat)], pa.int64()), flat)
    table = pa.table(columns).replace_schema_metadata({_ABOUT: json.dumps({"arrays": kinds, "about": about})})
    with atomic(path) as temporary, pa.ipc.new_file(str(temporary), table.schema) as file:
        file.write_table(table)


def map_arrays(path: Path) -> tuple[Arrays, dict[str, Any]] | None:
    """Map what ``write_arrays`` wrote; None where there is no such file, or it is damaged."""
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        table.validate(full=True)
        header = json.loads((table.schema.metadata or {})[_ABOUT])
        arrays: Arrays = {}
        for name, (kind, shape) in header["arrays"].items():
            values = table[name].chunk(0).values
            if kind == "string":
                arrays[name] = values
            else:
                arrays[name] = values.to_numpy().view(np.dtype(kind)).reshape(shape)
        return arrays, dict(header["about"])
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError, AttributeError, IndexError, RecursionError):
        return None


def _flat(array: NDArray[Any]) -> pa.Array:
    """View an array as one of Arrow's; truth values as bytes, since Arrow packs its own into bits."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return pa.array(flat.view(np.uint8) if flat.dtype == np.bool_ else flat)


def name_of(*values: object) -> str:
    """Return 16 hexadecimal digits that name all that an array was made from."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def stamp(path: Path) -> list[int]:
    """Return size and time of change of a file: when either differs, so may its content."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]
