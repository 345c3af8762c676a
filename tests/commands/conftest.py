"""A synthetic world to run commands on, and a way to run them."""

import shutil

import pytest
from commands.running import run

from vlmt_cli.miniworld.sizes import Sizes
from vlmt_cli.miniworld.world import write_world


@pytest.fixture(scope="session")
def world(made_once):
    """A small world's data folder, cleaned; for reading only."""
    return made_once("world", _make_world)


def _make_world(folder):
    write_world(folder, Sizes().scaled(0.1))
    assert run("clean", "--data", str(folder)) == 0


@pytest.fixture
def own_world(world, tmp_path):
    """A copy of the small world's annotation files, to damage; images are left out."""
    shutil.copytree(world / "raw", tmp_path / "data" / "raw")
    return tmp_path / "data"


@pytest.fixture
def cleaned(world, own_world):
    """A copy of the small world's annotation files, examples and clean split, to change."""
    for name in ("examples", "clean"):
        shutil.copytree(world / name, own_world / name)
    return own_world


@pytest.fixture
def vlmt(capsys):
    """Run a command in this process; returns exit code, stdout and stderr."""

    def command(*arguments):
        code = run(*map(str, arguments))
        out, err = capsys.readouterr()
        return code, out, err

    return command
