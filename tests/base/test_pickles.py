"""A pickle is a program; only data is read from it."""

import collections
import os
import pickle

import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.pickles import read_pickle

DATA = [{"ref_id": 0, "sentences": [{"sent": "the lady", "tokens": ["the", "lady"]}], "box": (1.5, 2)}]


class Evil:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_plain_data_is_read(tmp_path, protocol):
    path = tmp_path / "refs.p"
    path.write_bytes(pickle.dumps(DATA, protocol))
    assert read_pickle(path) == DATA


def test_a_pickle_that_imports_runs_nothing(tmp_path):
    path = tmp_path / "refs.p"
    path.write_bytes(pickle.dumps([Evil(tmp_path / "ran")]))
    with pytest.raises(DataError, match=r"import posix.system.*nothing was run"):
        read_pickle(path)
    assert not (tmp_path / "ran").exists()


def test_only_what_is_allowed_by_name_is_imported(tmp_path):
    path = tmp_path / "refs.p"
    path.write_bytes(pickle.dumps(collections.OrderedDict(a=1)))
    allowed = {("collections", "OrderedDict"): collections.OrderedDict}
    assert read_pickle(path, allowed) == {"a": 1}
    with pytest.raises(DataError, match=r"collections\.OrderedDict"):
        read_pickle(path)


@pytest.mark.parametrize("data", [b"", b"not a pickle", pickle.dumps(DATA)[:-20]])
def test_a_damaged_pickle_is_one_line(tmp_path, data):
    path = tmp_path / "refs.p"
    path.write_bytes(data)
    with pytest.raises(DataError, match="no intact pickle") as caught:
        read_pickle(path)
    assert "\n" not in str(caught.value)
