"""Counting keys: in one pass or one after another, the same as counting what is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmt_cli.datasets import keys_once

KEYS = ["a", "id", "image_id", "question_id", "qas", "tion_id", "naïve"]
PARTS = [f'"{key}":' for key in KEYS] + ['"id" :', '"qas"\n:', '": ', '"', ":", "id", " ", "é", "x" * 9]


def counted(data, key):
    written = data.count(f'"{key}":'.encode())
    return written or sum(data.count(f'"{key}"{space}:'.encode()) for space in (" ", "\n"))


@given(
    parts=st.lists(st.sampled_from(PARTS), max_size=40),
    most=st.dictionaries(st.sampled_from(KEYS), st.integers(0, 3), min_size=1),
    start=st.integers(0, 9),
    form=st.sampled_from([bytes, bytearray, memoryview]),
)
def test_more_than_may_be_is_seen(parts, most, start, form):
    data = "".join(parts).encode()
    end = max(start, len(data) - 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys_once, "_STEP", 16)
        found = keys_once.are_more(form(data), most, start, end)
    assert found == any(counted(data[start:end], key) > number for key, number in most.items())
