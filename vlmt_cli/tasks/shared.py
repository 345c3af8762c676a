"""A split's examples in a file that the processes of a machine share (``mapped``)."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vlmt_cli.base.files import locked
from vlmt_cli.tasks.examples import Examples, Lists
from vlmt_cli.tasks.mapped import Arrays, map_arrays, write_arrays
from vlmt_cli.tasks.text import Tokens

FORM = 1
"""To be raised when a task group's columns come out differently."""
_FILES = 3  # of one split, as runs with other features or limits may take turns


def share(path: Path, tokens: Tokens, make: Callable[[], Examples]) -> Examples:
    """Return examples mapped from a file; the first process that asks makes and writes them, others wait for it.

    Args:
        path: the file, in whose name stands all that the examples depend on: ``<split>-<purpose>-<hash>.arrow``.
        tokens: of all texts of the table.
        make: makes the examples.
    """
    with locked(path.parent):
        kept = map_arrays(path)
        if kept is None:
            made = make()
            _remove_older(path)
            write_arrays(path, *_taken_apart(made))
            kept = map_arrays(path)
            if kept is None:  # a file system that maps no files
                return made
            del made
            pa.default_memory_pool().release_unused()
    return _put_together(*kept, tokens)


def _remove_older(path: Path) -> None:
    pattern = f"{path.stem.rpartition('-')[0]}-{'[0-9a-f]' * 16}{path.suffix}"
    files = sorted(path.parent.glob(pattern), key=lambda file: file.stat().st_mtime_ns)
    for old in files[: max(0, len(files) + 1 - _FILES)]:  # who has mapped one keeps it
        old.unlink()


def _taken_apart(examples: Examples) -> tuple[Arrays, dict[str, Any]]:
    """Turn examples into arrays by name, and the rest."""
    arrays: Arrays = {name: getattr(examples, name) for name in ("ids", "rows", "names", "codes", "offsets")}
    lists: list[str] = []
    numbers: dict[str, int] = {}
    for name, column in examples.columns.items():
        if isinstance(column, Lists):
            lists.append(name)
            arrays[f"{name}/values"], arrays[f"{name}/offsets"] = column
        elif isinstance(column, np.ndarray):
            arrays[f"{name}/"] = column
        else:
            numbers[name] = int(column)
    about = {"task": examples.task, "split": examples.split, "lists": lists, "numbers": numbers}
    return arrays, about | {"columns": list(examples.columns)}


def _put_together(arrays: Arrays, about: dict[str, Any], tokens: Tokens) -> Examples:
    lists: Sequence[str] = about["lists"]
    numbers: dict[str, int] = about["numbers"]

    def column(name: str) -> Any:
        if name in lists:
            return Lists(arrays[f"{name}/values"], arrays[f"{name}/offsets"])
        return numbers[name] if name in numbers else arrays[f"{name}/"]

    own = {name: arrays[name] for name in ("ids", "rows", "names", "codes", "offsets")}
    columns = {name: column(name) for name in about["columns"]}
    return Examples(about["task"], about["split"], tokens=tokens, columns=columns, **own)
