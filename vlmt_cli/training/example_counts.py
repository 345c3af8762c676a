"""How many examples a task has: those of the data folder, or the paper's. One rule for every estimate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.origin import KEEP_FILE
from vlmt_cli.base.words import listed
from vlmt_cli.datasets.clean_command import get_examples
from vlmt_cli.paper import numbers

VALIDATED = 0.05
"""Validation examples by training examples, where there is no example table."""
CountsFrom = Literal["data", "paper", "runs"]
"""The data folder, the paper's table 8, or runs that were trained on these tasks."""


@dataclass(frozen=True)
class ExampleCounts:
    """How many examples of a task there are.

    Attributes:
        train, validation: examples, whatever the recipe's limit.
        source: where these come from.
    """

    train: int
    validation: int
    source: CountsFrom


def count_examples(data: Path, task: str, split: str) -> ExampleCounts:
    """Count a task's examples in the data folder or, where train and val are not both prepared, in the paper.

    Args:
        data: the data folder.
        task: of the twelve, or another dataset.
        split: ``clean`` or ``full``.

    Raises:
        DataError: there are none, and the paper does not say how many there were; or a file is damaged.
    """
    tables = [data / "examples" / task / f"{name}.parquet" for name in ("train", "val")]
    if not all(table.exists() for table in tables) or (split == "clean" and not (data / "clean" / KEEP_FILE).exists()):
        known = numbers("table8_samples", "dataset", "cleaned_train" if split == "clean" else "full_train")
        if task not in known:
            todo = get_examples(data, task)
            raise DataError(f"there are no examples of {task}, and the paper's table 8 has none", where=data, todo=todo)
        return ExampleCounts(int(known[task]), round(VALIDATED * int(known[task])), "paper")
    try:
        train, validation = (_kept(data, task, table, split) for table in tables)
    except (OSError, pa.ArrowException, KeyError) as error:
        what = f"is damaged ({str(error).splitlines()[0][:160]})"
        raise DataError(what, where=tables[0], todo=get_examples(data, task)) from error
    if not train or not validation:
        todo = get_examples(data, task)
        raise DataError(f"the {split} split has no {task}", where=data, todo=todo)
    return ExampleCounts(train, validation, "data")


def counted_from(sources: Mapping[str, CountsFrom], data: Path, split: str) -> list[str]:
    """Say in a sentence for each source whose numbers of examples come from there.

    Args:
        sources: by task.
        data: the data folder.
        split: ``clean`` or ``full``.
    """
    by_source: dict[CountsFrom, list[str]] = {}
    for task, source in sources.items():
        by_source.setdefault(source, []).append(task)
    kinds: Sequence[tuple[CountsFrom, str]] = (
        ("data", f"Examples of {{}} are counted in {data}."),
        ("runs", "Examples of {} are as many as finished runs trained on."),
        (
            "paper",
            f"Examples of {{}} are as many as in the paper (table 8, {split}):"
            f" {data} does not hold both train and val of them{', in a clean split' if split == 'clean' else ''}.",
        ),
    )
    return [sentence.format(listed(by_source[kind])) for kind, sentence in kinds if kind in by_source]


def _kept(data: Path, task: str, table: Path, split: str) -> int:
    if split != "clean":
        return int(pq.read_metadata(table).num_rows)
    wanted = [("dataset", "=", task), ("split", "=", table.stem)]
    return len(pq.read_table(data / "clean" / KEEP_FILE, columns=["row"], filters=wanted))
