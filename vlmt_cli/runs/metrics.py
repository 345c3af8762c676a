"""``metrics.jsonl``: what happened in a run, a line an event, in order.

========== ===================================================================================
kind       fields
========== ===================================================================================
start      tasks (examples, batch_size, epoch, token ...), iterations, world, parameters, head_rates,
           weights (source, taken, new, left_behind: tensors by module; not where a run goes on)
train      iteration, task, loss, updates, examples_per_second, waiting (share of time), rate
validation iteration, task, score, state (go or stop, after the score), n
best       iteration, score (the mean of all tasks' latest scores, above what it ever was)
masking    iteration, words, regions (share that carries a loss), hidden (share that is masked)
save       iteration
end        iteration, seconds
========== ===================================================================================

Further kinds come from callbacks, such as ``affinity``.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any

import msgspec

from vlmt_cli.base.documents import parse_json, read_text
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import explained, write_text
from vlmt_cli.base.schema import check_version, version_of
from vlmt_cli.base.words import printable

METRICS = "metrics.jsonl"
METRICS_VERSION = 1
"""In each line of kind ``start``; lines without it are of version 1."""

_DECODER = msgspec.json.Decoder()
_LONG_NUMBER = re.compile(r"\d{19}")
_NEEDED = {
    "train": ("iteration", "task", "loss"),
    "validation": ("iteration", "task", "score"),
    "save": ("iteration",),
}
_FORMS: dict[str, type | UnionType] = {
    "iteration": int,
    "seed": int,
    "task": str,
    "loss": int | float,
    "score": int | float,
    "state": str,
}


def append(folder: Path, record: dict[str, Any]) -> None:
    """Add a line to a run's metrics."""
    path = folder / METRICS
    with explained(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Read a run's metrics.

    Raises:
        DataError: there are none, or a line but the last, which a crash may have cut, is damaged.
    """
    return list(_lines(folder / METRICS))


def is_finished(folder: Path) -> bool:
    """Whether a run came to its end."""
    return (folder / METRICS).exists() and any(line["kind"] == "end" for line in read_metrics(folder))


def saved_iteration(folder: Path) -> int:
    """Return the last iteration that a run saved; 0 where it saved none.

    Raises:
        DataError: its metrics are damaged.
    """
    if not (folder / METRICS).exists():
        return 0
    return max((line["iteration"] for line in read_metrics(folder) if line["kind"] == "save"), default=0)


def cut_metrics(folder: Path, iteration: int) -> None:
    """Leave out what happened after an iteration, from which the run goes on."""
    path = folder / METRICS
    if path.exists():
        kept = [line for line in _lines(path) if _is_kept(line, iteration)]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))


def first_seed(folder: Path, otherwise: int) -> int:
    """Return the seed that a run began with; ``otherwise`` when it has told nothing yet."""
    lines = _lines(folder / METRICS) if (folder / METRICS).exists() else iter(())
    return int(next((line["seed"] for line in lines if line["kind"] == "start" and "seed" in line), otherwise))


def _is_kept(line: dict[str, Any], iteration: int) -> bool:
    if line["kind"] == "start":
        return bool(line.get("iteration", 0) < iteration)  # a start from here is repeated now
    return bool(line.get("iteration", 0) <= iteration) and line["kind"] != "end"


def _check_fields(record: dict[str, Any], where: str) -> None:
    """Raise a DataError when a line lacks what its readers take from it, or says it in another form."""
    for name in _NEEDED.get(record["kind"], ()):
        if name not in record:
            raise DataError(f"the key {name!r} is missing", where=where, todo="delete the line")
    for name, kind in _FORMS.items():
        if name in record and (isinstance(record[name], bool) or not isinstance(record[name], kind)):
            what = f"{name} is {printable(json.dumps(record[name]))}, not of its form"
            raise DataError(what, where=where, todo="delete the line")


def _parse(line: str, where: str) -> Any:
    """Parse a line: at full speed if it is plain, else with the checks that name what is wrong."""
    if not _LONG_NUMBER.search(line):
        try:
            return _DECODER.decode(line)
        except (msgspec.DecodeError, RecursionError, UnicodeError):  # NaN, too, which JSON has not
            pass
    return parse_json(line, where, "delete the line", nan=True)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = read_text(path, "delete the line")
    except FileNotFoundError as error:
        raise DataError("there are no metrics", where=path.parent, todo="name a folder that vlmt train made") from error
    lines = text.removesuffix("\n").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            record = _parse(line, where)
        except DataError:
            if number == len(lines):
                return
            raise
        if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
            raise DataError("names no kind", where=where, todo="delete the line")
        if record["kind"] == "start":
            check_version(version_of(record) or 1, METRICS_VERSION, path)
        _check_fields(record, where)
        yield record
