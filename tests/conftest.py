"""Fixtures of all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real official files; a test that needs it is skipped where there is none."""
    folder = os.environ.get("VLMT_REAL_DATA")
    if not folder:
        pytest.skip("VLMT_REAL_DATA does not name a folder with real annotation files")
    return Path(folder)
