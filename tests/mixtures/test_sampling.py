"""Which records training sees, against the slices that the trainers take."""

import math

import pytest

from vlmt_cli.mixtures.sampling import seen_records

ROWS = list(range(14))


@pytest.mark.parametrize(
    ("sampling", "seen"),
    [
        (None, ROWS),
        ("first:10%", ROWS[: math.ceil(14 * 10 / 100)]),
        ("first:99", ROWS[:99]),
        ("end:3", ROWS[-3:]),
        ("end:0", ROWS[-0:]),
        ("first:0%", []),
        ("random:20%", None),
        ("random:100%", ROWS),
        ("x0.5", ROWS[: int(14 * 0.5)]),
        ("x0", []),
        ("x3", ROWS),
        ("%0", []),
        ("%50", None),
        ("%100", ROWS),
        ("something", None),
    ],
)
def test_training_sees_what_its_list_samples(sampling, seen):
    records = seen_records(sampling, 14)
    assert (None if records is None else [*records]) == seen
