"""The published tables of *12-in-1* (Lu et al., CVPR 2020) as data, for every "ours beside theirs".

A CSV a table; two misprints are put right: table 1's row G is RefCOCO+, and table 6's curriculum rows
carry table 10's numbers.
"""

import csv
from functools import cache
from importlib.resources import files


@cache
def table(name: str) -> list[dict[str, str]]:
    """Return the rows of a table, such as ``table1_overlap``, as printed."""
    text = (files(__name__) / f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def numbers(name: str, key: str, value: str) -> dict[str, float]:
    """Return one column of a table by another: ``numbers("table7_images", "dataset", "test")``."""
    return {row[key]: float(row[value]) for row in table(name) if row[value]}
