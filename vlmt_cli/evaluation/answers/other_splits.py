"""Of which split, or of which whole official set, ids are that are not of the one asked for."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets import refcoco
from vlmt_cli.datasets.prepared import split_tables
from vlmt_cli.datasets.table import DATASETS
from vlmt_cli.evaluation.answers.keys import without_zeros
from vlmt_cli.evaluation.answers.predicted import Predicted
from vlmt_cli.evaluation.answers.refer_ids import columns_of
from vlmt_cli.evaluation.answers.rows import REFER, WHOLE, Rows
from vlmt_cli.tasks.tables import read_columns


@dataclass(frozen=True)
class Other:
    """Another set of the same dataset that has ids of predictions.

    Attributes:
        name: ``vqa:val2014``.
        ids: what its ids are called: ``ids``, or ``ref_ids``.
        held: how many of the predictions' ids it has.
        total: how many these are.
    """

    name: str
    ids: str
    held: int
    total: int


def other_set(predicted: Predicted, rows: Rows, data: Path) -> Other | None:
    """Name the set of a dataset that has most of the predictions' ids, of several the smallest; None where none has
    half of them, or the one asked for has as many."""
    columns = columns_of(predicted) if rows.task in REFER else {"": predicted.ids}
    columns = {kind: _bare(ids) for kind, ids in columns.items() if ids is not None}
    asked = {f"{rows.task}:{split}" for split in rows.split.split("+")}
    best: tuple[tuple[int, bool, int], Other] | None = None
    for name, of_set in _sets(rows.task, data):
        for stated, ids in columns.items():
            for kind, theirs in of_set.items():
                if not stated or stated == kind:
                    held = int(pc.sum(pc.is_in(ids, value_set=_bare(theirs)), min_count=0).as_py())
                    called = f"{kind}s" if rows.task in REFER else "ids"
                    key = held, name in asked, -len(theirs)
                    if held > len(ids) / 2 and (best is None or key > best[0]):
                        best = key, Other(name, called, held, len(ids))
    return None if best is None or best[1].name in asked else best[1]


def _sets(task: str, data: Path) -> Iterator[tuple[str, Mapping[str, pa.Array]]]:
    """Yield the prepared splits of a dataset and its whole official sets, with their ids by kind."""
    raw = data / "raw" / (DATASETS[task].folder or task)
    files = refcoco.sentence_ids(raw) if task in REFER else []
    for path in split_tables(data / "examples" / task):
        ids = {"sent_id": read_columns(path, ["example_id"])["example_id"].combine_chunks()}
        for table in files:
            part = table.filter(pc.is_in(table["sent_id"], value_set=ids["sent_id"].cast(pa.string())))
            if len(part) == len(ids["sent_id"]):
                ids |= {kind: part[kind].combine_chunks() for kind in ("ref_id", "ann_id")}
                break
        yield f"{task}:{path.stem}", ids
    for (of, part), read in WHOLE.items():
        if of == task:
            with suppress(DataError):  # as where its files are not there
                yield f"{task}:{part}", {"sent_id": read(raw, part)["example_id"].combine_chunks()}


def _bare(ids: pa.Array) -> pa.Array:
    """Return distinct ids without leading zeros."""
    return without_zeros(ids.drop_null().unique())
