"""Fixtures of all tests."""

import gc
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from vlmt_cli.base.files import locked
from vlmt_cli.base.processes import fork_server
from vlmt_cli.clean import heatmap

# The children of whatever a test starts so have imported everything already.
fork_server("training.small_runs", "vlmt_cli.commands.train", "vlmt_cli.features.extractor", "torch._dynamo")

# A busy machine is not a failure; what 100 examples find half of them find, and every run draws others.
settings.register_profile("busy", deadline=None, max_examples=50)
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


@pytest.fixture(scope="session", autouse=True)
def _equal_heat_maps_are_drawn_twice():
    """Draw the heat map of equal reports twice, which must give the same bytes, and then write these bytes again.

    Drawing is half of what cleaning a small world takes.
    """
    draw, drawn = heatmap.draw_heatmap, {}

    def draw_or_write(report, path):
        shown = {f"{what}_{when}" for what in ("test_images", "examples") for when in ("before", "after")}
        pictures = drawn.setdefault(report.model_dump_json(include=shown), [])
        if len(pictures) < 2:
            draw(report, path)
            pictures.append(path.read_bytes())
            assert len(set(pictures)) == 1
        path.write_bytes(pictures[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heatmap, "draw_heatmap", draw_or_write)
        yield


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Make a folder in the first process of the tests that needs it; the others copy it. Returns its path."""

    def folder_of(name, make):
        folder = tmp_path_factory.mktemp(name)
        if "PYTEST_XDIST_WORKER" not in os.environ:
            make(folder)
            return folder
        shared = tmp_path_factory.getbasetemp().parent / f"shared-{name}"
        with locked(shared.with_suffix(".lock")):
            if not shared.exists():
                make(folder)
                shutil.copytree(folder, shared.with_suffix(".new"))
                shared.with_suffix(".new").rename(shared)
                return folder
        shutil.copytree(shared, folder, dirs_exist_ok=True)
        return folder

    return folder_of


@pytest.fixture(scope="session")
def trained_world(made_once) -> Path:
    """The data folder of a small world, with all that a training reads; for reading only."""
    return made_once("trained-world", _make_trained_world)


def _make_trained_world(folder):
    from commands.running import run

    from vlmt_cli.miniworld.sizes import Sizes
    from vlmt_cli.miniworld.world import write_world

    write_world(folder, Sizes().scaled(0.1))
    for command in (
        ["clean", "--datasets", "all,conceptual_captions,flickr30k_entities"],
        ["extract", "--extractor", "pixels"],
        ["extract", "--extractor", "pixels", "--boxes", "candidates"],
        ["pack", f"{folder}/features/pixels", "--hard-negatives"],
    ):
        assert run(*command, "--data", str(folder)) == 0


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Look for no garbage while everything is imported, and later among what the tests made alone, and seldom.

    What was imported, a million objects, is left out of every later search. With Python's own thresholds the many
    small searches, of which each has little else to look at, would often end in one among all that is left.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000, 10, 10)
        gc.enable()
