"""The join of a scan, held against a dictionary."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from vlmt_cli.clean.lookup import Lookup

NAMES = (
    st.text("ab:é", max_size=20) | st.just("coco:262148") | st.integers(0, 99).map(lambda n: f"url:https://a/{n}.jpg")
)


@given(values=st.lists(NAMES, max_size=30), column=st.lists(NAMES | st.none(), max_size=60), cut=st.integers(0, 60))
def test_all_equal_strings_and_no_others_match(values, column, cut):
    rows, positions = Lookup(pa.array(values, pa.string())).matches(pa.array(column, pa.string())[cut:])
    expected = [(r, p) for r, text in enumerate(column[cut:]) for p, value in enumerate(values) if text == value]
    assert list(zip(rows.tolist(), positions.tolist(), strict=True)) == expected


def test_large_columns():
    numbers = np.random.default_rng(0).integers(0, 10**9, 50_000).astype(str)
    values = [f"url:https://cdn/{number}.jpg" for number in numbers[::500]]
    column = pa.array([f"url:https://cdn/{number}.jpg" for number in numbers])
    rows, positions = Lookup(pa.chunked_array([values])).matches(column.dictionary_encode())
    assert rows.tolist() == list(range(0, 50_000, 500))
    assert positions.tolist() == list(range(100))


def test_strings_that_end_alike_are_told_apart():
    column = pa.array([f"https://host{number}/the/same/name/170x170.jpg" for number in range(100)])
    rows, positions = Lookup(column[::7]).matches(column)
    assert rows.tolist() == list(range(0, 100, 7)) and positions.tolist() == list(range(len(rows)))
