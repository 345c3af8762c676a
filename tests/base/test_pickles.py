"""A pickle is a program; only data is read from it."""

import collections
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.hostile_pickles import KINDS, WAYS, hostile_pickles
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.pickle_machine import run
from vlmt_cli.base.pickles import loads, read_pickle
from vlmt_cli.base.plain_pickles import MISSING, read_plain

DATA = [{"ref_id": 0, "sentences": [{"sent": "the lady", "tokens": ["the", "lady"]}], "box": (1.5, 2)}]
PLAIN = [
    *(0, -5, 300, 2**40, -(2**63), 2**64 - 1, 1.5, None, True, False, b"", b"a\xff", "", "a\n'\"\\é𝔘", "x" * 300),
    *([], {}, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {"a": [1, {2: 3, b"k": 4}]}, bytearray(b"ab")),
]
ARRAYS = [
    np.arange(6, dtype="f4").reshape(2, 3),
    np.zeros((0, 4), "f4"),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(3, dtype=">i4"),
    np.array(7.0),
    np.array(["ab", "c"]),
    np.array([b"ab"]),
    np.array([True, False]),
]


class Evil:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_is_what_pickle_makes_of_it(tmp_path, protocol):
    path = tmp_path / "refs.p"
    path.write_bytes(pickle.dumps([DATA, PLAIN, collections.OrderedDict(a=1)], protocol))
    assert read_pickle(path) == [DATA, PLAIN, {"a": 1}]


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_are_what_pickle_makes_of_them(protocol):
    array = ARRAYS[0]
    objects = np.array([{"boxes": array}, None, [1, 2]], object)
    numbers = [np.int64(-7), np.float32(0.5), np.str_("ab"), np.bool_(True)]
    read, again, in_objects, values = loads(pickle.dumps([ARRAYS, array, objects, numbers], protocol), "here")
    for ours, theirs in zip([*read, again], [*ARRAYS, array], strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs, strict=True)
    assert again is read[0]
    np.testing.assert_array_equal(in_objects[0]["boxes"], array)
    assert in_objects[1:].tolist() == [None, [1, 2]]
    assert values == [-7, 0.5, "ab", True]


def test_python_2_wrote_bytes_as_text():
    dtype = b"cnumpy\ndtype\n(S'i4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
    assert loads(b"cnumpy.core.multiarray\nscalar\n(" + dtype + b"S'\\x09\\x00\\x00\\x00'\ntR.", "here") == 9
    assert loads(b"\x80\x02c__builtin__\nbytes\n)R.", "here") == b""
    assert loads(b"S'caf\\xe9'\n.", "here") == "café"


def test_a_pickle_that_imports_runs_nothing(tmp_path):
    path = tmp_path / "refs.p"
    path.write_bytes(pickle.dumps([Evil(tmp_path / "ran")]))
    with pytest.raises(DataError, match=r"import posix.system.*nothing was run.*do not trust"):
        read_pickle(path)
    assert not (tmp_path / "ran").exists()


def test_what_could_not_run_is_no_alarm():
    with pytest.raises(DataError, match=r"an object of collections.deque, which is not read here") as caught:
        loads(pickle.dumps(collections.deque()), "here")
    assert "do not trust" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"not a pickle", pickle.dumps(DATA)[:-20]])
def test_a_damaged_pickle_is_one_line(tmp_path, data):
    path = tmp_path / "refs.p"
    path.write_bytes(data)
    with pytest.raises(DataError, match="not an intact pickle") as caught:
        read_pickle(path)
    assert "\n" not in str(caught.value)


def test_hostile_pickles_harm_no_reader(tmp_path):
    """All readers in one child process, whose death would show; it takes some seconds to import torch."""
    heavy = ("nests_very_deeply", "asks_for_memory", "repeats_a_long_text", "has_a_number_of_a_million_digits")
    kinds = {kind.__name__ for kind in KINDS}
    code = "\n".join([
        "from benchmarks.hostile_pickles import *",
        "drawn = dict(hostile_pickles(7))",
        f"read_all(['bytes'], drawn.items()); [drawn.pop(name) for name in {heavy}]",
        f"read_all({WAYS[1:]}, drawn.items())",
    ])  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, env=environment,
        capture_output=True, text=True,
    )  # fmt: skip
    read = [line for line in map(json.loads, child.stdout.splitlines()) if "said" in line]
    assert (child.returncode, len(read)) == (0, len(kinds) + (len(kinds) - len(heavy)) * (len(WAYS) - 1)), child.stderr
    assert [line for line in read if "defect" in line["said"] or line["over"] > 1 << 30] == []
    assert not list(tmp_path.iterdir())  # where names_a_function would leave a file
    assert {what for what, _ in hostile_pickles(7)} == kinds


@pytest.mark.parametrize("protocol", range(6))
def test_lists_dicts_texts_and_numbers_are_read_as_the_machine_reads_them(protocol):
    words = [["the", "lady"], "café", "caf\xe9 'it\"s' \\ \n", "x" * 255, "y" * 256, "z" * 70_000]
    refs = [{"ref_id": n, "ids": [n, 300 * n, 70_000 * n, -n, n << 40], "said": words, 7: None} for n in range(300)]
    data = pickle.dumps([*refs, 1.5, True, False], protocol)
    assert read_plain(data) == run(data, "here") == [*refs, 1.5, True, False]


@pytest.mark.parametrize(
    "data",
    [
        *(
            pickle.dumps(value, protocol)
            for value in ((1, 2), np.arange(2), {1, 2}, b"ab", 2**80)
            for protocol in (0, 2)
        ),
        b"cposix\nsystem\n(S'true'\ntR.",
        b"\x80\x02]r\xff\xff\xff\xff.",  # remembers its value number 4,294,967,295
        b"]p99999999\n.",
        b"\x80\x02]r\x10\0\0\0.",  # number 16 of 9 bytes
        b"]p10\n.",
        b"X\x02\0\0\0\xed\xa0.",  # half of a surrogate pair
        b"X\xff\xff\0\0ab.",
        b"h\x07.",
        b"K\x01",
        b"",
    ],
)
def test_a_pickle_of_more_or_a_damaged_one_is_left_to_the_machine(data):
    assert read_plain(data) is MISSING


@pytest.mark.parametrize("protocol", range(6))
def test_no_number_of_a_value_is_taken_for_too_high(protocol):
    for length in (1, 9, 99, 255, 256, 999, 70_000):
        data = pickle.dumps([[] for _ in range(length)], protocol)
        assert read_plain(data) == [[]] * length


def test_what_names_itself_again_and_again_is_refused():
    bomb = b"]q\0(" + b"".join(b"](" + b"h%c" % n * 9 + b"eq%c" % (n + 1) for n in range(9)) + b"e."
    assert read_plain(bomb) is not MISSING
    with pytest.raises(DataError, match="not an intact pickle"):
        loads(bomb, "here")
