"""Each test leaves no store open: lmdb opens a path once in a process."""

from pathlib import Path

import pytest

from vlmt_cli.features import store as store_module
from vlmt_cli.features.store import FeatureStore


@pytest.fixture(autouse=True)
def closed():
    """Close whatever a test opened."""
    yield
    for path in list(store_module._OPEN):
        store_module.close_here(Path(path))


@pytest.fixture
def open_store():
    """Open a store to read; a fixture to depend on, so that it is closed in time."""
    return FeatureStore
