"""Fixtures of the readers' tests."""

import re

import pytest
from handmade import read, write

from vlmt_cli.base.errors import DataError


@pytest.fixture
def damage(tmp_path):
    """Check that reading these files of a dataset is one line of error which matches ``message``."""

    def check(name, files, message):
        with pytest.raises(DataError) as caught:
            read(name, write(tmp_path, files))
        assert "\n" not in str(caught.value) and caught.value.todo, str(caught.value)
        assert re.search(message, str(caught.value)), str(caught.value)

    return check
