"""Fixtures of all tests."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("busy", deadline=None)  # a busy machine is not a failure
settings.load_profile("busy")
LONG = ("test_processes.py", "test_demo.py", "test_extract.py", "test_wheel.py", "test_adding.py", "test_readme.py")


def pytest_collection_modifyitems(items):
    """Begin with the longest files, so that at the end no process is left alone with one."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


def pytest_xdist_auto_num_workers():
    """Run one more process than there are cores: tests wait for disks, and for processes that they start."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real official files; a test that needs it is skipped where there is none."""
    folder = os.environ.get("VLMT_REAL_DATA")
    if not folder:
        pytest.skip("VLMT_REAL_DATA does not name a folder with real annotation files")
    return Path(folder)


@pytest.fixture(scope="session")
def trained_world(tmp_path_factory) -> Path:
    """The data folder of a small world, with all that a training reads; for reading only."""
    from commands.running import run

    from vlmt_cli.miniworld.sizes import Sizes
    from vlmt_cli.miniworld.world import write_world

    folder = tmp_path_factory.mktemp("trained-world")
    write_world(folder, Sizes().scaled(0.1))
    for command in (
        ["clean", "--datasets", "all,conceptual_captions,flickr30k_entities"],
        ["extract", "--extractor", "pixels"],
        ["extract", "--extractor", "pixels", "--boxes", "candidates"],
        ["pack", f"{folder}/features/pixels", "--hard-negatives"],
    ):
        assert run(*command, "--data", str(folder)) == 0
    return folder


def pytest_collection_finish():
    """Leave the modules that were imported out of every later garbage collection: there are a million objects."""
    gc.collect()
    gc.freeze()
