"""Referring expressions: by which ids they are joined, and where an expression alone means one object."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.evaluation.answers.keys import AGREE, numbered
from vlmt_cli.evaluation.answers.refer_ids import Led, choose, columns_of, leads
from vlmt_cli.evaluation.answers.rows import Rows
from vlmt_cli.evaluation.answers.sides import Sides, plural


def by_refer_ids(sides: Sides, refused: list[str]) -> tuple[Led | None, list[Led], list[str]]:
    """Choose among the kinds of ids that referring expressions have; ``refused`` gets what does not join.

    Returns:
        What joins, what joins but few, and the kinds of which nothing tells which is right.
    """
    predicted, rows = sides.predicted, sides.rows
    ids, columns = rows.table["example_id"].combine_chunks(), columns_of(predicted)
    box = rows.table["box"].combine_chunks() if "box" in rows.table.column_names else None

    def led_by(of_rows: Mapping[str, pa.Array]) -> tuple[list[Led | str], tuple[Led | None, list[Led], list[str]]]:
        said = list(leads(predicted, rows.name, of_rows, ids, sides.row_text, sides.agree))
        return said, choose([each for each in said if not isinstance(each, str)], box)

    said: list[Led | str] = []
    chosen: tuple[Led | None, list[Led], list[str]] = (None, [], [])
    if rows.raw is not None and ("sent_id" in columns or columns.keys() == {""}):
        # Ids of sentences are at hand, and others take seconds.
        said, chosen = led_by({"sent_id": ids})
    by = chosen[0]
    if by is None or (by.agrees is None and (columns.keys() != {"sent_id"} or by.covers < AGREE)):
        said, chosen = led_by(rows.find_ids())
    led = [each for each in said if not isinstance(each, str)]
    sides.has_own_ids = any(each.is_stated and each.fits for each in led)
    refused += [each for each in said if isinstance(each, str)]
    refused += [
        f"{each.by} leads to other {plural(each.checked)} in {1 - each.agrees.mean():.0%} of the rows"
        for each in led
        if each.agrees is not None and each.agrees.mean() < AGREE
    ]
    refused += [f"only {each.with_row:,} of {len(predicted):,} join by {each.by}" for each in chosen[1]]
    refused += [f"{each.by} contradicts the other ids of the file" for each in led if each.is_contradicted]
    return chosen


def of_one_object(rows: Rows, ours: pa.Array, benchmark: pa.Array) -> tuple[pa.Array, pa.Array, str]:
    """Leave out the keys that mean several objects, and number those that mean one several times.

    Returns:
        N and M keys, null where they are left out, and what to say of it.
    """
    table = rows.table
    if pc.count_distinct(benchmark).as_py() == len(benchmark) or "box" not in table.column_names:
        return ours, benchmark, ""
    keys, boxes = benchmark.to_pylist(), table["box"].combine_chunks().to_pylist()
    images = table["images"].to_pylist()
    meant: dict[str, tuple[str, Any]] = {}
    several = {
        key
        for key, image, box in zip(keys, images, boxes, strict=True)
        if key is not None and meant.setdefault(key, (image, box)) != (image, box)
    }
    left_out = pa.array(sorted(several), pa.string())
    ours, benchmark = (
        pc.if_else(pc.is_in(each, value_set=left_out), None, numbered(each)) for each in (ours, benchmark)
    )
    # A null of the rows would be that of the predictions.
    alone = pc.binary_join_element_wise("\x1e", pa.array(np.arange(len(benchmark))).cast(pa.string()), "")
    return ours, pc.coalesce(benchmark, alone), ", where that means one object" if several else ""


def said_elsewhere(ours: pa.Array, theirs: pa.Array) -> float:
    """Return the share of N or of M expressions that the other side does not have, of the side that has fewer such."""
    sides = [(ours, theirs), (theirs, ours)]
    return min(1 - float(pc.mean(pc.is_in(these, value_set=those)).as_py()) for these, those in sides)
