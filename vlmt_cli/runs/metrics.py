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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import explained, write_text
from vlmt_cli.base.schema import check_version, version_of

METRICS = "metrics.jsonl"
METRICS_VERSION = 1
"""In each line of kind ``start``; lines without it are of version 1."""


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


def cut_metrics(folder: Path, iteration: int) -> None:
    """Leave out what happened after an iteration, from which the run goes on."""
    path = folder / METRICS
    if path.exists():
        kept = [line for line in _lines(path) if _is_kept(line, iteration)]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))


def first_seed(folder: Path, otherwise: int) -> int:
    """Return the seed that a run began with; ``otherwise`` when it has told nothing yet."""
    lines = _lines(folder / METRICS) if (folder / METRICS).exists() else iter(())
    return int(next((line["seed"] for line in lines if line["kind"] == "start"), otherwise))


def _is_kept(line: dict[str, Any], iteration: int) -> bool:
    if line["kind"] == "start":
        return bool(line["iteration"] < iteration)  # a start from here is repeated now
    return bool(line.get("iteration", 0) <= iteration) and line["kind"] != "end"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError("there are no metrics", where=path.parent, todo="name a folder that vlmt train made") from error
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except ValueError as error:
            if number == len(lines):
                return
            raise DataError("is not valid JSON", where=f"{path}:{number}", todo="delete the line") from error
        if not isinstance(record, dict) or "kind" not in record:
            raise DataError("names no kind", where=f"{path}:{number}", todo="delete the line")
        if record["kind"] == "start":
            check_version(version_of(record) or 1, METRICS_VERSION, path)
        yield record
